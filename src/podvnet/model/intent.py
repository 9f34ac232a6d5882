"""What the virtual networks are meant to be: the input of every compiler in ``plan``.

These values are resolved: every dynamic address has been chosen, every reference points at something that exists.
They hold nothing of ARM's JSON and nothing of the kernel's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from podvnet.model.address import Address, Mac, Prefix
from podvnet.model.dns import PrivateZone
from podvnet.model.endpoint_policy import EndpointPolicy
from podvnet.model.flow_log import FlowLog
from podvnet.model.gateway import Circuit, Connection, LearnedRoute, OnPremisesSite, VirtualNetworkGateway
from podvnet.model.limits import FLOW_TIMEOUT, NIC_MTU
from podvnet.model.load_balancer import LoadBalancer
from podvnet.model.private_endpoint import PrivateEndpoint
from podvnet.model.public_address import NatGateway, PublicAddress
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import Peering, RouteTable
from podvnet.model.security import SecurityGroup
from podvnet.model.service import Service
from podvnet.model.subnet import Subnet


@dataclass(frozen=True, slots=True)
class VirtualNetwork:
    """A virtual network. ``number`` is small, stable and unique in the fabric.

    Attributes:
        peerings: those that are connected.
        flow_timeout: seconds after which an idle flow is forgotten.
        domain_suffix: what Azure's own names of its VMs end with.
    """

    id: ResourceId
    number: int
    prefixes: tuple[Prefix, ...]
    subnets: tuple[Subnet, ...]
    dns_servers: tuple[Address, ...] = ()
    peerings: tuple[Peering, ...] = ()
    flow_timeout: int = FLOW_TIMEOUT
    domain_suffix: str = ""


@dataclass(frozen=True, slots=True)
class IpConfiguration:
    """One private address of a NIC.

    Attributes:
        outbound: the public address that default outbound access gave it.
        groups: the application security groups it is a member of.
        public: its own public address.
        pools: the backend pools it is a member of.
        nat_rules: the inbound NAT rules that lead to it.
    """

    name: str
    address: Address
    primary: bool = False
    outbound: Address | None = None
    groups: tuple[ResourceId, ...] = ()
    public: ResourceId | None = None
    pools: tuple[ResourceId, ...] = ()
    nat_rules: tuple[ResourceId, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkInterface:
    """A NIC. ``number`` is small, stable and unique in the fabric; the port's name and index come from it.

    Attributes:
        dns_servers: its own: none of them for the platform's; None for those of the virtual network.
        name_label: another name of its own in the virtual network, beside that of the VM.
    """

    id: ResourceId
    number: int
    mac: Mac
    virtual_network: ResourceId
    subnet: ResourceId
    ip_configurations: tuple[IpConfiguration, ...]
    ip_forwarding: bool = False
    mtu: int = NIC_MTU
    security_group: ResourceId | None = None
    exposed: tuple[IpConfiguration, ...] = field(init=False, compare=False, repr=False)
    """Those ip-configurations that the internet or a load balancer knows: few of many, looked at in every change."""

    def __post_init__(self) -> None:
        """Find what is exposed."""
        found = (
            each for each in self.ip_configurations if each.public or each.pools or each.nat_rules or each.outbound
        )
        object.__setattr__(self, "exposed", tuple(found))

    dns_servers: tuple[Address, ...] | None = None
    name_label: str = ""

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions it has addresses of."""
        return tuple(sorted({config.address.version for config in self.ip_configurations}))

    def primary(self, version: int = 4) -> IpConfiguration:
        """The first ip-configuration of the IP version: the primary one comes first."""
        return next(config for config in self.ip_configurations if config.address.version == version)


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """An identity of a VM. ``id`` is the VM's own when it is system-assigned; ``object`` is the principal's id."""

    id: ResourceId
    client: str
    object: str
    system_assigned: bool = False


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A VM. Its NICs are in the order of its network profile, the primary first.

    Attributes:
        host_name: what it calls itself, when that is not its name.
    """

    id: ResourceId
    vm_id: str
    location: str
    size: str
    nics: tuple[ResourceId, ...]
    running: bool = True
    tags: tuple[tuple[str, str], ...] = ()
    identities: tuple[ManagedIdentity, ...] = ()
    host_name: str = ""


@dataclass(frozen=True, slots=True)
class InternetHost:
    """A simulated host of the internet: a public address that answers in the internet namespace.

    Attributes:
        dns: it is a resolver, which the platform's forwards to.
    """

    id: ResourceId
    address: Address
    dns: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """Everything there should be, by resource id key.

    Attributes:
        healthy: what probes have found, which is no resource: each probe, and the address of a member that answers it.
        learned: what the gateways' BGP has found, which is no resource either.
        connected: the connections of gateways that are found to carry packets.
    """

    virtual_networks: dict[str, VirtualNetwork] = field(default_factory=dict)
    nics: dict[str, NetworkInterface] = field(default_factory=dict)
    machines: dict[str, VirtualMachine] = field(default_factory=dict)
    internet_hosts: dict[str, InternetHost] = field(default_factory=dict)
    security_groups: dict[str, SecurityGroup] = field(default_factory=dict)
    route_tables: dict[str, RouteTable] = field(default_factory=dict)
    flow_logs: dict[str, FlowLog] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    private_endpoints: dict[str, PrivateEndpoint] = field(default_factory=dict)
    endpoint_policies: dict[str, EndpointPolicy] = field(default_factory=dict)
    private_zones: dict[str, PrivateZone] = field(default_factory=dict)
    public_addresses: dict[str, PublicAddress] = field(default_factory=dict)
    nat_gateways: dict[str, NatGateway] = field(default_factory=dict)
    load_balancers: dict[str, LoadBalancer] = field(default_factory=dict)
    gateways: dict[str, VirtualNetworkGateway] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    circuits: dict[str, Circuit] = field(default_factory=dict)
    sites: dict[str, OnPremisesSite] = field(default_factory=dict)
    healthy: frozenset[tuple[ResourceId, Address]] = frozenset()
    learned: frozenset[LearnedRoute] = frozenset()
    connected: frozenset[ResourceId] = frozenset()

    def subnet_of(self, nic: NetworkInterface) -> Subnet:
        """The subnet a NIC is in."""
        network = self.virtual_networks[nic.virtual_network.key]
        return next(subnet for subnet in network.subnets if subnet.id == nic.subnet)

    def machine_nics(self, machine: VirtualMachine) -> tuple[NetworkInterface, ...]:
        """The NICs of a VM, the primary first."""
        return tuple(self.nics[nic.key] for nic in machine.nics)
