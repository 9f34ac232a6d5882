"""The documents of Docker's plug-in protocol: calls decoded, answers encoded. No effects.

Sources: Docker's documents "Docker Plugin API" and "Docker network driver plugins", libnetwork's ``docs/remote.md`` and
``docs/ipam.md``, and calls recorded of dockerd 20.10 and 28.5. A call is an HTTP POST to ``/<Interface>.<Method>`` with
a JSON object; the answer is one too. A network driver names an error ``Err``, an IPAM driver ``Error``.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json"

EXPOSED_PORTS = "com.docker.network.endpoint.exposedports"
PORT_MAP = "com.docker.network.portmap"
GENERIC = "com.docker.network.generic"
INTERNAL = "com.docker.network.internal"
MTU = "com.docker.network.driver.mtu"
REQUEST_TYPE = "RequestAddressType"
GATEWAY = "com.docker.network.gateway"

Json = dict[str, Any]
T = TypeVar("T")

Identifier = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9]{1,64}\Z")]
"""What Docker names networks and endpoints by: 64 hex digits, or 25 letters and digits in a swarm."""
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
PortOrNone = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_LONGEST_NUMBER = 9


class DockerError(Exception):
    """A call that is refused: Docker shows the text to its user."""

    def __init__(self, message: str, remedy: str = "", *, status: int = 200) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.status = status


class LaterError(DockerError):
    """A call that may be served later.

    Args:
        message, remedy: what it is told when it has waited in vain.
        seconds: when; 0 when only the platform's answer can help.
        wanted: the IP version of the address it waits for; 0 when it waits for something else.
        growing: the pool may get more addresses by itself.
    """

    def __init__(self, message: str, remedy: str, seconds: float, *, wanted: int = 0, growing: bool = False) -> None:
        super().__init__(message, remedy)
        self.seconds = seconds
        self.wanted = wanted
        self.growing = growing


class Empty(msgspec.Struct, frozen=True):
    """A call that says nothing."""


class PoolData(msgspec.Struct, frozen=True):
    """A pool of a network. Gateway and auxiliary addresses have prefix lengths."""

    address_space: str = msgspec.field(name="AddressSpace", default="")
    pool: str = msgspec.field(name="Pool", default="")
    gateway: str = msgspec.field(name="Gateway", default="")
    auxiliary: dict[str, str] | None = msgspec.field(name="AuxAddresses", default=None)


class CreateNetwork(msgspec.Struct, frozen=True):
    """A network is made. ``-o`` options are under the label :data:`GENERIC`."""

    network: Identifier = msgspec.field(name="NetworkID")
    options: dict[str, Any] | None = msgspec.field(name="Options", default=None)
    ipv4: list[PoolData] | None = msgspec.field(name="IPv4Data", default=None)
    ipv6: list[PoolData] | None = msgspec.field(name="IPv6Data", default=None)


class NetworkCall(msgspec.Struct, frozen=True):
    """Something about a network."""

    network: Identifier = msgspec.field(name="NetworkID")


class InterfaceData(msgspec.Struct, frozen=True):
    """What the engine knows of an interface; empty what the driver is to say."""

    address: str = msgspec.field(name="Address", default="")
    address6: str = msgspec.field(name="AddressIPv6", default="")
    mac: str = msgspec.field(name="MacAddress", default="")


class CreateEndpoint(msgspec.Struct, frozen=True):
    """A container is given an interface, which it does not have yet."""

    network: Identifier = msgspec.field(name="NetworkID")
    endpoint: Identifier = msgspec.field(name="EndpointID")
    interface: InterfaceData | None = msgspec.field(name="Interface", default=None)
    options: dict[str, Any] | None = msgspec.field(name="Options", default=None)


class EndpointCall(msgspec.Struct, frozen=True):
    """Something about an endpoint. ``sandbox``: the path of the container's namespace, which need not be there yet."""

    network: Identifier = msgspec.field(name="NetworkID")
    endpoint: Identifier = msgspec.field(name="EndpointID")
    sandbox: str = msgspec.field(name="SandboxKey", default="")
    options: dict[str, Any] | None = msgspec.field(name="Options", default=None)


class RequestPool(msgspec.Struct, frozen=True):
    """A subnet is asked for; ``sub_pool`` is ``--ip-range``."""

    address_space: str = msgspec.field(name="AddressSpace", default="")
    pool: str = msgspec.field(name="Pool", default="")
    sub_pool: str = msgspec.field(name="SubPool", default="")
    options: dict[str, str] | None = msgspec.field(name="Options", default=None)
    v6: bool = msgspec.field(name="V6", default=False)


class PoolCall(msgspec.Struct, frozen=True):
    """A subnet is not wanted any more."""

    pool: str = msgspec.field(name="PoolID")


class AddressCall(msgspec.Struct, frozen=True):
    """An address, without prefix length, is asked for (empty: any) or given back."""

    pool: str = msgspec.field(name="PoolID")
    address: str = msgspec.field(name="Address", default="")
    options: dict[str, str] | None = msgspec.field(name="Options", default=None)


class PortBinding(msgspec.Struct, frozen=True):
    """A port to publish. ``host_port`` 0 or a range up to ``host_port_end``: one of the driver's choice."""

    protocol: int = msgspec.field(name="Proto")
    port: Port = msgspec.field(name="Port")
    host: str = msgspec.field(name="HostIP", default="")
    host_port: PortOrNone = msgspec.field(name="HostPort", default=0)
    host_port_end: PortOrNone = msgspec.field(name="HostPortEnd", default=0)


Call = Empty | CreateNetwork | NetworkCall | CreateEndpoint | EndpointCall | RequestPool | PoolCall | AddressCall

METHODS: dict[str, type[Call]] = {
    "Plugin.Activate": Empty,
    "NetworkDriver.GetCapabilities": Empty,
    "NetworkDriver.CreateNetwork": CreateNetwork,
    "NetworkDriver.DeleteNetwork": NetworkCall,
    "NetworkDriver.CreateEndpoint": CreateEndpoint,
    "NetworkDriver.DeleteEndpoint": EndpointCall,
    "NetworkDriver.EndpointOperInfo": EndpointCall,
    "NetworkDriver.Join": EndpointCall,
    "NetworkDriver.Leave": EndpointCall,
    "NetworkDriver.ProgramExternalConnectivity": EndpointCall,
    "NetworkDriver.RevokeExternalConnectivity": EndpointCall,
    "NetworkDriver.DiscoverNew": Empty,
    "NetworkDriver.DiscoverDelete": Empty,
    "IpamDriver.GetCapabilities": Empty,
    "IpamDriver.GetDefaultAddressSpaces": Empty,
    "IpamDriver.RequestPool": RequestPool,
    "IpamDriver.ReleasePool": PoolCall,
    "IpamDriver.RequestAddress": AddressCall,
    "IpamDriver.ReleaseAddress": AddressCall,
}
"""What is answered. AllocateNetwork and FreeNetwork are for swarms, whose networks span machines."""

_SWARM = {"NetworkDriver.AllocateNetwork", "NetworkDriver.FreeNetwork"}


def decode(path: str, body: bytes) -> tuple[str, Call]:
    """Read a call.

    Args:
        path: of the URL.
        body: may be empty for a call that says nothing.

    Raises:
        DockerError: there is no such call, or the body is not what it has to be.
    """
    method = path.removeprefix("/")
    if method in _SWARM:
        raise DockerError(
            f"{method}: networks of a swarm are not served, the scope of this driver is local",
            "create the network on each VM, without --scope swarm",
        )
    shape = METHODS.get(method)
    if shape is None:
        raise DockerError(f"{method or '/'} is not a call of this driver", "is this Docker newer than it?", status=404)
    return method, read(method, body or b"{}", shape)


def read(what: str, body: bytes, shape: type[T]) -> T:
    """Decode JSON into a shape.

    Raises:
        DockerError: it is not of that shape.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DockerError(f"{what}: the document cannot be read: {error}", status=400) from None


def port_bindings(options: Json | None) -> list[PortBinding]:
    """The ports to publish.

    Raises:
        DockerError: they are not of the known shape.
    """
    try:
        return msgspec.convert((options or {}).get(PORT_MAP) or [], list[PortBinding])
    except msgspec.ValidationError as error:
        raise DockerError(f"the option {PORT_MAP} cannot be read: {error}") from None


def whole_number(text: str) -> int | None:
    """The number that up to nine decimal digits write; None for any other text."""
    plain = text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
    return int(text) if plain else None


def answer(document: Json) -> bytes:
    """Encode an answer."""
    return msgspec.json.encode(document)


def refusal(error: DockerError) -> bytes:
    """Encode an error, so that both kinds of driver understand it."""
    return msgspec.json.encode({"Err": str(error), "Error": str(error)})
