"""What to write to a VM's NIC so that pods have what was asked for them: one decision, from what the NIC holds.

Nothing is concluded from what was written before, only from what is there: so it does not matter where a crash came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from podvnet.model.nic_membership import MemberConfiguration, NewPublicAddress, NicMembership, Owner, Placement
from podvnet.model.pod_ask import NEW, Members
from podvnet.model.pod_grant import GrantState, PodGrant


@dataclass(frozen=True, slots=True)
class GrantChange:
    """A write: ip-configurations to make or change, and to leave out by name; public addresses to delete by name."""

    put: tuple[Placement, ...] = ()
    remove: frozenset[str] = frozenset()
    discard: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.put or self.remove or self.discard)

    @property
    def one_by_one(self) -> GrantChange:
        """The part to write first when the whole was refused: what is taken back, else one ask."""
        if self.remove or self.discard:
            return replace(self, put=())
        return replace(self, put=self.put[:1])


@dataclass(frozen=True, slots=True)
class GrantDecision:
    """What the NIC says of grants.

    Attributes:
        change: what is to be written.
        carried: the addresses of those that are carried out.
        undone: of those of which nothing is left.
        impossible: of those that cannot be, with the reason.
    """

    change: GrantChange
    carried: tuple[IPv4Address, ...]
    undone: tuple[IPv4Address, ...]
    impossible: tuple[tuple[IPv4Address, str], ...]


def decide(nic: NicMembership, grants: Iterable[PodGrant]) -> GrantDecision:
    """Compare grants with a NIC."""
    put: list[Placement] = []
    remove: set[str] = set()
    discard: set[str] = set()
    carried: list[IPv4Address] = []
    undone: list[IPv4Address] = []
    impossible: list[tuple[IPv4Address, str]] = []
    known = set()
    for grant in grants:
        known.add(grant.address)
        if grant.settled:
            continue
        found = nic.holding(grant.address)
        if grant.state is GrantState.LEAVING and found is not None and found.owner is Owner.POD:
            remove.add(found.name)
            continue
        reason = _obstacle(grant, found)
        if reason:
            impossible.append((grant.address, reason))
            continue
        wanted = _wanted(nic, grant, found)
        if wanted is not None and (found is None or wanted != found.members):
            put.append(Placement(grant.address, wanted, _new(grant)))
        elif grant.public and grant.holder is None:
            discard.add(grant.public)
        elif grant.state is GrantState.LEAVING:
            undone.append(grant.address)
        else:
            carried.append(grant.address)
    remove |= {each.name for each in nic.configurations if each.owner is Owner.POD and each.addresses[0] not in known}
    change = GrantChange(tuple(put), frozenset(remove), frozenset(discard))
    return GrantDecision(change, tuple(carried), tuple(undone), tuple(impossible))


def _obstacle(grant: PodGrant, found: MemberConfiguration | None) -> str:
    """Why a grant cannot be carried out on the ip-configuration that has its address."""
    if grant.state is GrantState.LEAVING or found is None:
        return ""
    if found.owner is Owner.PRIMARY:
        return f"{grant.address} is the VM's own address"
    if not grant.ask.of_members or grant.holder is None:
        return ""
    if len(found.addresses) > 1:
        return f"{grant.address} is one of a block (ip-configuration {found.name}), which is no member of anything"
    if found.owner is Owner.OTHER:
        return f"{grant.address} is on the ip-configuration {found.name}, which podvnet did not make"
    return ""


def _wanted(nic: NicMembership, grant: PodGrant, found: MemberConfiguration | None) -> Members | None:
    """What the ip-configuration should have; None when it is to be left as it is, or need not be."""
    if grant.state is GrantState.LEAVING and found is None:
        return None
    if found is not None and (found.owner is Owner.OTHER or len(found.addresses) > 1):
        return None
    before = found.members if found else Members(groups=nic.groups)
    if grant.holder is None:
        return grant.ask.without(before, nic.groups)
    return grant.ask.members(before, nic.scope, grant.public)


def _new(grant: PodGrant) -> NewPublicAddress | None:
    if grant.holder is None or grant.ask.public != NEW:
        return None
    return NewPublicAddress(grant.public, grant.pod, grant.ask.idle_timeout)
