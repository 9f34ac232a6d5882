"""What becomes of a packet, and what decided it at every place it came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from podvnet.model.address import Address
from podvnet.model.flow import Flow
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import EffectiveRoute
from podvnet.model.security import SecurityRule


class Verdict(StrEnum):
    """How a packet's way ends."""

    DELIVERED = "Delivered"
    """To the NIC that has its destination."""
    HANDED_TO_APPLIANCE = "HandedToAppliance"
    """To the NIC of an appliance, and what that does with it was not asked."""
    ANSWERED_BY_PLATFORM = "AnsweredByPlatform"
    """By the metadata service or the wireserver."""
    LEFT_TO_INTERNET = "LeftToInternet"
    DROPPED = "Dropped"


class Check(StrEnum):
    """The kinds of decisions on a packet's way, in the order in which it meets them."""

    SENDER = "Sender"
    """The VM of the sending NIC runs."""
    SPOOFING = "Spoofing"
    """The source is an address of the NIC, or the NIC has IP forwarding."""
    CARRIED = "Carried"
    """The protocol and the addresses are of those that a virtual network carries."""
    PLATFORM = "Platform"
    """The platform's own addresses: who may ask what of them."""
    ROUTE = "Route"
    """The route of the sender's subnet that the destination takes."""
    SECURITY_RULE = "SecurityRule"
    """The first rule of a security group that matches."""
    OUTBOUND = "Outbound"
    """The source has a public address to leave to the internet with."""
    PEERING = "Peering"
    """Both sides of a peering carry the packet."""
    APPLIANCE = "Appliance"
    """The appliance of a route is there and takes packets that are not its own."""
    OWNER = "Owner"
    """A NIC of a running VM has the destination."""
    LOOP = "Loop"
    """An appliance gets a packet once."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One decision on a packet's way.

    Attributes:
        where: the NIC, subnet, virtual network or peering that decided.
        check: the kind of decision.
        allowed: the packet goes on.
        reason: what decided, for a person.
        group, rule: the security group, and its rule that matched.
        table, route: the route table, when it is one of its routes, and the route.
        remedy: for a drop, one sentence: which resource to change, and how.
        counter: packets that this decision has met in the kernel, where that is counted.
    """

    where: ResourceId
    check: Check
    allowed: bool
    reason: str
    group: ResourceId | None = None
    rule: SecurityRule | None = None
    table: ResourceId | None = None
    route: EffectiveRoute | None = None
    remedy: str = ""
    counter: int | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A packet's way, from its sender to its end.

    Attributes:
        flow: the packet.
        verdict: how it ends.
        hops: the decisions, in order; the last one is what dropped it, where it was dropped.
        nics: the NICs it came to, in order: the sender's, those of appliances, the receiver's. Ids.
        outbound: the public address that it leaves to the internet with.
    """

    flow: Flow
    verdict: Verdict
    hops: tuple[Hop, ...]
    nics: tuple[ResourceId, ...]
    outbound: Address | None = None

    @property
    def culprit(self) -> Hop | None:
        """What dropped the packet."""
        return self.hops[-1] if self.verdict is Verdict.DROPPED else None
