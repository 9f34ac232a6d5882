"""Objects of the Linux network stack as values: what a plan adds to a namespace or removes from it.

A *program* is, for each namespace, the set of objects it should hold. Because the objects are plain values, a change
is a set difference, its inverse is the same step backwards, and what the kernel really holds can be read back and
compared. Interface indexes are chosen by us, never read back: so every object can be written down before the first
packet of netlink is sent.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network

from podvnet.model.address import Address, Interface, Mac, Prefix
from podvnet.model.limits import NIC_MTU

MARKER = "text_"

LOOPBACK = 1
"""The index of ``lo`` in every namespace."""


@dataclass(frozen=True, slots=True)
class NetworkNamespace:
    """The namespace itself."""


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A setting below /proc/sys/net of the namespace, e.g. ``ipv4/ip_forward``."""

    path: str
    value: str


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Tables written as one nftables transaction.

    Attributes:
        tables: (family, name) of each table the text declares.
        text: the declarations, without the elements of sets that :class:`Element` fills.
    """

    tables: tuple[tuple[str, str], ...]
    text: str

    @property
    def marker(self) -> str:
        """A name that stands for this text: written beside it, it tells which text the kernel holds."""
        return MARKER + hashlib.sha256(self.text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class VethPair:
    """Two ends of a virtual cable: the near end here, the far end made in place in ``peer_namespace``.

    Attributes:
        proxy_arp: the near end answers ARP for every address that it can route to.
        bridge: the index of the bridge the near end is a port of, or 0.
        alias: what a person sees beside the name in ``ip link``.
    """

    name: str
    index: int
    mac: Mac
    peer_namespace: str
    peer_name: str
    peer_index: int
    peer_mac: Mac
    mtu: int = NIC_MTU
    proxy_arp: bool = False
    bridge: int = 0
    alias: str = ""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """An interface, made elsewhere, is set up here."""

    index: int


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of an interface. No route to its prefix comes with it; routes are objects of their own."""

    index: int
    interface: Interface


class Scope(Enum):
    """How far a route reaches."""

    UNIVERSE = 0
    LINK = 253
    HOST = 254


MAIN_TABLE = 254
"""The routing table that is asked last."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    Attributes:
        via: the next hop; it need not be on a connected prefix (it is taken as on-link).
        table: the routing table it stands in.
        throw: the table has nothing to say about the destination: the next rule's table is asked. The index is that of
            the loopback interface then.
        local: the destination is the namespace's own, as far as routing is concerned. By way of the loopback interface.
        metric: of several routes to one destination in one table the lowest is taken; 0 for the kernel's default.
    """

    destination: Prefix
    index: int
    via: Address | None = None
    table: int = MAIN_TABLE
    throw: bool = False
    local: bool = False
    metric: int = 0

    @property
    def scope(self) -> Scope:
        """Link when there is no next hop."""
        if self.local:
            return Scope.HOST
        return Scope.UNIVERSE if self.via or self.throw else Scope.LINK


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """Packets of an IP version with the mark ``table`` are routed by the table of that number."""

    version: int
    table: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour entry."""

    index: int
    address: Address
    mac: Mac


@dataclass(frozen=True, slots=True)
class NeighbourProxy:
    """Neighbour solicitations for ``address`` that come in by a link are answered; IPv6, and the VM must forward it."""

    index: int
    address: Address


@dataclass(frozen=True, slots=True)
class BridgeEntry:
    """A static entry of a bridge's forwarding database: ``mac`` is behind the port ``index``."""

    index: int
    mac: Mac


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a set or map; key and data as the kernel holds them, each field padded to four bytes."""

    family: str
    table: str
    set: str
    key: bytes
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class AddressSet:
    """A set of addresses of one IP version in an nftables table, empty until :class:`Element` fills it."""

    table: str
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of rules that others jump to. What it holds never changes: its name is made of a hash of the text."""

    table: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Dispatch:
    """In a verdict map by interface: packets of the interface ``index`` go through ``chain``."""

    table: str
    map: str
    index: int
    chain: str


@dataclass(frozen=True, slots=True)
class Junction:
    """A chain of a lasting name whose one rule leads to ``chain``. Its exchange is missed by no packet.

    Attributes:
        declared: the text of the table's :class:`Ruleset` has the chain; without a junction it is empty.
    """

    table: str
    name: str
    chain: str
    declared: bool = False


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """In an nftables table, what a rule gives TCP connections: ``seconds`` of silence until they are forgotten."""

    table: str
    seconds: int

    @property
    def names(self) -> dict[int, str]:
        """What rules call it, by IP version."""
        return {version: f"idle{version}-{self.seconds}" for version in (4, 6)}


SecurityObject = Chain | Dispatch | Junction
"""What is changed in one transaction for a whole namespace, additions and removals together."""

KernelObject = (
    NetworkNamespace
    | Sysctl
    | Ruleset
    | VethPair
    | LinkUp
    | InterfaceAddress
    | Route
    | RoutingRule
    | AddressSet
    | Chain
    | Dispatch
    | Junction
    | IdleTimeout
    | Neighbour
    | NeighbourProxy
    | BridgeEntry
    | Element
)

Program = dict[str, frozenset[KernelObject]]
"""What each namespace, by label, should hold."""


@dataclass(frozen=True, slots=True)
class Step:
    """Add an object to a namespace, or remove it. Each step undoes the other."""

    add: bool
    namespace: str
    object: KernelObject

    def inverse(self) -> Step:
        """The step that takes this one back."""
        return Step(not self.add, self.namespace, self.object)


def host_prefix(address: Address) -> Prefix:
    """The prefix that holds one address only."""
    return IPv4Network(address) if address.version == 4 else IPv6Network(address)


def field_bytes(*parts: bytes) -> bytes:
    """Concatenate the fields of a set key, each padded to four bytes as nf_tables wants them."""
    return b"".join(part + bytes(-len(part) % 4) for part in parts)


def index_bytes(index: int) -> bytes:
    """An interface index as nf_tables compares it: 32 bits in the machine's byte order."""
    return index.to_bytes(4, sys.byteorder)
