"""What holds at a NIC in the end, as the resource manager shows it: its routes, and the rules of its security groups.

Pure. Sources: Azure REST references "Network Interfaces - Get Effective Route Table" and "Network Interfaces - List
Effective Network Security Groups", and their examples.
"""

from __future__ import annotations

from typing import Any

from podvnet.model.address import Prefix
from podvnet.model.intent import Intent, NetworkInterface
from podvnet.model.kernel import host_prefix
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import EffectiveRoute, RouteTable
from podvnet.model.security import Direction, PortRange, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.model.service_tag import INTERNET, VIRTUAL_NETWORK, tag_prefixes
from podvnet.plan.evaluate import Evaluator
from podvnet.plan.security_evaluation import groups_of
from podvnet.plan.topology import Topology, Vantage

_EVERYWHERE = ["0.0.0.0/0", "::/0"]

Answer = dict[str, Any]


def effective_routes(evaluator: Evaluator, nic: NetworkInterface) -> Answer:
    """The routes of a NIC's subnet."""
    vantage = evaluator.topology.vantage(nic)
    return {"value": [_route(evaluator.intent, route, vantage.table) for route in vantage.routes]}


def next_hops(intent: Intent, route: EffectiveRoute) -> list[str]:
    """The addresses that a route leads to: an appliance's, or a gateway's, the public ones if it has some."""
    if route.appliance:
        return [str(route.appliance)]
    gateway = intent.gateways.get(route.gateway.key) if route.gateway else None
    found: list[str] = []
    for each in gateway.instances if gateway else ():
        public = intent.public_addresses.get(each.public.key) if each.public else None
        found += map(str, public.addresses if public else [each.address])
    return found


def _route(intent: Intent, route: EffectiveRoute, table: RouteTable | None) -> Answer:
    return {
        "name": route.name or None,
        "source": route.source,
        "state": "Active" if route.active else "Invalid",
        "addressPrefix": [str(route.prefix)],
        "nextHopType": route.next_hop,
        "nextHopIpAddress": next_hops(intent, route),
        "disableBgpRoutePropagation": table is not None and not table.propagates_gateway_routes,
    }


def effective_groups(evaluator: Evaluator, nic: NetworkInterface) -> Answer:
    """The security groups that a NIC's packets meet, that of the subnet first, and what their rules mean there."""
    topology = evaluator.topology
    vantage = topology.vantage(nic)
    return {
        "value": [
            _group(topology, vantage, group, where) for where, group in groups_of(topology, nic, Direction.INBOUND)
        ]
    }


def _group(topology: Topology, vantage: Vantage, group: SecurityGroup, where: ResourceId) -> Answer:
    kind = "subnet" if where == vantage.subnet.id else "networkInterface"
    sides = [side for rule in group.rules for side in (rule.source, rule.destination)]
    tags = sorted({side.tag for side in sides if side.tag})
    return {
        "networkSecurityGroup": {"id": str(group.id)},
        "association": {kind: {"id": str(where)}},
        "effectiveSecurityRules": [_rule(topology, vantage, rule) for rule in group.rules],
        "tagMap": {tag: found for tag in tags if (found := _tag(vantage, tag))},
    }


def _rule(topology: Topology, vantage: Vantage, rule: SecurityRule) -> Answer:
    return {
        "name": rule.name,
        "protocol": "All" if rule.protocol is Protocol.ANY else rule.protocol,
        **_side(topology, vantage, "source", rule.source),
        **_side(topology, vantage, "destination", rule.destination),
        "access": "Allow" if rule.allow else "Deny",
        "priority": rule.priority,
        "direction": rule.direction,
    }


def _side(topology: Topology, vantage: Vantage, name: str, side: Side) -> Answer:
    ports = [_ports(each) for each in side.ports]
    members = sorted(
        {address for group in side.groups for address in topology.members(group, vantage.network.id)}, key=_by_version
    )
    written = [str(prefix) for prefix in side.prefixes] + ([side.tag] if side.tag else [])
    written += [str(host_prefix(address)) for address in members]
    shown = list(_EVERYWHERE) if side.is_any_address else written
    return {
        f"{name}PortRange": ports[0],
        f"{name}PortRanges": ports,
        # A group without members is no address at all.
        f"{name}AddressPrefix": shown[0] if shown else "",
        f"{name}AddressPrefixes": shown,
        f"expanded{name.capitalize()}AddressPrefix": _tag(vantage, side.tag),
    }


def _by_version(address: Any) -> tuple[int, int]:
    return address.version, int(address)


def _ports(ports: PortRange) -> str:
    return f"{ports[0]}-{ports[1]}"


def _tag(vantage: Vantage, tag: str) -> list[str]:
    """What a tag means in a subnet; Internet is shown by its name alone, for it is what VirtualNetwork is not."""
    found: tuple[Prefix, ...] = ()
    if tag == VIRTUAL_NETWORK:
        found = vantage.virtual_network
    elif tag and tag != INTERNET:
        found = tag_prefixes(tag)
    return [str(prefix) for prefix in found]
