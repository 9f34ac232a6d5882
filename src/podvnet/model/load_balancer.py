"""A load balancer of SKU Standard: frontends, backend pools, probes and rules.

Values as written on the resource. Who the members of a pool of NICs are stands on the NICs' ip-configurations, and what
a public frontend's address is on the public address; ``plan`` puts them together.

Sources: Azure documents "Azure Load Balancer components", "Azure Load Balancer distribution modes", "Load Balancer
health probes", "Outbound rules Azure Load Balancer", "Inbound NAT rules", "Backend pool management".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from podvnet.model.address import Address
from podvnet.model.resource_id import ResourceId


class Transport(StrEnum):
    """What a rule is about. ``ALL`` of a load balancing rule means high-availability ports: whatever comes."""

    TCP = "Tcp"
    UDP = "Udp"
    ALL = "All"


class Distribution(StrEnum):
    """What of a flow decides which member gets it."""

    FIVE_TUPLE = "Default"
    SOURCE = "SourceIP"
    """Source and destination address."""
    SOURCE_PROTOCOL = "SourceIPProtocol"
    """Source and destination address, and protocol."""


class AdminState(StrEnum):
    """What a person says of a member of a pool of addresses."""

    NONE = "None"
    """The probe decides."""
    UP = "Up"
    """It gets new flows whatever the probe says."""
    DOWN = "Down"
    """It gets no new flows, and those it has end."""


class ProbeProtocol(StrEnum):
    """How a probe asks."""

    TCP = "Tcp"
    HTTP = "Http"
    HTTPS = "Https"


@dataclass(frozen=True, slots=True)
class Frontend:
    """An address that clients speak to: a private ``address`` of ``subnet``, or what ``public`` has.

    Attributes:
        public: a public address or a prefix of them.
    """

    id: ResourceId
    subnet: ResourceId | None = None
    address: Address | None = None
    public: ResourceId | None = None


@dataclass(frozen=True, slots=True)
class PoolAddress:
    """A member of a pool of addresses."""

    name: str
    address: Address
    state: AdminState = AdminState.NONE


@dataclass(frozen=True, slots=True)
class BackendPool:
    """A pool. One of addresses has ``virtual_network``; of one of NICs, both it and ``addresses`` are empty."""

    id: ResourceId
    virtual_network: ResourceId | None = None
    addresses: tuple[PoolAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """How a member is asked whether it can serve.

    Attributes:
        path: of the request, for HTTP and HTTPS.
        interval: seconds from one question to the next.
        threshold: answers or failures in a row that change what is thought of a member.
        all_up: when no member is healthy, all are taken for it.
    """

    id: ResourceId
    protocol: ProbeProtocol
    port: int
    path: str = ""
    interval: int = 15
    threshold: int = 1
    all_up: bool = False


@dataclass(frozen=True, slots=True)
class BalancingRule:
    """New flows to a frontend's port go to a member of the pool.

    Attributes:
        frontend_port, backend_port: 0 for every port, of high-availability ports.
        floating: the destination address stays the frontend's; the port may change all the same.
        idle_timeout: seconds after which a silent TCP flow is forgotten.
        tcp_reset: both ends are told of that.
        outbound_snat: members without another way out use the frontend's address to reach the internet.
        connection_tracking: UDP flows stay with the member they have, as far as it is healthy.
    """

    id: ResourceId
    frontend: ResourceId
    protocol: Transport
    frontend_port: int
    backend_port: int
    pool: ResourceId | None = None
    probe: ResourceId | None = None
    distribution: Distribution = Distribution.FIVE_TUPLE
    floating: bool = False
    idle_timeout: int = 240
    tcp_reset: bool = False
    outbound_snat: bool = True
    connection_tracking: bool = False


@dataclass(frozen=True, slots=True)
class InboundNatRule:
    """Ports of a frontend that lead to one port of one member each.

    Attributes:
        first_port, last_port: of the frontend; the same of a rule to one ip-configuration, which names the rule.
        pool: the members, of a rule to a pool.
        ports: of a rule to a pool, the frontend port that each member's address has.
    """

    id: ResourceId
    frontend: ResourceId
    protocol: Transport
    backend_port: int
    first_port: int
    last_port: int
    pool: ResourceId | None = None
    ports: tuple[tuple[Address, int], ...] = ()
    floating: bool = False
    idle_timeout: int = 240
    tcp_reset: bool = False


@dataclass(frozen=True, slots=True)
class OutboundRule:
    """Members of the pool reach the internet by the frontends' addresses, each with ports of its own.

    Attributes:
        ports: for each member, a multiple of 8; 0 for as many as the size of the pool gives.
    """

    id: ResourceId
    protocol: Transport
    frontends: tuple[ResourceId, ...]
    pool: ResourceId
    ports: int = 0
    idle_timeout: int = 240
    tcp_reset: bool = False


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """A load balancer. All its frontends are public, or all are in one virtual network."""

    id: ResourceId
    location: str
    frontends: tuple[Frontend, ...] = ()
    pools: tuple[BackendPool, ...] = ()
    probes: tuple[Probe, ...] = ()
    rules: tuple[BalancingRule, ...] = ()
    nat_rules: tuple[InboundNatRule, ...] = ()
    outbound_rules: tuple[OutboundRule, ...] = ()

    @property
    def is_public(self) -> bool:
        """Whether clients come from the internet."""
        return any(frontend.public for frontend in self.frontends)
