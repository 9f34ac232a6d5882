"""What becomes of a packet, and what decided it at every place it came to."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    REACHED_SERVICE = "ReachedService"
    """By a service endpoint, to the service's own firewall, with its private source."""
    REACHED_ON_PREMISES = "ReachedOnPremises"
    """By a gateway, to a host on premises or to a device that is not of the fabric."""
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
    NAT_GATEWAY = "NatGateway"
    """The NAT gateway of the source's subnet carries the protocol."""
    OUTBOUND = "Outbound"
    """The source has a public address to leave to the internet with."""
    SERVICE = "Service"
    """A service endpoint leads to the service, whatever public address the source has or has not."""
    PEERING = "Peering"
    """Both sides of a peering carry the packet."""
    GATEWAY = "Gateway"
    """A gateway has a connection to where the packet goes, and the connection carries packets."""
    SITE = "Site"
    """A host on premises has the destination."""
    APPLIANCE = "Appliance"
    """The appliance of a route is there and takes packets that are not its own."""
    PUBLIC_ADDRESS = "PublicAddress"
    """A NIC or a load balancer takes what the internet sends to a public address."""
    FRONTEND = "Frontend"
    """A rule of the load balancer that has the destination is about the protocol and port."""
    BACKEND = "Backend"
    """A member of the rule's backend pool gets new flows."""
    OWNER = "Owner"
    """A NIC of a running VM has the destination."""
    OPEN = "Open"
    """The receiver of what comes from the internet has a security group: public addresses are closed without one."""
    HAIRPIN = "Hairpin"
    """A load balancer does not lead a packet back to whom it comes from."""
    LOOP = "Loop"
    """An appliance gets a packet once."""


class Egress(StrEnum):
    """The ways to the internet, the first that a source has is taken.

    Source: Azure document "What is Azure NAT Gateway?", "Traffic routes" and the order of outbound connectivity.
    """

    NAT_GATEWAY = "NatGateway"
    OWN_ADDRESS = "PublicAddress"
    OUTBOUND_RULE = "OutboundRule"
    LOAD_BALANCING_RULE = "LoadBalancingRule"
    DEFAULT = "DefaultOutbound"


@dataclass(frozen=True, slots=True)
class WayOut:
    """As whom a packet leaves to the internet.

    Attributes:
        address: its public source.
        ports: the first and the last of those that its source port is one of; None where the sender's is kept. One
            that is among them is kept as well, for any other the first stands here: which it is is left open.
    """

    egress: Egress
    address: Address
    ports: tuple[int, int] | None = None

    def keeps_port(self, flow: Flow) -> bool:
        """Whether the internet sees the sender's own port."""
        return self.ports is None or self.ports[0] <= flow.source_port <= self.ports[1]

    def applied(self, flow: Flow) -> Flow:
        """The packet as the internet sees it."""
        port = flow.source_port if self.ports is None or self.keeps_port(flow) else self.ports[0]
        return replace(flow, source=self.address, source_port=port)


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
        flow: the packet, as it is sent.
        verdict: how it ends.
        hops: the decisions, in order; the last one is what dropped it, where it was dropped.
        nics: the NICs it came to, in order: the sender's, those of appliances, the receiver's. Ids. A packet from the
            internet has no sender among them.
        arrival: the packet as whom it came to last sees it, with the addresses and ports that it had then.
        way_out: as whom it leaves to the internet. It may come in again, to a public address of the fabric.
    """

    flow: Flow
    verdict: Verdict
    hops: tuple[Hop, ...]
    nics: tuple[ResourceId, ...]
    arrival: Flow
    way_out: WayOut | None = None

    @property
    def outbound(self) -> Address | None:
        """The public address that it leaves to the internet with."""
        return self.way_out.address if self.way_out else None

    @property
    def culprit(self) -> Hop | None:
        """What dropped the packet."""
        return self.hops[-1] if self.verdict is Verdict.DROPPED else None
