import json
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from hypothesis import given
from hypothesis import strategies as st

from podvnet.plugin.error import CniError
from podvnet.plugin.result import Dns, Interface, IpConfig, Result, Route, parse, render
from podvnet.plugin.version import SUPPORTED, Shape, shape_of

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
U32 = st.none() | st.integers(0, (1 << 32) - 1)
ADDRESSES = st.ip_addresses()
ADDRESS_INTERFACES = st.builds(
    lambda a, n: IPv4Interface((a, n)), st.ip_addresses(v=4), st.integers(0, 32)
) | st.builds(lambda a, n: IPv6Interface((a, n)), st.ip_addresses(v=6), st.integers(0, 128))
INTERFACES = st.builds(Interface, TEXT, TEXT, U32, TEXT, TEXT, TEXT)
ROUTES = st.builds(
    Route,
    ADDRESS_INTERFACES.map(lambda i: i.network),
    st.none() | ADDRESSES,
    U32,
    U32,
    U32,
    U32,
    st.none() | st.integers(0, 255),
)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)


@st.composite
def results(draw: st.DrawFn) -> Result:
    interfaces = draw(st.lists(INTERFACES, max_size=3))
    index = st.none() | st.integers(0, len(interfaces) - 1) if interfaces else st.none()
    ips = draw(st.lists(st.builds(IpConfig, ADDRESS_INTERFACES, st.none() | ADDRESSES, index), max_size=3))
    routes = draw(st.lists(ROUTES, max_size=3))
    return Result(tuple(interfaces), tuple(ips), tuple(routes), draw(st.builds(Dns, TEXTS, TEXT, TEXTS, TEXTS)))


@given(results())
def test_keeping_loses_nothing(result: Result) -> None:
    assert Result.from_json(result.to_json()) == result


@given(results(), st.sampled_from(SUPPORTED))
def test_what_a_version_can_say_survives_it(result: Result, version: str) -> None:
    try:
        document = json.loads(render(result, version))
    except CniError:
        assert shape_of(version) is Shape.FAMILIES
        assert not result.ips
        return
    again = parse(document, version)
    assert json.loads(render(again, version)) == document
    if shape_of(version) is not Shape.FAMILIES:
        assert [(ip.address, ip.gateway, ip.interface) for ip in again.ips] == [
            (ip.address, ip.gateway, ip.interface) for ip in result.ips
        ]
        assert [route.dst for route in again.routes] == [route.dst for route in result.routes]
        assert [link.sandbox for link in again.interfaces] == [link.sandbox for link in result.interfaces]


@given(results(), st.sampled_from(SUPPORTED))
def test_never_a_negative_index(result: Result, version: str) -> None:
    try:
        document = json.loads(render(result, version))
    except CniError:
        return
    assert all(ip.get("interface", 0) >= 0 for ip in document.get("ips", []))


@given(st.ip_addresses(v=6), st.ip_addresses(v=4))
def test_addresses_are_written_as_go_reads_them(six: IPv6Address, four: IPv4Address) -> None:
    result = Result(ips=(IpConfig(IPv6Interface((six, 64)), six), IpConfig(IPv4Interface((four, 24)), four)))
    assert b"%" not in render(result, "1.0.0")
