"""The answer to ADD: interfaces, addresses, routes, DNS, in every shape from CNI 0.1.0 to 1.1.0.

In memory there is one shape, that of 1.1.0; ``render`` says it in the version asked for and ``parse`` reads
``prevResult`` of any version. Source: CNI specification 1.1.0 section 5 "Success"; the older shapes from the documents
of those versions.

What is lost on the way down: below 1.1.0 the mtu, socketPath and pciID of interfaces and everything but ``dst`` and
``gw`` of routes; below 0.3.0 interfaces altogether and all but the first address of each family.

Invariant: ``interface`` of an address is the index of an interface or absent, never negative. -1 for "none" is an old
habit that makes containerd 1.6 and 2.1 panic.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from podvnet.model.address import Address, Prefix
from podvnet.model.address import Interface as AddressInterface
from podvnet.plugin.document import Document, decode
from podvnet.plugin.error import CniError, Code, quoted
from podvnet.plugin.version import NEWEST, SUPPORTED, Shape, effective_version, is_supported, shape_of

_Json = dict[str, object]
_U32: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that ADD made or changed.

    ``sandbox`` is exactly the text of ``CNI_NETNS`` for one inside the pod and "" for one on the node; ``mtu`` in
    bytes. podman refuses one in a sandbox without ``mac``.
    """

    name: str
    mac: str = ""
    mtu: int | None = None
    sandbox: str = ""
    socket_path: str = ""
    pci_id: str = ""


@dataclass(frozen=True, slots=True)
class IpConfig:
    """An address with its prefix length, its gateway, and the index of its interface in ``Result.interfaces``."""

    address: AddressInterface
    gateway: Address | None = None
    interface: int | None = None

    def __post_init__(self) -> None:
        if self.interface is not None and self.interface < 0:
            raise ValueError(f"interface index {self.interface} of {self.address}: leave it out instead")


@dataclass(frozen=True, slots=True)
class Route:
    """A route in the pod; without ``gw`` the runtime takes the gateway of its address. Units: mtu, advmss bytes."""

    dst: Prefix
    gw: Address | None = None
    mtu: int | None = None
    advmss: int | None = None
    priority: int | None = None
    table: int | None = None
    scope: int | None = None


@dataclass(frozen=True, slots=True)
class Dns:
    """What goes into the pod's resolv.conf."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


_NO_DNS: Final = Dns()


@dataclass(frozen=True, slots=True)
class Result:
    """A success of ADD in the shape of CNI 1.1.0. An IPAM plug-in leaves ``interfaces`` and their indexes out."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[IpConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: Dns = _NO_DNS

    def to_json(self) -> bytes:
        """Return the whole of it as JSON of 1.1.0, for keeping."""
        return render(self, NEWEST)

    @classmethod
    def from_json(cls, kept: bytes) -> "Result":
        """Read what ``to_json`` gave; ``CniError`` 5 if it is damaged."""
        try:
            return parse(decode(kept), NEWEST)
        except CniError as error:
            raise CniError(Code.IO_FAILURE, f"a kept result is damaged: {error.msg}") from error


def render(result: Result, version: str) -> bytes:
    """Return the result as JSON in the shape of ``version``, which must be a supported one.

    Raises ``CniError`` 7 where the version cannot express it: 0.1.0 and 0.2.0 must have an address.
    """
    shape = shape_of(version)
    values: _Json = {"cniVersion": version}
    if shape is Shape.FAMILIES:
        values |= _families(result, version)
    else:
        detailed = shape is Shape.DETAILED_LISTS
        if result.interfaces:
            values["interfaces"] = [_interface(link, detailed=detailed) for link in result.interfaces]
        if result.ips:
            values["ips"] = [_ip(ip, versioned=shape is Shape.LISTS) for ip in result.ips]
        if result.routes:
            values["routes"] = [_route(route, detailed=detailed) for route in result.routes]
    if dns := _without_empty(
        {
            "nameservers": result.dns.nameservers,
            "domain": result.dns.domain,
            "search": result.dns.search,
            "options": result.dns.options,
        }
    ):
        values["dns"] = dns
    return msgspec.json.encode(values)


def parse(document: dict[str, object], version: str) -> Result:
    """Read a decoded ``prevResult`` by its own ``cniVersion``, or by ``version`` (the configuration's) if it has none.

    Raises ``CniError`` 6 naming the place for anything malformed, 1 for a version we do not know. A negative interface
    index, as old plug-ins wrote it, is read as "none".
    """
    source = Document(document, "prevResult", code=Code.CANNOT_DECODE)
    stated = source.text("cniVersion") or effective_version(version)
    if not is_supported(stated):
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"prevResult has cniVersion {quoted(stated)}",
            f"supported are {', '.join(SUPPORTED)}",
        )
    dns = parse_dns(source.child("dns"))
    if shape_of(stated) is Shape.FAMILIES:
        return _parse_families(source, dns)
    interfaces = tuple(_parse_interface(link) for link in source.children("interfaces"))
    return Result(
        interfaces=interfaces,
        ips=tuple(_parse_ip(ip, "address", len(interfaces)) for ip in source.children("ips")),
        routes=tuple(_parse_route(route) for route in source.children("routes")),
        dns=dns,
    )


def parse_dns(document: Document, *, nameservers: str = "nameservers", search: str = "search") -> Dns:
    """Read a ``dns`` object; ``runtimeConfig.dns`` has other names for two of the keys."""
    if not document:
        return _NO_DNS
    return Dns(
        nameservers=document.texts(nameservers),
        domain=document.text("domain"),
        search=document.texts(search),
        options=document.texts("options"),
    )


def _families(result: Result, version: str) -> _Json:
    values: _Json = {}
    for family, key in ((4, "ip4"), (6, "ip6")):
        first = next((ip for ip in result.ips if ip.address.version == family), None)
        if first is None:
            continue
        routes = [_route(route, detailed=False) for route in result.routes if route.dst.version == family]
        values[key] = _without_empty({"ip": str(first.address), "gateway": _text(first.gateway), "routes": routes})
    if not values:
        raise CniError(
            Code.INVALID_CONFIG,
            f"a result without an address cannot be given in CNI {version}",
            "set cniVersion of the network to 0.3.0 or newer",
        )
    return values


def _interface(link: Interface, *, detailed: bool) -> _Json:
    values: _Json = {"name": link.name, "mac": link.mac, "sandbox": link.sandbox}
    if detailed:
        values |= {"mtu": link.mtu, "socketPath": link.socket_path, "pciID": link.pci_id}
    return _without_empty(values)


def _ip(ip: IpConfig, *, versioned: bool) -> _Json:
    values: _Json = {"version": str(ip.address.version)} if versioned else {}
    values |= {"address": str(ip.address), "gateway": _text(ip.gateway), "interface": ip.interface}
    return _without_empty(values)


def _route(route: Route, *, detailed: bool) -> _Json:
    values: _Json = {"dst": str(route.dst), "gw": _text(route.gw)}
    if detailed:
        values |= {
            "mtu": route.mtu,
            "advmss": route.advmss,
            "priority": route.priority,
            "table": route.table,
            "scope": route.scope,
        }
    return _without_empty(values)


def _without_empty(values: _Json) -> _Json:
    return {key: value for key, value in values.items() if value is not None and value not in ("", (), [])}


def _text(address: Address | None) -> str:
    return "" if address is None else str(address)


def _parse_families(source: Document, dns: Dns) -> Result:
    ips: list[IpConfig] = []
    routes: list[Route] = []
    for key in ("ip4", "ip6"):
        if family := source.child(key):
            ips.append(_parse_ip(family, "ip", 0))
            routes += (_parse_route(route) for route in family.children("routes"))
    return Result(ips=tuple(ips), routes=tuple(routes), dns=dns)


def _parse_interface(source: Document) -> Interface:
    return Interface(
        name=source.text("name"),
        mac=source.text("mac"),
        mtu=source.integer("mtu", 0, _U32),
        sandbox=source.text("sandbox"),
        socket_path=source.text("socketPath"),
        pci_id=source.text("pciID"),
    )


def _parse_ip(source: Document, address_key: str, interfaces: int) -> IpConfig:
    index = source.integer("interface", -_U32, _U32)
    if index is not None and index >= interfaces:
        source.reject_value("interface", f"is {index}, but there are {interfaces} interfaces")
    address = source.interface(address_key)
    if address is None:
        raise CniError(Code.CANNOT_DECODE, f"{source.place(address_key)} is missing")
    return IpConfig(
        address=address,
        gateway=source.address("gateway"),
        interface=index if index is not None and index >= 0 else None,
    )


def _parse_route(source: Document) -> Route:
    dst = source.network("dst")
    if dst is None:
        raise CniError(Code.CANNOT_DECODE, f"{source.place('dst')} is missing")
    return Route(
        dst=dst,
        gw=source.address("gw"),
        mtu=source.integer("mtu", 0, _U32),
        advmss=source.integer("advmss", 0, _U32),
        priority=source.integer("priority", 0, _U32),
        table=source.integer("table", 0, _U32),
        scope=source.integer("scope", 0, 255),
    )
