"""An intent drafted in few words, for tests of decisions: no documents, no kernel.

draft = Draft()
draft.network("hub", "10.0.0.0/16", front="10.0.1.0/24")
draft.group("web", "100 Inbound Deny Tcp Internet * * 22,80-90")
draft.nic("one", "hub/front", "10.0.1.4", group="web")
evaluate(draft.intent, draft.flow("tcp 10.0.1.4 > 10.0.1.5 80"))
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from podvnet.model.address import Mac
from podvnet.model.flow import ICMP, ICMPV6, TCP, UDP, Flow
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface, VirtualMachine, VirtualNetwork
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.model.routing import NextHop, Peering, RouteTable, UserRoute
from podvnet.model.security import ALL_PORTS, Direction, PortRange, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.model.subnet import Subnet

_DEFAULTS = (
    "65000 Inbound Allow * VirtualNetwork * VirtualNetwork * AllowVnetInBound",
    "65001 Inbound Allow * AzureLoadBalancer * * * AllowAzureLoadBalancerInBound",
    "65500 Inbound Deny * * * * * DenyAllInBound",
    "65000 Outbound Allow * VirtualNetwork * VirtualNetwork * AllowVnetOutBound",
    "65001 Outbound Allow * * * Internet * AllowInternetOutBound",
    "65500 Outbound Deny * * * * * DenyAllOutBound",
)
_HOPS = {
    "local": NextHop.VNET_LOCAL,
    "internet": NextHop.INTERNET,
    "gateway": NextHop.GATEWAY,
    "none": NextHop.NONE,
}
_PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": ICMP}
_SENDER_PORT = 40_000


def network_id(full_type: str, name: str) -> ResourceId:
    """The id of a resource of Microsoft.Network."""
    return make(Scope(), f"Microsoft.Network/{full_type}", name)


class Draft:
    """Collects resources. Names are unique; a NIC is on a VM of its own, which has the NIC's name and ``-vm``."""

    def __init__(self) -> None:
        self.intent = Intent()

    def network(self, name: str, *prefixes: str, **subnets: str) -> None:
        """A virtual network; a subnet is its prefixes, comma-separated."""
        resource = network_id("virtualNetworks", name)
        made = tuple(
            Subnet(resource.child("subnets", each), tuple(ip_network(text) for text in texts.split(",")))
            for each, texts in subnets.items()
        )
        number = len(self.intent.virtual_networks) + 1
        found = VirtualNetwork(resource, number, tuple(map(ip_network, prefixes)), made)
        self.intent.virtual_networks[resource.key] = found

    def group(self, name: str, *rules: str, flush: bool = False) -> None:
        """A security group; of each rule priority, direction, access, protocol, source, ports, destination, ports."""
        resource = network_id("networkSecurityGroups", name)
        made = [_rule("securityRules", text) for text in rules]
        made += [_rule("defaultSecurityRules", text) for text in _DEFAULTS]
        ordered = tuple(sorted(made, key=lambda rule: rule.priority))
        self.intent.security_groups[resource.key] = SecurityGroup(resource, ordered, flush)

    def table(self, name: str, **routes: str) -> None:
        """A route table; of each route the prefix or tag and the next hop: a word, or the address of an appliance."""
        resource = network_id("routeTables", name)
        number = len(self.intent.route_tables) + 1
        made = tuple(_route(each, text) for each, text in routes.items())
        self.intent.route_tables[resource.key] = RouteTable(resource, number, made)

    def guard(self, subnet: str, *, group: str = "", table: str = "", outbound: bool = True) -> None:
        """Give a subnet (``hub/front``) a security group, a route table, default outbound access."""
        network, _, name = subnet.partition("/")
        key = network_id("virtualNetworks", network).key
        found = self.intent.virtual_networks[key]
        subnets = tuple(
            replace(
                each,
                security_group=network_id("networkSecurityGroups", group) if group else each.security_group,
                route_table=network_id("routeTables", table) if table else each.route_table,
                default_outbound=outbound,
            )
            if each.id.name == name
            else each
            for each in found.subnets
        )
        self.intent.virtual_networks[key] = replace(found, subnets=subnets)

    def nic(
        self,
        name: str,
        subnet: str,
        *addresses: str,
        group: str = "",
        forwarding: bool = False,
        machine: str | None = None,
        running: bool = True,
    ) -> NetworkInterface:
        """A NIC; ``10.0.0.4>203.0.113.1@web@db`` is an address, its public one, the groups that it is in.

        Args:
            name: its own.
            subnet: ``hub/front``.
            *addresses: the first is the primary one.
            group: its security group.
            forwarding: it has IP forwarding.
            machine: the VM; its own when left out, none when empty.
            running: the VM runs.
        """
        network, _, place = subnet.partition("/")
        number = len(self.intent.nics) + 1
        made = NetworkInterface(
            id=network_id("networkInterfaces", name),
            number=number,
            mac=Mac(f"00:0d:3a:00:{number >> 8:02x}:{number & 255:02x}"),
            virtual_network=network_id("virtualNetworks", network),
            subnet=network_id("virtualNetworks", network).child("subnets", place),
            ip_configurations=tuple(_configuration(position, text) for position, text in enumerate(addresses)),
            ip_forwarding=forwarding,
            security_group=network_id("networkSecurityGroups", group) if group else None,
        )
        self.intent.nics[made.id.key] = made
        host = f"{name}-vm" if machine is None else machine
        if host:
            resource = make(Scope(), "Microsoft.Compute/virtualMachines", host)
            before = self.intent.machines.get(resource.key)
            nics = (*before.nics, made.id) if before else (made.id,)
            self.intent.machines[resource.key] = VirtualMachine(resource, host, "local", "Standard_D2", nics, running)
        return made

    def peer(
        self,
        here: str,
        there: str,
        *,
        access: bool = True,
        forwarded: bool = False,
        lends: bool = False,
        uses: bool = False,
    ) -> None:
        """One side of a connected peering: what ``here`` takes from and gives to ``there``.

        ``lends``: its gateways; ``uses``: those of the other.
        """
        near, far = (self.intent.virtual_networks[network_id("virtualNetworks", each).key] for each in (here, there))
        peering = Peering(
            near.id.child("virtualNetworkPeerings", f"to-{there}"), far.id, far.prefixes, access, forwarded, lends, uses
        )
        self.intent.virtual_networks[near.id.key] = replace(near, peerings=(*near.peerings, peering))

    @staticmethod
    def flow(text: str) -> Flow:
        """A packet: ``tcp 10.0.0.4 > 10.0.0.5 80``, ``icmp …``, ``udp …``, or a protocol's number."""
        protocol, source, _, destination, *port = text.split()
        family = ip_address(source).version
        number = _PROTOCOLS[protocol] if protocol in _PROTOCOLS else int(protocol)
        if number == ICMP and family == 6:
            number = ICMPV6
        sender = _SENDER_PORT if port else 0
        return Flow(number, ip_address(source), ip_address(destination), sender, int(port[0]) if port else 0)


def _rule(kind: str, text: str) -> SecurityRule:
    priority, direction, access, protocol, source, source_ports, destination, ports, *name = text.split()
    label = name[0] if name else f"rule-{priority}"
    return SecurityRule(
        name=f"{kind}/{label}",
        priority=int(priority),
        direction=Direction(direction),
        allow=access == "Allow",
        protocol=Protocol(protocol),
        source=_side(source, source_ports),
        destination=_side(destination, ports),
    )


def _side(text: str, ports: str) -> Side:
    ranges = ALL_PORTS if ports == "*" else tuple(_ports(each) for each in ports.split(","))
    words = [] if text == "*" else text.split(",")
    groups = tuple(network_id("applicationSecurityGroups", each[1:]) for each in words if each[0] == "@")
    prefixes = tuple(ip_network(each) for each in words if each[0].isdigit() or ":" in each)
    tag = next((each for each in words if each[0].isalpha() and ":" not in each), "")
    return Side(prefixes, tag, groups, ranges)


def _ports(text: str) -> PortRange:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _route(name: str, text: str) -> UserRoute:
    to, hop = text.split()
    is_tag = to[0].isalpha() and ":" not in to
    return UserRoute(
        name=name,
        next_hop=_HOPS.get(hop, NextHop.APPLIANCE),
        prefix=None if is_tag else ip_network(to),
        tag=to if is_tag else "",
        appliance=None if hop in _HOPS else ip_address(hop),
    )


def _configuration(position: int, text: str) -> IpConfiguration:
    own, *groups = text.split("@")
    private, _, public = own.partition(">")
    return IpConfiguration(
        f"ip{position}",
        ip_address(private),
        position == 0,
        ip_address(public) if public else None,
        tuple(network_id("applicationSecurityGroups", each) for each in groups),
    )
