"""What a runtime fills in for one pod: ``runtimeConfig`` and ``args.cni``.

Source: CNI conventions, "Dynamic plugin specific fields" and "args". Keys are read in any capitalisation: containerd
sends its own Go field names (``HostPort``, ``IngressRate``, ``Servers``). A capability that we do not act on is named
in a warning, since it is only sent when the configuration asks for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from podvnet.model.address import Address, Mac, parse_mac
from podvnet.model.pod_ask import PodAsk
from podvnet.plugin.document import Document
from podvnet.plugin.pod_ask import KEY, parse_ask
from podvnet.plugin.result import Dns, parse_dns

POD_ANNOTATIONS: Final = "io.kubernetes.cri.pod-annotations"
_U64: Final = (1 << 64) - 1
_PROTOCOLS: Final = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A port of the node that leads to one of the pod; ``host_ip`` None means every address of the node."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_ip: Address | None = None


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Shaping; rates in bits per second, bursts in bits, 0 for no limit. "Ingress" is towards the pod."""

    ingress_rate: int = 0
    ingress_burst: int = 0
    egress_rate: int = 0
    egress_burst: int = 0


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """The per-pod wishes of a runtime; every field is empty when the runtime did not say.

    ``ips`` and ``mac`` come from ``runtimeConfig``; ``hinted_ips`` from ``args.cni.ips``, an optional hint. What the
    pod gets is decided by ``Request.wanted_addresses``. ``ask`` is of ``runtimeConfig``, else of ``args.cni``.
    """

    port_mappings: tuple[PortMapping, ...] = ()
    bandwidth: Bandwidth | None = None
    dns: Dns = field(default_factory=Dns)
    ips: tuple[Address, ...] = ()
    mac: Mac | None = None
    hinted_ips: tuple[Address, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ask: PodAsk | None = None


def parse_runtime_config(runtime: Document, args: Document) -> RuntimeConfig:
    """Read the objects under ``runtimeConfig`` and ``args``; ``CniError`` 7 for a value of the wrong type or range."""
    if not runtime and not args:
        return RuntimeConfig()
    hints = args.child("cni")
    asked, hinted = parse_ask(runtime.child(KEY)), parse_ask(hints.child(KEY))
    config = RuntimeConfig(
        port_mappings=tuple(
            mapping for item in runtime.children("portMappings") if (mapping := _parse_port_mapping(item)) is not None
        ),
        bandwidth=_parse_bandwidth(runtime.child("bandwidth")),
        dns=parse_dns(runtime.child("dns"), nameservers="servers", search="searches"),
        ips=runtime.addresses("ips"),
        mac=_parse_mac(runtime),
        hinted_ips=hints.addresses("ips"),
        annotations=MappingProxyType(runtime.mapping(POD_ANNOTATIONS)),
        ask=asked or hinted,
    )
    runtime.warn(runtime.unread(), "not a capability of ours; take it out of 'capabilities'")
    return config


def _parse_port_mapping(source: Document) -> PortMapping | None:
    host_port = source.integer("hostPort", 0, 65535)
    container_port = source.integer("containerPort", 1, 65535)
    protocol = source.text("protocol", "tcp").lower() or "tcp"
    if protocol not in _PROTOCOLS:
        source.reject_value("protocol", f"must be one of {', '.join(_PROTOCOLS)}")
    if container_port is None:
        source.reject_value("containerPort", "is missing")
    if not host_port or container_port is None:
        return None  # host port 0 asks for nothing: containerd leaves such entries out itself
    return PortMapping(host_port, container_port, protocol, source.address("hostIP"))


def _parse_bandwidth(source: Document) -> Bandwidth | None:
    if not source:
        return None
    return Bandwidth(
        ingress_rate=source.integer("ingressRate", 0, _U64) or 0,
        ingress_burst=source.integer("ingressBurst", 0, _U64) or 0,
        egress_rate=source.integer("egressRate", 0, _U64) or 0,
        egress_burst=source.integer("egressBurst", 0, _U64) or 0,
    )


def _parse_mac(source: Document) -> Mac | None:
    text = source.text("mac")
    if not text:
        return None
    try:
        return unicast_mac(text)
    except ValueError as error:
        source.reject_value("mac", f"is refused: {error}")
        return None


def unicast_mac(text: str) -> Mac:
    """Read a MAC an interface can have; ``ValueError`` for no MAC, a group address, or all zeros."""
    mac = parse_mac(text.strip())
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise ValueError(f"{mac} is not the address of one interface")
    return mac
