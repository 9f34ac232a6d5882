"""The VM's NIC at the resource manager, for the thread that writes it.

Imports azure-core and azure-identity, so it is imported only where the pool is to grow.
"""

from __future__ import annotations

from podvnet.agent.nic_writer import CertainlyRefusedError, NicChangedError, SubnetFullError
from podvnet.azure.error import SourceError
from podvnet.azure.imds import fetch_instance
from podvnet.azure.nic_document import changed, read_pool
from podvnet.azure.resource_manager import RefusedError, Resource, ResourceManager, find_nic
from podvnet.model.address import Mac
from podvnet.model.nic_pool import NicPool
from podvnet.model.resource_id import ResourceId
from podvnet.plan.pool_target import PoolChange


class OwnNic:
    """A NIC.

    Args:
        manager: where it is read and written.
        nic: its id.
        resource: as it was when it was found.
        block: whether ip-configurations are added that are blocks.
    """

    def __init__(self, manager: ResourceManager, nic: ResourceId, resource: Resource, *, block: bool) -> None:
        self._manager = manager
        self._nic = nic
        self._resource = resource
        self._block = block

    def read(self) -> NicPool:
        """Read it anew.

        Raises:
            SourceError: it cannot be read.
        """
        self._resource = self._manager.get(self._nic)
        return read_pool(self._resource.document, str(self._nic))

    def write(self, change: PoolChange) -> NicPool:
        """Write a change of what was last read or written.

        Raises:
            NicChangedError, SubnetFullError, CertainlyRefusedError: nothing was written.
            SourceError: something may have been.
        """
        document = changed(self._resource.document, change.add, change.remove, block=self._block)
        try:
            self._resource = self._manager.put(self._nic, document, self._resource.etag)
        except RefusedError as error:
            raise sorted_out(error) from error
        return read_pool(self._resource.document, str(self._nic))


def find(manager: ResourceManager, mac: Mac, *, block: bool) -> OwnNic:
    """Find this VM's NIC with a MAC: IMDS says which VM this is, the resource manager which NICs it has.

    Raises:
        SourceError: it is not found.
    """
    nic, resource = find_nic(manager, fetch_instance().resource_id, mac)
    return OwnNic(manager, nic, resource, block=block)


def sorted_out(error: RefusedError) -> SourceError:
    """A refusal of a write as the kind of error that those know who decide on writes."""
    kind: type[SourceError]
    if error.status == 412:
        kind = NicChangedError
    elif error.code == "SubnetIsFull":
        kind = SubnetFullError
    elif not error.retryable:
        kind = CertainlyRefusedError
    else:
        return error
    return kind(error.message, error.remedy, error.retryable, retry_after=error.retry_after)
