"""Load balancers in the namespace of a virtual network: the first packet of a flow gets a member as its destination.

What a client sends to a frontend's port comes to a chain of the rule; that picks a member by a hash of the flow and
puts its address in the place of the frontend's. The rest of the flow and its answers follow by connection tracking, so
a flow keeps its member whatever becomes of the pool, and the client's address stays as it is. A rule's chain is reached
by a junction of lasting name: a member that comes or goes exchanges one chain.

A silent flow is forgotten, and what comes of it later begins none: it is dropped, or answered with a reset where the
rule wants that. High-availability ports know no resets.

With a floating address, the packet is tracked and filtered as the member's own, and addressed to the frontend again as
the last thing before it is delivered.

Sources: Azure documents "Azure Load Balancer distribution modes", "Floating IP configuration", "High availability ports
overview", "Inbound NAT rules", "Load Balancer TCP Reset and Idle Timeout"; nft(8).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from podvnet.model.address import Address, Mac, mac_bytes
from podvnet.model.flow_hash import SEED
from podvnet.model.intent import VirtualNetwork
from podvnet.model.kernel import (
    LOOPBACK,
    Chain,
    Element,
    Junction,
    KernelObject,
    Neighbour,
    Program,
    Route,
    field_bytes,
    host_prefix,
    index_bytes,
)
from podvnet.model.load_balancer import BalancingRule, Distribution, InboundNatRule, Transport
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names
from podvnet.plan.names import TABLE
from podvnet.plan.network_ruleset import FLOATING_FLOW
from podvnet.plan.outbound_program import NO_BEGINNING, return_routes

_FAMILIES = {4: "ip", 6: "ip6"}
_SPOKEN = {Transport.TCP: ("tcp",), Transport.UDP: ("udp",), Transport.ALL: ("tcp", "udp")}
_READABLE = 40


@dataclass(frozen=True, slots=True)
class FrontendPort:
    """Ports of a frontend's address that one rule is about.

    Attributes:
        first, last: the ports; 0 and 0 for whatever comes.
        chain: where the rule's junction is.
    """

    address: Address
    protocol: Transport
    first: int
    last: int
    chain: str


@dataclass(frozen=True, slots=True)
class FloatingPort:
    """A member that uses a frontend's address as its own.

    Attributes:
        number, mac: of its NIC.
        member: its address, that such packets are tracked as.
    """

    number: int
    mac: Mac
    frontend: Address
    member: Address


def rule_chain(rule: ResourceId, version: int) -> str:
    """The name of the junction of a rule."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", rule.name)[:_READABLE]
    return f"rule{version}-{readable}-{_hashed(rule.key)}"


def compile_rule(network: ResourceId, rule: BalancingRule, version: int, receivers: tuple[Address, ...]) -> Program:
    """A load balancing rule for one IP version.

    Args:
        network: the virtual network of the members.
        rule: the rule.
        version: of the frontend's address.
        receivers: the members that get new flows, in order.
    """
    return _steered(network, rule.id, version, _balanced(rule, version, receivers))


def compile_nat_rule(
    network: ResourceId, rule: InboundNatRule, version: int, targets: tuple[tuple[int, Address], ...]
) -> Program:
    """An inbound NAT rule.

    Args:
        network: the virtual network of the members.
        rule: the rule.
        version: of the frontend's address.
        targets: the frontend's ports, and the member that each leads to.
    """
    return _steered(network, rule.id, version, _forwarded(rule, version, targets))


def compile_frontends(
    network: VirtualNetwork,
    public: tuple[FrontendPort, ...],
    internal: tuple[FrontendPort, ...],
    frontends: tuple[Address, ...],
    floating: tuple[FloatingPort, ...],
) -> Program:
    """What leads from the frontends of a virtual network to their rules.

    Args:
        network: the virtual network of the members.
        public: the ports with rules of public frontends.
        internal: those of internal ones.
        frontends: every frontend's address, with rules or without.
        floating: the members of rules with a floating address.
    """
    objects: set[KernelObject] = set()
    for junction, ports in (("public_frontends", public), ("internal_frontends", internal)):
        if ports:
            text = "".join(f"\t\t{rule}\n" for rule in _dispatched(ports))
            chain = Chain(TABLE, f"{junction}-{_hashed(text)}", text)
            objects |= {chain, Junction(TABLE, junction, chain.name, declared=True)}
    private = [each for each in frontends if any(each in prefix for prefix in network.prefixes)]
    objects |= {Element("inet", TABLE, f"frontends{each.version}", each.packed) for each in private}
    # Which packets are for a frontend, routes decide: some may lead elsewhere.
    objects |= {Route(host_prefix(each), LOOPBACK, local=True) for each in private}
    for port in floating:
        objects |= _floating_elements(port)
    return {
        names.network_namespace(network.id): frozenset(objects),
        names.INTERNET: frozenset(return_routes(network, (each for each in frontends if each not in private))),
    }


def _steered(network: ResourceId, rule: ResourceId, version: int, lines: Iterable[str]) -> Program:
    text = "".join(f"\t\t{line}\n" for line in lines)
    name = rule_chain(rule, version)
    chain = Chain(TABLE, f"{name}-{_hashed(text)}", text)
    return {names.network_namespace(network): frozenset({chain, Junction(TABLE, name, chain.name)})}


def _dispatched(ports: tuple[FrontendPort, ...]) -> Iterator[str]:
    """Ports that a rule is about, then frontends with one for whatever comes."""
    for version, family in _FAMILIES.items():
        own = [each for each in ports if each.address.version == version]
        found = [
            f"{each.address} . {spoken} . {_ports(each)} : goto {each.chain}"
            for each in own
            if each.first
            for spoken in _SPOKEN[each.protocol]
        ]
        if found:
            yield f"{family} daddr . meta l4proto . th dport vmap {{ {', '.join(found)} }}"
        rest = [f"{each.address} : goto {each.chain}" for each in own if not each.first]
        if rest:
            yield f"{family} daddr vmap {{ {', '.join(rest)} }}"


def _ports(port: FrontendPort) -> str:
    return str(port.first) if port.first == port.last else f"{port.first}-{port.last}"


def _balanced(rule: BalancingRule, version: int, receivers: tuple[Address, ...]) -> Iterator[str]:
    if not receivers:
        yield "counter name no_backend drop"
        return
    yield _unknown(told=rule.tcp_reset and rule.protocol is not Transport.ALL)
    for spoken in _SPOKEN[rule.protocol]:
        members = [_place(each, rule.backend_port) for each in receivers]
        chosen = members[0] if len(members) == 1 else _spread(rule.distribution, version, spoken, receivers, rule)
        yield f"meta l4proto {spoken} {_settings(rule, version, spoken)}dnat {_FAMILIES[version]} to {chosen}"
    if rule.protocol is Transport.ALL:
        chosen = str(receivers[0]) if len(receivers) == 1 else _spread(rule.distribution, version, "", receivers, rule)
        yield f"{_settings(rule, version, '')}dnat {_FAMILIES[version]} to {chosen}"


def _spread(
    distribution: Distribution, version: int, spoken: str, receivers: tuple[Address, ...], rule: BalancingRule
) -> str:
    """The member by a hash of what the distribution looks at. ``spoken``: the protocol, empty for one without ports."""
    family = _FAMILIES[version]
    fields = f"{family} saddr . {family} daddr"
    match distribution:
        case Distribution.FIVE_TUPLE if spoken:
            fields += f" . {spoken} sport . {spoken} dport"
        case Distribution.SOURCE_PROTOCOL:
            fields += " . meta l4proto"
    port = f" . {rule.backend_port}" if rule.backend_port else ""
    places = ", ".join(f"{place} : {member}{port}" for place, member in enumerate(receivers))
    return f"jhash {fields} mod {len(receivers)} seed {SEED:#x} map {{ {places} }}"


def _forwarded(rule: InboundNatRule, version: int, targets: tuple[tuple[int, Address], ...]) -> Iterator[str]:
    if not targets:
        yield "counter name no_backend drop"
        return
    yield _unknown(told=rule.tcp_reset)
    for spoken in _SPOKEN[rule.protocol]:
        to = _place(targets[0][1], rule.backend_port)
        if rule.pool:
            places = ", ".join(f"{port} : {member} . {rule.backend_port}" for port, member in targets)
            to = f"{spoken} dport map {{ {places} }}"
        yield f"meta l4proto {spoken} {_settings(rule, version, spoken)}dnat {_FAMILIES[version]} to {to}"
    if rule.pool:
        yield "counter name no_backend drop"


def _unknown(*, told: bool) -> str:
    """What becomes of TCP packets of a flow that is not known, or not any more. ``told``: the sender hears of it."""
    return f"{NO_BEGINNING} {'reject with tcp reset' if told else 'counter name idle_flow drop'}"


def _settings(rule: BalancingRule | InboundNatRule, version: int, spoken: str) -> str:
    """What a flow is given with its member."""
    timeout = f'ct timeout set "idle{version}-{rule.idle_timeout}" ' if spoken == "tcp" else ""
    return timeout + (f"ct label set {FLOATING_FLOW} " if rule.floating else "")


def _place(address: Address, port: int) -> str:
    if not port:
        return str(address)
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def _floating_elements(port: FloatingPort) -> set[KernelObject]:
    """The member may send with the frontend's address, what it sends so is tracked as its own.

    What it gets is addressed to the frontend when the neighbour is looked up, and nobody need answer for that address.
    """
    version, index = port.frontend.version, index_bytes(names.port_index(port.number))
    key = field_bytes(index, port.frontend.packed)
    owned = field_bytes(index, mac_bytes(port.mac), port.frontend.packed)
    elements: set[KernelObject] = {
        Element("inet", TABLE, f"owned{version}", owned),
        Element("inet", TABLE, f"floating{version}", key, port.member.packed),
        Element("inet", TABLE, f"floating_sources{version}", key),
        Neighbour(names.port_index(port.number), port.frontend, port.mac),
    }
    if version == 4:
        elements.add(Element("arp", TABLE, "owned4", owned))
    return elements


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
