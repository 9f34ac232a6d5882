"""Packets as hypothesis draws them for a topology: mostly between its NICs, at ports that its rules are about."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from hypothesis import strategies as st

from podvnet.model.address import IMDS_ADDRESS, WIRESERVER_ADDRESS, Address
from podvnet.model.flow import ICMP, ICMPV6, PORTED, TCP, UDP, Flow
from podvnet.testing.drawn_topology import HOSTS, topologies
from podvnet.testing.scenario import (
    GATEWAY_SENDER,
    INTERNET_SENDER,
    PUBLIC_PLACEHOLDERS,
    Port,
    Scenario,
    Sending,
    Topology,
)

_ESP, _AH, _GRE, _IP_IN_IP, _IPV6_IN_IP = 50, 51, 47, 4, 41
_PROTOCOLS = {
    4: (*[TCP] * 24, *[UDP] * 18, *[ICMP] * 10, *[_ESP] * 3, *[_AH] * 2, _GRE, _IP_IN_IP, _IPV6_IN_IP),
    # An authentication header of IPv6 is no protocol of its own: what it is about stands behind it.
    6: (*[TCP] * 24, *[UDP] * 18, *[ICMPV6] * 10, *[_ESP] * 3, _GRE, _IP_IN_IP, _IPV6_IN_IP),
}
_PORTS = (22, 53, 80, 80, 443, 8080, 32526)
_FRONTEND_PORTS = (22, 53, 53, 80, 80, 443, 8080, 32526, 33000, 33001, 33002)
_PLATFORM_PORTS = (80, 80, 80, 80, 32526, 53, 443)
_SOURCE_PORTS = (*range(1000, 1006), *range(40000, 40012))
_ELSEWHERE = (
    "203.0.113.77", "20.150.1.1", "13.69.104.200", "172.31.0.9", "100.64.0.9", "10.1.1.1", "10.1.1.99", "10.2.1.200",
    "192.168.1.250", "10.77.0.1", "2001:db8::1", "2603:1000:4:400::5", "fd00:0:0:1::99", "fd00:1:0:2::1", "fd77::1",
    "224.0.0.5", "255.255.255.255", "ff02::5",
)  # fmt: skip
"""Addresses that nobody has: public ones, of the tags too, reserved ones, gateways, and what is not routed."""
_STRANGERS = ("10.1.1.66", "10.2.1.66", "203.0.113.5", "168.63.129.16", "fd00:0:0:1::66", "2001:db8::66")
"""Sources that nobody has, or the platform."""
_CLIENTS = (*HOSTS, "203.0.113.250", "198.51.100.77")
"""Of the internet, some of which no host has."""
_PUBLIC = tuple(PUBLIC_PLACEHOLDERS)
_PLATFORM = (IMDS_ADDRESS, WIRESERVER_ADDRESS)


@st.composite
def scenarios(draw: st.DrawFn, packets: int) -> Scenario:
    """A topology with so many packets; no two are of one flow, nor one a reply to another."""
    topology = draw(topologies())
    sendings = draw(st.lists(_sendings(topology), min_size=packets, max_size=packets, unique_by=_connection))
    return Scenario(topology, tuple(sendings))


def _connection(sending: Sending) -> tuple[int, frozenset[tuple[Address, int]]]:
    flow = sending.flow
    ends = frozenset({(flow.source, flow.source_port), (flow.destination, flow.destination_port)})
    return flow.protocol, ends


@st.composite
def _sendings(draw: st.DrawFn, topology: Topology) -> Sending:
    if topology.has_public and draw(st.integers(0, 9)) < 2:
        client = draw(st.sampled_from(_read(_CLIENTS)))
        return Sending(INTERNET_SENDER, _flow(draw, client, draw(st.sampled_from(_PUBLIC)), _FRONTEND_PORTS))
    if topology.gateways and draw(st.integers(0, 9)) < 2:
        return _sent_in(draw, topology)
    port = draw(st.sampled_from([port for port in topology.ports if port.running]))
    source = draw(st.sampled_from(_sources(draw, topology.ports, port)))
    # What has one end twice is no flow.
    others = [each for each in _destinations(draw, topology, source.version) if each != source]
    destination = draw(st.sampled_from(others or _nobody(source.version)))
    is_balanced = destination in topology.frontends or destination in PUBLIC_PLACEHOLDERS
    return Sending(port.name, _flow(draw, source, destination, _FRONTEND_PORTS if is_balanced else _PORTS))


def _sent_in(draw: st.DrawFn, topology: Topology) -> Sending:
    """From on premises: mostly from hosts that are there."""
    gateway = draw(st.sampled_from(topology.gateways))
    hosts = _read([host for site in topology.sites for host in site["hosts"]]) or _read(_STRANGERS)
    others = [address for port in topology.ports for address in port.addresses] + _read(_STRANGERS)
    source = draw(st.sampled_from(others if draw(st.integers(0, 9)) == 0 else hosts))
    destinations = [each for each in _destinations(draw, topology, source.version) if each != source]
    # The platform's addresses are nobody's that a gateway leads to, and public ones are the internet's.
    private = [each for each in destinations if each not in _PLATFORM and each not in PUBLIC_PLACEHOLDERS]
    destination = draw(st.sampled_from(private or _nobody(source.version)))
    likely = _FRONTEND_PORTS if destination in topology.frontends else _PORTS
    return Sending(GATEWAY_SENDER + gateway["name"], _flow(draw, source, destination, likely))


def _flow(draw: st.DrawFn, source: Address, destination: Address, likely: Sequence[int]) -> Flow:
    protocol = draw(st.sampled_from(_PROTOCOLS[source.version]))
    if destination in _PLATFORM:
        protocol, likely = draw(st.sampled_from((*[TCP] * 7, UDP))), _PLATFORM_PORTS
    if protocol not in PORTED:
        return Flow(protocol, source, destination)
    return Flow(protocol, source, destination, draw(st.sampled_from(_SOURCE_PORTS)), draw(st.sampled_from(likely)))


def _sources(draw: st.DrawFn, ports: Sequence[Port], own: Port) -> Sequence[Address]:
    """Mostly the sender's own; what others have, or nobody, goes through where IP forwarding is enabled."""
    others = [address for port in ports for address in port.addresses] + _read(_STRANGERS)
    return others if draw(st.integers(0, 19)) < (6 if own.forwarding else 1) else own.addresses


def _destinations(draw: st.DrawFn, topology: Topology, version: int) -> list[Address]:
    kinds = [*["owned"] * 20, *["hosts"] * 4, *["elsewhere"] * 2, *["platform"] * 3]
    on_premises = _read([host for site in topology.sites for host in site["hosts"]])
    kinds += ["on premises"] * 8 * any(address.version == version for address in on_premises)
    kinds += [*["frontends"] * 10 * bool(topology.frontends), *["public"] * 6 * topology.has_public]
    found: dict[str, Sequence[Address]] = {
        "owned": [address for port in topology.ports for address in port.addresses],
        "frontends": topology.frontends,
        "public": _PUBLIC,
        "hosts": _read(HOSTS),
        "elsewhere": _nobody(version),
        "platform": _PLATFORM,
        "on premises": on_premises,
    }
    return [address for address in found[draw(st.sampled_from(kinds))] if address.version == version]


def _nobody(version: int) -> list[Address]:
    return [address for address in _read(_ELSEWHERE) if address.version == version]


def _read(texts: Sequence[str]) -> list[Address]:
    return [ip_address(text) for text in texts]
