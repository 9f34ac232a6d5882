"""Public addresses, NAT gateways and load balancers as hypothesis draws them for virtual networks and NICs.

One load balancer of each kind at the most, public and internal, so that a NIC can be behind both. Their rules are drawn
from a list of such as can stand beside each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from hypothesis import strategies as st

from podvnet.fabric.arm.world import LOAD_BALANCERS, NAT_GATEWAYS, PUBLIC_ADDRESSES, PUBLIC_PREFIXES, Document
from podvnet.model.address import Address
from podvnet.testing.drawn_choice import one
from podvnet.testing.drawn_network import DrawnNetwork

_DISTRIBUTIONS = ("Default", "Default", "SourceIP", "SourceIPProtocol")
_NOBODY = "10.1.1.99"
_FIRST_FRONTEND = 200
"""The host numbers of private frontends begin here, above those of NICs."""
_PORTS_OF_AN_ADDRESS = 64_000


@dataclass(frozen=True, slots=True)
class _Rule:
    """A load balancing rule. ``pool``: of ``nics``, of ``addresses``, of ``sixes``."""

    name: str
    frontend: str
    pool: str
    protocol: str
    front: int
    back: int


_RULES = (
    _Rule("web", "f0", "nics", "Tcp", 80, 8080),
    _Rule("talk", "f0", "nics", "Udp", 53, 53),
    _Rule("tls", "f0", "nics", "Tcp", 443, 443),
    _Rule("shell", "f0", "addresses", "Tcp", 22, 22),
)
_INTERNAL_RULES = (
    *_RULES,
    _Rule("all", "f1", "addresses", "All", 0, 0),
    _Rule("six", "f2", "sixes", "Tcp", 80, 80),
    _Rule("six-talk", "f2", "sixes", "Udp", 53, 5353),
)
_PUBLIC_RULES = (*_RULES, _Rule("other", "f1", "nics", "Tcp", 8080, 22))


@dataclass(slots=True)
class Balancing:
    """What was drawn beside the NICs' and subnets' own properties.

    Attributes:
        ways_out: public addresses and NAT gateways, which networks and load balancers name.
        balancers: load balancers.
        frontends: their private addresses.
        healthy: the names of load balancers, each with an address that answers its probe.
    """

    ways_out: list[Document] = field(default_factory=list)
    balancers: list[Document] = field(default_factory=list)
    frontends: list[Address] = field(default_factory=list)
    healthy: list[tuple[str, Address]] = field(default_factory=list)

    def public(self) -> Document:
        """A reference to one more public address."""
        name = f"p{len(self.ways_out)}"
        self.ways_out.append(_resource(PUBLIC_ADDRESSES, name, {"publicIPAllocationMethod": "Static"}))
        return {"id": f"publicIPAddresses/{name}"}

    def prefix(self) -> Document:
        """A reference to one more prefix, of two public addresses."""
        name = f"p{len(self.ways_out)}"
        self.ways_out.append(_resource(PUBLIC_PREFIXES, name, {"prefixLength": 31}))
        return {"id": f"publicIPPrefixes/{name}"}


def draw_balancing(draw: st.DrawFn, networks: Sequence[DrawnNetwork], interfaces: Sequence[Document]) -> Balancing:
    """Draw all of it; what NICs and subnets are part of is written into their documents."""
    made = Balancing()
    for configuration in _configurations(interfaces, version=4):
        if one(draw, *[False] * 7, True):
            configuration["publicIPAddress"] = made.public()
    for number in range(one(draw, 0, 1, 1, 2)):
        _draw_gateway(draw, made, f"gw{number}", networks[number])
    for name, public in (("outer", True), ("inner", False)):
        if one(draw, True, True, True, False):
            _draw_balancer(draw, made, name, one(draw, *networks, *networks[:2]), interfaces, public=public)
    return made


def _resource(full_type: str, name: str, properties: Document) -> Document:
    return {"type": full_type, "name": name, "sku": {"name": "Standard"}, "properties": properties}


def _configurations(interfaces: Sequence[Document], version: int, network: str = "") -> Iterator[Document]:
    """The properties of ip-configurations of an IP version, in one virtual network or in all."""
    for nic in interfaces:
        for configuration in nic["properties"]["ipConfigurations"]:
            properties: Document = configuration["properties"]
            here = properties["subnet"]["id"].split("/")[1]
            if properties["privateIPAddressVersion"] == f"IPv{version}" and network in {"", here}:
                yield properties


def _draw_gateway(draw: st.DrawFn, made: Balancing, name: str, network: DrawnNetwork) -> None:
    properties: Document = {"publicIpAddresses": [made.public() for _ in range(one(draw, 1, 1, 2))]}
    if one(draw, False, False, True):
        properties["publicIpPrefixes"] = [made.prefix()]
    made.ways_out.append(_resource(NAT_GATEWAYS, name, properties))
    for subnet in network.subnets:
        if one(draw, True, False):
            subnet.properties["natGateway"] = {"id": f"natGateways/{name}"}


def _draw_balancer(
    draw: st.DrawFn,
    made: Balancing,
    name: str,
    network: DrawnNetwork,
    interfaces: Sequence[Document],
    *,
    public: bool,
) -> None:
    draft = _Balancer(draw, name, network, interfaces)
    frontends = draft.public_frontends(made) if public else draft.internal_frontends()
    pools = draft.pools()
    outbound = draft.outbound_rules() if public else []
    there = {each["name"] for each in frontends}
    kinds = [each for each in (_PUBLIC_RULES if public else _INTERNAL_RULES) if each.frontend in there]
    rules = [draft.rule(kind, lends=not outbound) for kind in kinds if one(draw, True, True, False)]
    properties: Document = {
        "frontendIPConfigurations": frontends,
        "backendAddressPools": pools,
        "probes": [draft.probe()],
        "loadBalancingRules": rules,
        "inboundNatRules": draft.nat_rules(),
        "outboundRules": outbound,
    }
    made.balancers.append(_resource(LOAD_BALANCERS, name, properties))
    made.frontends += (
        ip_address(each["properties"]["privateIPAddress"])
        for each in frontends
        if "privateIPAddress" in each["properties"]
    )
    members = sorted(draft.members, key=int)
    made.healthy += ((name, address) for address in members if one(draw, True, True, False))


class _Balancer:
    """Draws the parts of one load balancer."""

    def __init__(self, draw: st.DrawFn, name: str, network: DrawnNetwork, interfaces: Sequence[Document]) -> None:
        self._draw = draw
        self._name = name
        self._network = network
        # A floating address is for one address of a NIC: it could not be told who answers. An appliance here has no
        # such address, and would send on what is for it.
        self._floats = draw(st.booleans())
        self._fours = self._members(interfaces, 4)
        self._sixes = self._members(interfaces, 6)
        self._nics = 0
        self.members: set[Address] = set()

    def _members(self, interfaces: Sequence[Document], version: int) -> list[Document]:
        """The ip-configurations that may be members: all of them, or one a NIC."""
        if not self._floats:
            return list(_configurations(interfaces, version, self._network.name))
        plain = [nic for nic in interfaces if not nic["properties"]["enableIPForwarding"]]
        found = [list(_configurations([nic], version, self._network.name)) for nic in plain]
        return [one(self._draw, *each) for each in found if each]

    def public_frontends(self, made: Balancing) -> list[Document]:
        """One or two addresses, or a prefix."""
        found: list[Document] = [{"name": "f0", "properties": {"publicIPAddress": made.public()}}]
        if one(self._draw, True, False):
            other = {"publicIPPrefix": made.prefix()} if one(self._draw, True, False) else None
            found.append({"name": "f1", "properties": other or {"publicIPAddress": made.public()}})
        return found

    def internal_frontends(self) -> list[Document]:
        """Two of IPv4, one of IPv6 where the subnet has a prefix of it."""
        subnet = one(self._draw, *self._network.subnets)
        numbers = itertools.count(_FIRST_FRONTEND)
        return [
            {
                "name": name,
                "properties": {
                    "subnet": {"id": subnet.id},
                    "privateIPAllocationMethod": "Static",
                    "privateIPAddressVersion": f"IPv{prefix.version}",
                    "privateIPAddress": str(prefix.network_address + next(numbers)),
                },
            }
            for prefix, names in zip(subnet.prefixes, (("f0", "f1"), ("f2",)), strict=False)
            for name in names
        ]

    def pools(self) -> list[Document]:
        """One of NICs of each IP version, and one of addresses, somebody's and nobody's."""
        for pool, configurations in (("nics", self._fours), ("sixes", self._sixes)):
            for each in configurations:
                if one(self._draw, True, False):
                    self._nics += pool == "nics"
                    self.members.add(ip_address(each["privateIPAddress"]))
                    joined = each.setdefault("loadBalancerBackendAddressPools", [])
                    joined.append({"id": f"loadBalancers/{self._name}/backendAddressPools/{pool}"})
        owned = [each["privateIPAddress"] for each in self._fours]
        nobody = [_NOBODY] if self._network.name == "hub" else []
        chosen = self._draw(st.lists(st.sampled_from([*owned, *nobody]), max_size=3, unique=True)) if owned else []
        self.members |= {ip_address(each) for each in chosen}
        addresses = [
            {"name": f"a{number}", "properties": {"ipAddress": text, **self._admin_state()}}
            for number, text in enumerate(chosen)
        ]
        written: Document = {
            "virtualNetwork": {"id": f"virtualNetworks/{self._network.name}"},
            "loadBalancerBackendAddresses": addresses,
        }
        return [{"name": "nics"}, {"name": "sixes"}, {"name": "addresses", "properties": written}]

    def _admin_state(self) -> Document:
        state = one(self._draw, "", "", "", "Up", "Down")
        return {"adminState": state} if state else {}

    def probe(self) -> Document:
        """The only one; who answers it is drawn as well."""
        behaviour = one(self._draw, "AllProbedDown", "AllProbedUp")
        asked: Document = {"protocol": "Tcp", "port": 80, "intervalInSeconds": 5}
        return {"name": "probe", "properties": asked | {"noHealthyBackendsBehavior": behaviour}}

    def rule(self, kind: _Rule, *, lends: bool) -> Document:
        """A load balancing rule of a kind."""
        properties: Document = {
            "frontendIPConfiguration": self._part("frontendIPConfigurations", kind.frontend),
            "backendAddressPool": self._part("backendAddressPools", kind.pool),
            "protocol": kind.protocol,
            "frontendPort": kind.front,
            "backendPort": kind.back,
            "loadDistribution": one(self._draw, *_DISTRIBUTIONS),
            "disableOutboundSnat": not lends or self._draw(st.booleans()),
            "enableFloatingIP": self._floats and kind.front == kind.back and self._draw(st.booleans()),
        }
        if one(self._draw, True, False):
            properties["probe"] = self._part("probes", "probe")
        return {"name": kind.name, "properties": properties}

    def nat_rules(self) -> list[Document]:
        """One to an ip-configuration, and one of a range of ports to the pool of NICs."""
        found: list[Document] = []
        single = self._draw(st.booleans())
        if self._fours and single:
            target = one(self._draw, *self._fours)
            target.setdefault("loadBalancerInboundNatRules", []).append(self._part("inboundNatRules", "single"))
            found.append(self._nat_rule("single", 8080 if self._name == "inner" else 32526, {}))
        if self._draw(st.booleans()):
            pool = self._part("backendAddressPools", "nics")
            several = {"frontendPortRangeStart": 33000, "frontendPortRangeEnd": 33099, "backendAddressPool": pool}
            found.append(self._nat_rule("several", 0, several))
        return found

    def _nat_rule(self, name: str, port: int, more: Document) -> Document:
        properties: Document = {
            "frontendIPConfiguration": self._part("frontendIPConfigurations", "f0"),
            "protocol": one(self._draw, "Tcp", "Tcp", "Udp"),
            "backendPort": 80,
        }
        return {"name": name, "properties": properties | ({"frontendPort": port} if port else {}) | more}

    def outbound_rules(self) -> list[Document]:
        """One for the pool of NICs, or none."""
        if not one(self._draw, True, False):
            return []
        most = _PORTS_OF_AN_ADDRESS // max(self._nics, 1) // 8 * 8
        properties: Document = {
            "protocol": one(self._draw, "All", "Tcp", "Udp"),
            "frontendIPConfigurations": [self._part("frontendIPConfigurations", "f0")],
            "backendAddressPool": self._part("backendAddressPools", "nics"),
            "allocatedOutboundPorts": one(self._draw, 0, 8, most),
        }
        return [{"name": "out", "properties": properties}]

    def _part(self, kind: str, name: str) -> Document:
        return {"id": f"loadBalancers/{self._name}/{kind}/{name}"}
