"""The VM's NIC at the resource manager, for the thread that carries out what is asked for pods.

Imports azure-core and azure-identity, so it is imported only where the agent writes its NIC.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import structlog

from podvnet.agent.own_nic import sorted_out
from podvnet.azure.error import SourceError
from podvnet.azure.imds import fetch_instance
from podvnet.azure.membership_document import public_address, read_membership, with_members
from podvnet.azure.resource_manager import RefusedError, Resource, ResourceManager, find_nic
from podvnet.model.address import Address, Mac
from podvnet.model.nic_membership import NicMembership, Owner
from podvnet.model.pod_ask import PUBLIC_ADDRESS
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.plan.grant_change import GrantChange

_log = structlog.get_logger()


class GrantNic:
    """A NIC, and the public addresses beside it.

    Args:
        manager: where they are read and written.
        nic: its id.
        resource: as it was when it was found.
    """

    def __init__(self, manager: ResourceManager, nic: ResourceId, resource: Resource) -> None:
        self._manager = manager
        self._nic = nic
        self._resource = resource
        self._publics: dict[ResourceId, Address] = {}

    def read(self) -> NicMembership:
        """Read it anew.

        Raises:
            SourceError: it cannot be read.
        """
        self._resource = self._manager.get(self._nic)
        return self._seen()

    def write(self, change: GrantChange) -> NicMembership:
        """Write the ip-configurations of a change of what was last read or written, public addresses before.

        Raises:
            NicChangedError, SubnetFullError, CertainlyRefusedError: the NIC was not written.
            SourceError: it may have been.
        """
        try:
            for each in change.put:
                if each.public:
                    document = public_address(self._resource.document, self._nic, each.public)
                    public = self._public(each.public.name)
                    self._note(public, self._put(public, document, ""))
            document = with_members(self._resource.document, change.put, change.remove)
            self._resource = self._put(self._nic, document, self._resource.etag)
        except RefusedError as error:
            raise sorted_out(error) from error
        return self._seen()

    def discard(self, name: str) -> None:
        """Delete a public address that was made; one that is gone is no error.

        Raises:
            SourceError: it may be there still.
        """
        try:
            self._manager.delete(self._public(name))
        except RefusedError as error:
            raise sorted_out(error) from error

    def _seen(self) -> NicMembership:
        """What the NIC holds, with the public addresses of pods: those that are not known yet are asked for."""
        found = read_membership(self._resource.document, self._nic)
        wanted = {
            each.members.public
            for each in found.configurations
            if each.members.public is not None and each.owner in {Owner.POOL, Owner.POD}
        }
        for public in wanted - self._publics.keys():
            try:
                self._note(public, self._manager.get(public))
            except SourceError as error:
                # It is for people to read; what is asked for is carried out all the same.
                _log.warning("public_address_unknown", id=str(public), reason=error.message)
        self._publics = {each: address for each, address in self._publics.items() if each in wanted}
        return replace(found, publics=dict(self._publics))

    def _note(self, public: ResourceId, resource: Resource) -> None:
        text = str(resource.document.get("properties", {}).get("ipAddress", ""))
        if text:
            self._publics[public] = ip_address(text)

    def _put(self, resource: ResourceId, document: dict[str, object], etag: str) -> Resource:
        return self._manager.settle(resource, self._manager.put(resource, document, etag))

    def _public(self, name: str) -> ResourceId:
        return make(Scope(self._nic.subscription, self._nic.resource_group), PUBLIC_ADDRESS, name)


def find(manager: ResourceManager, mac: Mac) -> GrantNic:
    """Find this VM's NIC with a MAC: IMDS says which VM this is, the resource manager which NICs it has.

    Raises:
        SourceError: it is not found.
    """
    return GrantNic(manager, *find_nic(manager, fetch_instance().resource_id, mac))
