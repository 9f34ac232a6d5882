import json
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from podvnet.plugin.error import CniError, Code
from podvnet.plugin.result import Dns, Interface, IpConfig, Result, Route, parse, render
from podvnet.plugin.version import SUPPORTED

FULL = Result(
    interfaces=(
        Interface("azv1", mac="aa:aa:aa:aa:aa:01", mtu=1500),
        Interface("eth0", mac="aa:aa:aa:aa:aa:02", mtu=1400, sandbox="/run/netns/a", socket_path="/s", pci_id="0:1"),
    ),
    ips=(
        IpConfig(ip_interface("10.0.0.4/16"), ip_address("10.0.0.1"), 1),
        IpConfig(ip_interface("10.0.0.5/16"), None, 1),
        IpConfig(ip_interface("fd00::4/64"), ip_address("fd00::1"), 1),
    ),
    routes=(
        Route(ip_network("0.0.0.0/0"), ip_address("10.0.0.1"), 1400, 1360, 10, 100, 253),
        Route(ip_network("169.254.0.0/16")),
        Route(ip_network("::/0"), ip_address("fd00::1")),
    ),
    dns=Dns(("168.63.129.16",), "example.org", ("svc",), ("ndots:5",)),
)

DNS = {
    "nameservers": ["168.63.129.16"],
    "domain": "example.org",
    "search": ["svc"],
    "options": ["ndots:5"],
}
INTERFACES = [
    {"name": "azv1", "mac": "aa:aa:aa:aa:aa:01"},
    {"name": "eth0", "mac": "aa:aa:aa:aa:aa:02", "sandbox": "/run/netns/a"},
]
IPS = [
    {"address": "10.0.0.4/16", "gateway": "10.0.0.1", "interface": 1},
    {"address": "10.0.0.5/16", "interface": 1},
    {"address": "fd00::4/64", "gateway": "fd00::1", "interface": 1},
]
ROUTES = [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}, {"dst": "169.254.0.0/16"}, {"dst": "::/0", "gw": "fd00::1"}]
FAMILIES = {
    "ip4": {
        "ip": "10.0.0.4/16",
        "gateway": "10.0.0.1",
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}, {"dst": "169.254.0.0/16"}],
    },
    "ip6": {"ip": "fd00::4/64", "gateway": "fd00::1", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
    "dns": DNS,
}
VERSIONED = {
    "interfaces": INTERFACES,
    "ips": [{"version": version, **ip} for version, ip in zip("446", IPS, strict=True)],
    "routes": ROUTES,
    "dns": DNS,
}
TABLE: dict[str, dict[str, object]] = {
    "0.1.0": FAMILIES,
    "0.2.0": FAMILIES,
    "0.3.0": VERSIONED,
    "0.3.1": VERSIONED,
    "0.4.0": VERSIONED,
    "1.0.0": {"interfaces": INTERFACES, "ips": IPS, "routes": ROUTES, "dns": DNS},
    "1.1.0": {
        "interfaces": [
            {**INTERFACES[0], "mtu": 1500},
            {**INTERFACES[1], "mtu": 1400, "socketPath": "/s", "pciID": "0:1"},
        ],
        "ips": IPS,
        "routes": [
            {**ROUTES[0], "mtu": 1400, "advmss": 1360, "priority": 10, "table": 100, "scope": 253},
            *ROUTES[1:],
        ],
        "dns": DNS,
    },
}


@pytest.mark.parametrize("version", SUPPORTED)
def test_each_row_of_the_conversion_table(version: str) -> None:
    assert json.loads(render(FULL, version)) == {"cniVersion": version, **TABLE[version]}


@pytest.mark.parametrize("version", SUPPORTED)
def test_each_row_read_back(version: str) -> None:
    document = json.loads(render(FULL, version))
    assert json.loads(render(parse(document, "0.1.0"), version)) == document


def test_the_whole_of_it_survives_keeping() -> None:
    assert Result.from_json(FULL.to_json()) == FULL
    assert Result.from_json(Result().to_json()) == Result()


@pytest.mark.parametrize("kept", [b"", b"{", b'{"ips": 1}', b'{"cniVersion": "9"}'])
def test_a_damaged_kept_result(kept: bytes) -> None:
    with pytest.raises(CniError, match="a kept result is damaged") as caught:
        Result.from_json(kept)
    assert caught.value.code is Code.IO_FAILURE


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_the_oldest_shapes_must_have_an_address(version: str) -> None:
    with pytest.raises(CniError, match="without an address") as caught:
        render(Result(interfaces=FULL.interfaces), version)
    assert caught.value.code is Code.INVALID_CONFIG


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_routes_of_a_family_without_address_are_dropped_in_the_oldest_shapes(version: str) -> None:
    only_six = Result(ips=FULL.ips[2:], routes=FULL.routes)
    assert set(json.loads(render(only_six, version))) == {"cniVersion", "ip6"}


@pytest.mark.parametrize("version", SUPPORTED[2:])
def test_an_empty_result_is_just_its_version(version: str) -> None:
    assert json.loads(render(Result(), version)) == {"cniVersion": version}


def test_an_unknown_version_cannot_be_rendered() -> None:
    with pytest.raises(KeyError):
        render(FULL, "9.9.9")


def test_legacy_families_become_lists_four_before_six() -> None:
    result = parse({"cniVersion": "0.2.0", **FAMILIES}, "1.0.0")
    assert [str(ip.address) for ip in result.ips] == ["10.0.0.4/16", "fd00::4/64"]
    assert [str(route.dst) for route in result.routes] == ["0.0.0.0/0", "169.254.0.0/16", "::/0"]
    assert result.interfaces == ()
    assert all(ip.interface is None for ip in result.ips)


def test_prev_result_is_read_by_its_own_version_first() -> None:
    legacy: dict[str, object] = {"ip4": {"ip": "10.0.0.4/16"}}
    assert len(parse({"cniVersion": "0.2.0", **legacy}, "1.0.0").ips) == 1
    assert len(parse(legacy, "0.2.0").ips) == 1
    assert len(parse(legacy, "").ips) == 1
    assert parse(legacy, "1.0.0").ips == ()


def test_a_negative_index_cannot_be_made_and_is_read_as_none() -> None:
    with pytest.raises(ValueError, match="interface index -1"):
        IpConfig(ip_interface("10.0.0.4/16"), interface=-1)
    document: dict[str, object] = {
        "interfaces": [{"name": "eth0"}],
        "ips": [{"address": "10.0.0.4/16", "interface": -1}],
    }
    result = parse(document, "1.0.0")
    assert result.ips[0].interface is None
    assert b'interface":-1' not in render(result, "0.4.0")


@pytest.mark.parametrize(
    ("document", "msg"),
    [
        (
            {"ips": [{"address": "10.0.0.4/16", "interface": 0}]},
            "prevResult.ips[0].interface is 0, but there are 0 interfaces",
        ),
        ({"ips": [{}]}, "prevResult.ips[0].address is missing"),
        ({"ips": {}}, "prevResult.ips must be a list, but an object was given"),
        ({"ips": [None]}, "prevResult.ips must be a list of objects, but null was given"),
        (
            {"ips": [{"address": "10.0.0.4/33"}]},
            (
                "prevResult.ips[0].address must be an address with prefix length such as 10.0.0.4/16, "
                "but '10.0.0.4/33' was given"
            ),
        ),
        ({"routes": [{}]}, "prevResult.routes[0].dst is missing"),
        ({"routes": [{"dst": "::/0", "mtu": -1}]}, "prevResult.routes[0].mtu is -1, outside 0 to 4294967295"),
        ({"interfaces": [{"name": 1}]}, "prevResult.interfaces[0].name must be a string, but a number was given"),
        ({"dns": {"nameservers": 1}}, "prevResult.dns.nameservers must be a list, but a number was given"),
        ({"cniVersion": 1}, "prevResult.cniVersion must be a string, but a number was given"),
    ],
)
def test_a_malformed_prev_result_is_code_6_and_names_the_place(document: dict[str, object], msg: str) -> None:
    with pytest.raises(CniError) as caught:
        parse(document, "1.1.0")
    assert (caught.value.code, caught.value.msg) == (Code.CANNOT_DECODE, msg)


def test_a_prev_result_of_a_version_to_come_is_code_1() -> None:
    with pytest.raises(CniError, match=r"prevResult has cniVersion '2\.0\.0'") as caught:
        parse({"cniVersion": "2.0.0"}, "1.0.0")
    assert caught.value.code is Code.INCOMPATIBLE_VERSION


def test_nulls_are_absent() -> None:
    document: dict[str, object] = {
        "interfaces": None,
        "ips": [{"address": "10.0.0.4/16", "gateway": None}],
        "dns": None,
    }
    assert parse(document, "1.0.0") == Result(ips=(IpConfig(ip_interface("10.0.0.4/16")),))
