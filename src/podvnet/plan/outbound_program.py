"""The way out to the internet: which public address a packet leaves with, and which packets have none.

In Azure's order: the NAT gateway of the subnet, the address's own public address, the load balancer whose pool it is
in, default outbound access. The address's own and the default one are elements of maps; the others are rules, exchanged
as a whole by way of junctions. Ports are the kernel's to choose in the range of the rule: one that is in use towards a
destination can be used towards another, and when there is none the first packet is dropped.

Sources: Azure documents "What is Azure NAT Gateway?", "Source Network Address Translation (SNAT) with Azure NAT
Gateway", "Use Source Network Address Translation (SNAT) for outbound connections", "Default outbound access in Azure".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from podvnet.model.address import Address, Prefix
from podvnet.model.flow import TCP
from podvnet.model.flow_hash import SEED
from podvnet.model.intent import NetworkInterface, VirtualNetwork
from podvnet.model.kernel import Chain, Element, Junction, KernelObject, Program, Route, host_prefix
from podvnet.plan import names
from podvnet.plan.names import TABLE
from podvnet.plan.routing_program import NETWORK_SIDE

FIRST_PORT, LAST_PORT = 1024, 65535
"""The ports of an address of a NAT gateway: 64,512."""
_FAMILIES = {4: "ip", 6: "ip6"}
_TRANSPORTS = {6: "tcp", 17: "udp"}
NO_BEGINNING = "tcp flags & (fin | syn | rst | ack) != syn"
"""TCP packets that begin no flow."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A NAT gateway as the subnets of one virtual network use it.

    Attributes:
        subnets: their IPv4 prefixes.
        addresses: all it has, in order.
        idle_timeout: seconds.
    """

    subnets: tuple[Prefix, ...]
    addresses: tuple[Address, ...]
    idle_timeout: int


@dataclass(frozen=True, slots=True)
class Loan:
    """Ports of a frontend's address that a member of a backend pool uses as its own.

    Attributes:
        protocol: IP protocol number.
        idle_timeout: seconds.
        tcp_reset: who sends more of a flow that is forgotten is told so.
    """

    member: Address
    protocol: int
    address: Address
    first: int
    last: int
    idle_timeout: int
    tcp_reset: bool = False


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """A public address of an ip-configuration's own, whose flows are kept longer or shorter than the network's others.

    Attributes:
        private, public: the ip-configuration's address, and what it is to the internet.
        idle_timeout: seconds.
    """

    private: Address
    public: Address
    idle_timeout: int


def compile_public(
    network: VirtualNetwork, nic: NetworkInterface, publics: tuple[tuple[Address, Address], ...]
) -> Program:
    """The public addresses of a NIC's own, and those of default outbound access.

    Args:
        network: the NIC's.
        nic: the NIC.
        publics: private and public address of each ip-configuration that has one of its own.
    """
    inside: set[KernelObject] = set()
    for private, public in publics:
        version = private.version
        inside.add(Element("inet", TABLE, f"inbound{version}", public.packed, private.packed))
        inside.add(Element("inet", TABLE, f"public{version}", private.packed, public.packed))
        inside.add(Element("inet", TABLE, f"public_sources{version}", private.packed))
    back = [public for _, public in publics]
    for config in nic.exposed:
        # Members of a load balancer's pool of NICs have no default outbound access.
        if config.outbound is not None and not config.pools:
            inside.add(Element("inet", TABLE, "outbound4", config.address.packed, config.outbound.packed))
            inside.add(Element("inet", TABLE, "outbound_sources4", config.address.packed))
            back.append(config.outbound)
    return {
        names.network_namespace(network.id): frozenset(inside),
        names.INTERNET: frozenset(return_routes(network, back)),
    }


def return_routes(network: VirtualNetwork, addresses: Iterable[Address]) -> Iterator[Route]:
    """What leads from the internet to the virtual network that public addresses are used in."""
    index = names.internet_link_index(network.number)
    return (Route(host_prefix(each), index, NETWORK_SIDE[each.version]) for each in addresses)


def compile_outbound(
    network: VirtualNetwork, gateways: tuple[Gateway, ...], loans: tuple[Loan, ...], own: tuple[OwnAddress, ...] = ()
) -> Program:
    """The NAT gateways and load balancers by which a virtual network is left; nothing when there are none.

    Args:
        network: the virtual network.
        gateways: those of its subnets.
        loans: the ports that members of backend pools have.
        own: the public addresses whose flows are kept for a time of their own.
    """
    if not (gateways or loans or own):
        return {}
    objects: set[KernelObject] = set()
    chains = (
        ("ways_out", _allowed(gateways, loans)),
        ("leave", _leave(gateways, loans, own)),
        ("own_flows", _kept(((each.public, each.idle_timeout) for each in own), "daddr")),
    )
    for name, rules in chains:
        text = "".join(f"\t\t{rule}\n" for rule in rules)
        if not text:
            continue
        chain = Chain(TABLE, f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}", text)
        objects |= {chain, Junction(TABLE, name, chain.name, declared=True)}
    used = {address for gateway in gateways for address in gateway.addresses}
    return {
        names.network_namespace(network.id): frozenset(objects),
        names.INTERNET: frozenset(return_routes(network, used)),
    }


def _allowed(gateways: tuple[Gateway, ...], loans: tuple[Loan, ...]) -> Iterator[str]:
    """Which first packets may leave, in the order of precedence."""
    for gateway in gateways:
        source = _sources(gateway)
        yield f"{source} {NO_BEGINNING} reject with tcp reset"
        yield f"{source} meta l4proto {{ tcp, udp }} accept"
        yield f"{source} counter name nat_unsupported drop"
    yield "ip saddr @public_sources4 accept"
    yield "ip6 saddr @public_sources6 accept"
    for version, family in _FAMILIES.items():
        here = [each for each in loans if each.member.version == version]
        for told, end in ((True, "reject with tcp reset"), (False, "counter name idle_flow drop")):
            members = [f"{each.member} . {_TRANSPORTS[each.protocol]}" for each in here if each.tcp_reset is told]
            if members:
                source = f"{family} saddr . meta l4proto {{ {', '.join(members)} }}"
                yield f"{source} {NO_BEGINNING} {end}"
                yield f"{source} accept"


def _leave(gateways: tuple[Gateway, ...], loans: tuple[Loan, ...], kept: tuple[OwnAddress, ...]) -> Iterator[str]:
    """The source address of what leaves, in the order of precedence."""
    for gateway in gateways:
        to = f"snat ip to {_chosen(gateway.addresses)}:{FIRST_PORT}-{LAST_PORT}"
        yield f'{_sources(gateway)} meta l4proto tcp ct timeout set "idle4-{gateway.idle_timeout}" {to}'
        yield f"{_sources(gateway)} meta l4proto udp {to}"
    yield from _kept(((each.private, each.idle_timeout) for each in kept), "saddr")
    yield "snat ip to ip saddr map @public4"
    yield "snat ip6 to ip6 saddr map @public6"
    fours = [each for each in loans if each.member.version == 4]
    for protocol, idle in sorted({(each.protocol, each.idle_timeout) for each in fours}):
        own = [each for each in fours if (each.protocol, each.idle_timeout) == (protocol, idle)]
        members = ", ".join(str(each.member) for each in own)
        lent = ", ".join(f"{each.member} : {each.address} . {each.first}-{each.last}" for each in own)
        yield f"ip saddr {{ {members} }} {_settings(own[0])}snat ip to ip saddr map {{ {lent} }}"
    # nft 1.0.6 makes a rule of a map from IPv6 to ranges of ports that the kernel refuses.
    for each in loans:
        if each.member.version == 6:
            to = f"[{each.address}]:{each.first}-{each.last}"
            yield f"ip6 saddr {each.member} {_settings(each)}snat ip6 to {to}"


def _kept(addresses: Iterable[tuple[Address, int]], side: str) -> Iterator[str]:
    """How long flows of addresses are kept, each given with the seconds. ``side``: ``saddr`` or ``daddr``."""
    by_kind: dict[tuple[int, int], list[str]] = {}
    for address, idle in addresses:
        by_kind.setdefault((address.version, idle), []).append(str(address))
    for (version, idle), listed in sorted(by_kind.items()):
        members = f"{_FAMILIES[version]} {side} {{ {', '.join(sorted(listed))} }}"
        yield f'{members} meta l4proto tcp ct timeout set "idle{version}-{idle}"'


def _settings(loan: Loan) -> str:
    """The protocol of a loan, and what its flows are given."""
    timeout = f'ct timeout set "idle{loan.member.version}-{loan.idle_timeout}" ' if loan.protocol == TCP else ""
    return f"meta l4proto {_TRANSPORTS[loan.protocol]} {timeout}"


def _sources(gateway: Gateway) -> str:
    return f"ip saddr {{ {', '.join(map(str, gateway.subnets))} }}"


def _chosen(addresses: tuple[Address, ...]) -> str:
    if len(addresses) == 1:
        return str(addresses[0])
    places = ", ".join(f"{place} : {address}" for place, address in enumerate(addresses))
    flow = "ip saddr . ip daddr . th sport . th dport"
    return f"jhash {flow} mod {len(addresses)} seed {SEED:#x} map {{ {places} }}"
