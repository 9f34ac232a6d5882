"""What is asked by a pod's name: for one that is still to come, and addresses that are kept while there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from podvnet.agent.grant_addresses import GrantAddresses
from podvnet.agent.grant_store import GrantStore
from podvnet.azure.error import SourceError
from podvnet.model.pod_ask import PodAsk
from podvnet.model.pod_grant import PodGrant
from podvnet.plugin.error import CniError, Code


class PodReservations:
    """For the agent's one thread.

    Args:
        store: the grants on disk.
        addresses: of the grants.
        ask: has the NIC written, if a grant wants it.
    """

    def __init__(self, store: GrantStore, addresses: GrantAddresses, ask: Callable[[], None]) -> None:
        self._store = store
        self._addresses = addresses
        self._ask = ask
        self._refusals: dict[tuple[str, str], SourceError] = {}

    def reserve(self, pod: str, ifname: str, ask: PodAsk) -> None:
        """Note what to ask for a pod when it comes; a sticky address is reserved now.

        Raises:
            CniError: the address is another's.
        """
        self._refusals.pop((pod, ifname), None)
        kept = self.kept(pod, ifname)
        if kept and ask.address and ask.address != kept.address:
            raise other_address(kept, ask.address)
        if ask.sticky and kept is None and ask.address is not None:
            self._addresses.take(ask.address, self._store.grants.get(ask.address))
            own = PodAsk(address=ask.address, sticky=True, keep_for=ask.keep_for)
            grant = PodGrant(ask.address, pod, ifname, None, own, expires=expiry(ask), kept=True)
            with self._addresses.being_granted(grant.address):
                self._store.note(pod, ifname, ask, grant)
        elif kept and ask.sticky:
            expires = expiry(ask) if kept.holder is None else None
            renewed = replace(kept, ask=replace(kept.ask, keep_for=ask.keep_for), expires=expires)
            self._store.note(pod, ifname, ask, renewed)
        else:
            self._store.note(pod, ifname, ask)
        self._ask()

    def give_up(self, pod: str, ifname: str) -> bool:
        """Ask nothing more for a pod, and keep no address for it once it has ended; tell whether there was anything."""
        self._refusals.pop((pod, ifname), None)
        kept = self.kept(pod, ifname)
        if kept is None:
            return self._store.drop(pod, ifname)
        unkept = (
            kept.leaving() if kept.holder is None else replace(kept, ask=replace(kept.ask, sticky=None, keep_for=None))
        )
        self._store.drop(pod, ifname, unkept)
        self._ask()
        return True

    def kept(self, pod: str, ifname: str) -> PodGrant | None:
        """The grant whose address is kept for a pod's name, also while the pod has it."""
        address = self._store.kept.get((pod, ifname))
        return None if address is None else self._store.grants[address]

    def refuse(self, grant: PodGrant, error: SourceError) -> None:
        """Take note of why an address cannot be kept for a pod that is not there."""
        self._refusals[grant.pod, grant.ifname] = error

    @property
    def refusals(self) -> Mapping[tuple[str, str], SourceError]:
        """By pod and interface, why an address is not kept."""
        return self._refusals


def expiry(ask: PodAsk) -> float | None:
    """The Unix time until which an address is kept from now on; None for ever."""
    return None if ask.keep_for is None else time.time() + ask.keep_for


def other_address(kept: PodGrant, asked: IPv4Address) -> CniError:
    """Why a pod cannot have an address while another is kept for it."""
    return CniError(
        Code.INVALID_CONFIG,
        f"{kept.pod} is to have {asked}, but {kept.address} is kept for it",
        f"`podvnet pod release {kept.pod}` lets go of that one",
    )
