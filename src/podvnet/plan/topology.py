"""An intent with what evaluations look up in it: who has an address, which VM a NIC is on, what a subnet sees.

Everything is found when it is first asked for, and kept: an index of 16,000 addresses costs some milliseconds, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from podvnet.model.address import Address, Prefix
from podvnet.model.gateway import OnPremisesSite
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface, VirtualMachine, VirtualNetwork
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import EffectiveRoute, Peering, RouteTable
from podvnet.model.subnet import Subnet
from podvnet.plan.address_space import holds, virtual_network_prefixes
from podvnet.plan.backends import Backends
from podvnet.plan.effective_routes import effective_routes
from podvnet.plan.entrances import Entrances
from podvnet.plan.gateway_routes import GatewayRoutes
from podvnet.plan.outbound_ports import PortRange, outbound_ports
from podvnet.plan.private_endpoints import endpoint_routes


@dataclass(frozen=True, slots=True)
class Vantage:
    """What a subnet sees.

    Attributes:
        network, subnet, table: itself.
        routes: the effective ones.
        virtual_network: what the tag VirtualNetwork means there.
    """

    network: VirtualNetwork
    subnet: Subnet
    table: RouteTable | None
    routes: tuple[EffectiveRoute, ...]
    virtual_network: tuple[Prefix, ...]


class Topology:
    """The index of an intent, which must not change meanwhile."""

    def __init__(self, intent: Intent) -> None:
        self.intent = intent
        self._vantages: dict[str, Vantage] = {}
        self._members: dict[tuple[ResourceId, ResourceId], frozenset[Address]] = {}

    def holders(self, address: Address) -> tuple[NetworkInterface, ...]:
        """The NICs that have an address: at most one in each virtual network."""
        return self._by_address.get(address, ())

    def holder(self, network: ResourceId, address: Address) -> NetworkInterface | None:
        """The NIC of a virtual network that has an address, on a VM or not."""
        return next((nic for nic in self.holders(address) if nic.virtual_network == network), None)

    def receiver(self, network: ResourceId, address: Address) -> NetworkInterface | None:
        """The NIC of a virtual network that gets what is sent to an address: that of a running VM."""
        found = self.holder(network, address)
        return found if found and self.is_running(found) else None

    def configuration(self, network: ResourceId, address: Address) -> IpConfiguration | None:
        """The ip-configuration of a running VM that has an address of a virtual network."""
        nic = self.receiver(network, address)
        return next((each for each in nic.ip_configurations if each.address == address), None) if nic else None

    def machine(self, nic: ResourceId) -> VirtualMachine | None:
        """The VM a NIC is on."""
        return self._machines.get(nic.key)

    def is_running(self, nic: NetworkInterface) -> bool:
        """Tell whether a NIC is on a VM that runs."""
        machine = self.machine(nic.id)
        return machine is not None and machine.running

    def network(self, nic: NetworkInterface) -> VirtualNetwork:
        """The virtual network a NIC is in."""
        return self.intent.virtual_networks[nic.virtual_network.key]

    def peering(self, network: ResourceId, remote: ResourceId) -> Peering | None:
        """The connected peering of a virtual network with another."""
        found = self.intent.virtual_networks.get(network.key)
        return next((each for each in found.peerings if each.remote == remote), None) if found else None

    def members(self, group: ResourceId, network: ResourceId) -> frozenset[Address]:
        """The addresses of an application security group in a virtual network, of VMs that run.

        Those of another virtual network may be the same.
        """
        found = self._members.get((group, network))
        if found is None:
            found = self._members[group, network] = frozenset(
                config.address
                for nic in self.intent.nics.values()
                if nic.virtual_network == network and self.is_running(nic)
                for config in nic.ip_configurations
                if group in config.groups
            )
        return found

    def vantage(self, nic: NetworkInterface) -> Vantage:
        """What a NIC's subnet sees."""
        return self._vantages.get(nic.subnet.key) or self.vantage_of(nic.virtual_network, self.intent.subnet_of(nic))

    def vantage_of(self, network_id: ResourceId, subnet: Subnet) -> Vantage:
        """What a subnet of a virtual network sees."""
        found = self._vantages.get(subnet.id.key)
        if found is None:
            network = self.intent.virtual_networks[network_id.key]
            table = self.intent.route_tables[subnet.route_table.key] if subnet.route_table else None
            reach = self.gateways.reach(network.id)
            private = endpoint_routes(self.intent, network)
            found = self._vantages[subnet.id.key] = Vantage(
                network,
                subnet,
                table,
                effective_routes(network, table, subnet.service_endpoints, private, reach),
                virtual_network_prefixes(network, table, reach),
            )
        return found

    def is_on_premises(self, address: Address) -> bool:
        """Whether a site on premises has an address, and no NIC does."""
        return not self.holders(address) and self.on_premises(address) is not None

    def on_premises(self, address: Address) -> OnPremisesSite | None:
        """The site that has an address: one of whose hosts it is, or else of one of whose networks."""
        sites = self.intent.sites.values()
        hosts = (site for site in sites if any(host.address == address for host in site.hosts))
        return next(hosts, None) or next((site for site in sites if holds(site.prefixes, address)), None)

    @cached_property
    def gateways(self) -> GatewayRoutes:
        """Where gateways lead to."""
        return GatewayRoutes(self.intent)

    @cached_property
    def backends(self) -> Backends:
        """Who stands behind load balancers."""
        return Backends(self.intent)

    @cached_property
    def entrances(self) -> Entrances:
        """Who takes what is sent to public addresses and to frontends."""
        return Entrances(self.intent, self.backends)

    @cached_property
    def outbound_ports(self) -> dict[tuple[str, Address, int], PortRange]:
        """The public ports that load balancers lend, as :func:`podvnet.plan.outbound_ports.outbound_ports` has them."""
        return outbound_ports(self.intent, self.backends)

    @cached_property
    def _by_address(self) -> dict[Address, tuple[NetworkInterface, ...]]:
        found: dict[Address, tuple[NetworkInterface, ...]] = {}
        for nic in self.intent.nics.values():
            for config in nic.ip_configurations:
                found[config.address] = (*found.get(config.address, ()), nic)
        return found

    @cached_property
    def _machines(self) -> dict[str, VirtualMachine]:
        return {nic.key: machine for machine in self.intent.machines.values() for nic in machine.nics}
