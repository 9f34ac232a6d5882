"""Docker's calls, each as recorded of a daemon, answered by the driver over a real ledger; the kernel is a stand-in."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from podvnet.agent.docker import protocol
from podvnet.agent.docker.protocol import DockerError
from podvnet.model.attachment import Node
from podvnet.testing.docker_plugin import ENDPOINT, IPV4, NETWORK, NODE, OTHER, POOL, POOL6, E, Plugin, ports

# -- what depends on nothing


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("Plugin.Activate", {"Implements": ["NetworkDriver", "IpamDriver"]}),
        ("NetworkDriver.GetCapabilities", {"Scope": "local", "ConnectivityScope": "local"}),
        ("IpamDriver.GetCapabilities", {"RequiresMACAddress": False, "RequiresRequestReplay": False}),
        (
            "IpamDriver.GetDefaultAddressSpaces",
            {"LocalDefaultAddressSpace": "azure-vnet", "GlobalDefaultAddressSpace": "azure-vnet"},
        ),
        ("NetworkDriver.DiscoverNew", {}),
        ("NetworkDriver.DiscoverDelete", {}),
    ],
)
def test_calls_that_say_nothing_are_answered_with_and_without_a_body(
    plugin: Plugin, method: str, answer: dict[str, Any]
) -> None:
    assert plugin.raw(method, b"") == (200, answer)
    assert plugin.raw(method, b"{}") == (200, answer)


@pytest.mark.parametrize("method", ["NetworkDriver.Unheard", "", "GraphDriver.Init", "networkdriver.join"])
def test_an_unknown_call_is_refused_as_both_kinds_of_driver_do_it(plugin: Plugin, method: str) -> None:
    status, answer = plugin.raw(method, b"{}")
    assert status == 404
    assert answer["Err"] == answer["Error"]
    assert "not a call of this driver" in answer["Err"]


@pytest.mark.parametrize("method", ["NetworkDriver.AllocateNetwork", "NetworkDriver.FreeNetwork"])
def test_networks_of_a_swarm_are_refused_in_words(plugin: Plugin, method: str) -> None:
    assert "swarm" in plugin.refused(method, NetworkID=NETWORK)


@pytest.mark.parametrize("method", sorted(protocol.METHODS))
@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b"\xff\xfe", b'{"NetworkID": 7, "PoolID": 7}', b"null"])
def test_a_malformed_body_is_an_error_and_never_a_bug(plugin: Plugin, method: str, body: bytes) -> None:
    status, answer = plugin.raw(method, body)
    if protocol.METHODS[method] is protocol.Empty and body.startswith(b'{"'):
        assert status == 200
    elif method == "IpamDriver.RequestPool" and body.startswith(b'{"'):
        assert "no subnet is given" in answer["Err"]  # knows neither key
    else:
        assert status == 400
        assert "cannot be read" in answer["Err"]


@pytest.mark.parametrize(
    "method", sorted(name for name, shape in protocol.METHODS.items() if shape is not protocol.Empty)
)
def test_an_empty_document_is_an_error(plugin: Plugin, method: str) -> None:
    status, answer = plugin.raw(method, b"{}")
    assert status == 400 or "no subnet is given" in answer["Err"]


# -- pools and addresses


def test_a_pool_is_a_subnet_of_the_nic(plugin: Plugin) -> None:
    asked = {"AddressSpace": "azure-vnet", "SubPool": "", "Options": {}, "V6": False}
    assert plugin.call("IpamDriver.RequestPool", Pool="10.1.1.0/24", **asked) == {
        "PoolID": POOL,
        "Pool": "10.1.1.0/24",
        "Data": {},
    }
    assert plugin.call("IpamDriver.RequestPool", Pool="fd00::/64", **asked | {"V6": True})["PoolID"] == POOL6
    assert "NIC eth0 is in 10.1.1.0/24; add --subnet" in plugin.refused("IpamDriver.RequestPool", **asked)
    assert "NIC eth0 is in fd00::/64" in plugin.refused("IpamDriver.RequestPool", **asked | {"V6": True})
    assert "which is in 10.1.1.0/24" in plugin.refused("IpamDriver.RequestPool", Pool="10.1.0.0/16", **asked)
    assert "not a subnet" in plugin.refused("IpamDriver.RequestPool", Pool="10.1.1.7/24", **asked)
    assert "is not in 10.1.1.0/24" in plugin.refused(
        "IpamDriver.RequestPool", Pool="10.1.1.0/24", **asked | {"SubPool": "10.1.2.0/28"}
    )
    assert "--ipam-opt x" in plugin.refused("IpamDriver.RequestPool", **asked | {"Options": {"x": "y"}})
    assert plugin.call("IpamDriver.ReleasePool", PoolID=POOL) == {}
    assert "not a pool" in plugin.refused("IpamDriver.ReleasePool", PoolID="somebody's")


def test_ipv6_is_refused_on_a_nic_without_it(plugin: Plugin) -> None:
    plugin.standing.node = Node("eth0", 2, NODE.nic_mac, NODE.primary[:1], NODE.subnets[:1], 1500)
    assert "NIC eth0 has no IPv6" in plugin.refused("IpamDriver.RequestPool", V6=True)


def test_the_gateway_is_the_first_address_and_takes_none_of_the_pool(plugin: Plugin) -> None:
    gateway = {"RequestAddressType": "com.docker.network.gateway"}
    asked = {"PoolID": POOL, "Options": gateway}
    assert plugin.call("IpamDriver.RequestAddress", **asked, Address="")["Address"] == "10.1.1.1/24"
    assert plugin.call("IpamDriver.RequestAddress", **asked, Address="10.1.1.1")["Address"] == "10.1.1.1/24"
    assert plugin.call("IpamDriver.RequestAddress", PoolID=POOL6, Options=gateway)["Address"] == "fd00::1/64"
    assert "which is 10.1.1.1" in plugin.refused("IpamDriver.RequestAddress", **asked, Address="10.1.1.254")
    assert plugin.held == 0
    assert plugin.call("IpamDriver.ReleaseAddress", PoolID=POOL, Address="10.1.1.1") == {}


def test_no_two_get_the_same_address_and_it_can_be_chosen(plugin: Plugin) -> None:
    assert plugin.address(wanted="10.1.1.6") == "10.1.1.6/32"
    assert [plugin.address(), plugin.address()] == ["10.1.1.5/32", "10.1.1.7/32"]
    assert plugin.address(POOL6) == "fd00::5/128"
    asked = {"PoolID": POOL, "Options": None}
    assert "in use by" in plugin.refused("IpamDriver.RequestAddress", **asked, Address="10.1.1.6")
    assert "not an address of this VM's pool" in plugin.refused(
        "IpamDriver.RequestAddress", **asked, Address="10.1.1.9"
    )
    assert "not in the subnet" in plugin.refused("IpamDriver.RequestAddress", **asked, Address="10.9.1.9")
    assert plugin.call("IpamDriver.ReleaseAddress", PoolID=POOL, Address="10.1.1.6") == {}
    assert plugin.address() == "10.1.1.6/32"


def test_addresses_come_from_the_range_of_the_network(plugin: Plugin) -> None:
    assert plugin.address("azure-vnet|10.1.1.0/24|10.1.1.6/31") == "10.1.1.6/32"


# -- networks


def test_a_network_needs_our_ipam_driver_and_options_that_are_known(plugin: Plugin) -> None:
    foreign = [{"AddressSpace": "LocalDefault", "Pool": "172.18.0.0/16", "Gateway": "172.18.0.1/16"}]
    create = {"NetworkID": NETWORK, "IPv6Data": []}
    assert "--ipam-driver azure-vnet" in plugin.refused("NetworkDriver.CreateNetwork", **create, IPv4Data=foreign)
    for options, words in (
        ({"x": "y"}, "-o x is not known"),
        ({"com.microsoft.azure.network.mode": "tunnel"}, "mode transparent"),
        ({"com.docker.network.driver.mtu": "9000"}, "between 1280 and 1500"),
        ({"com.docker.network.driver.mtu": "big"}, "between 1280 and 1500"),
    ):
        generic = {"com.docker.network.generic": options}
        assert words in plugin.refused("NetworkDriver.CreateNetwork", **create, IPv4Data=IPV4, Options=generic)


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"IPv4Data": [IPV4[0] | {"Pool": "ten"}]}, "'ten' is not a subnet"),
        ({"IPv4Data": [IPV4[0] | {"Pool": ""}]}, "'' is not a subnet"),
        ({"IPv4Data": [IPV4[0] | {"Pool": "10.1.1.7/24"}]}, "'10.1.1.7/24' is not a subnet"),
        ({"IPv4Data": [IPV4[0] | {"Pool": "10.2.0.0/24"}]}, "10.2.0.0/24 is not a subnet of NIC eth0"),
        ({"IPv6Data": [{"AddressSpace": "azure-vnet", "Pool": "fd01::/64"}]}, "fd01::/64 is not a subnet of NIC eth0"),
        ({"IPv4Data": [IPV4[0] | {"AuxAddresses": {"router": "nine"}}]}, "'nine' is not an address"),
        ({"IPv4Data": [7]}, "cannot be read"),
        ({"IPv4Data": None, "IPv6Data": None}, "--ipam-driver azure-vnet"),
        ({"Options": {"com.docker.network.generic": "all"}}, "is 'all', not a list of names and values"),
        ({"Options": {"com.docker.network.generic": [1]}}, "is [1], not a list of names and values"),
        ({"Options": {"com.docker.network.internal": "false"}}, "is 'false', not true or false"),
        ({"NetworkID": "a network"}, "cannot be read"),
        ({"NetworkID": ""}, "cannot be read"),
        ({"NetworkID": f"{NETWORK}\n"}, "cannot be read"),
    ],
)
def test_a_network_that_cannot_be_understood_is_refused_and_never_a_bug(
    plugin: Plugin, spoilt: dict[str, Any], words: str
) -> None:
    sound = {"NetworkID": NETWORK, "Options": {}, "IPv4Data": IPV4, "IPv6Data": []}
    assert words in plugin.refused("NetworkDriver.CreateNetwork", **sound | spoilt)
    assert plugin.held == 0
    plugin.call("NetworkDriver.CreateNetwork", **sound)


@pytest.mark.parametrize("mtu", ["²", "", "-1400", "1_400", "9" * 5000, "1400.0", 1400.5, True, None, [1400], "1279"])
def test_an_mtu_that_is_no_number_is_refused_and_never_a_bug(plugin: Plugin, mtu: Any) -> None:
    options = {"com.docker.network.generic": {"com.docker.network.driver.mtu": mtu}}
    sound = {"NetworkID": NETWORK, "IPv4Data": IPV4, "IPv6Data": []}
    assert "is not between 1280 and 1500" in plugin.refused("NetworkDriver.CreateNetwork", **sound, Options=options)


def test_auxiliary_addresses_are_set_aside_as_long_as_the_network_is_there(plugin: Plugin) -> None:
    address = plugin.address(wanted="10.1.1.6")
    auxiliary = [IPV4[0] | {"AuxAddresses": {"router": address}}]
    plugin.call("NetworkDriver.CreateNetwork", NetworkID=NETWORK, Options={}, IPv4Data=auxiliary, IPv6Data=[])
    plugin.call("Plugin.Activate")
    asked = {"PoolID": POOL, "Address": "10.1.1.6", "Options": None}
    assert "Docker network aaaaaaaaaaaa" in plugin.refused("IpamDriver.RequestAddress", **asked)
    plugin.call("NetworkDriver.DeleteNetwork", NetworkID=NETWORK)
    assert plugin.held == 0


# -- containers


def test_a_container_is_told_its_interface_its_next_hop_and_its_routes(plugin: Plugin) -> None:
    plugin.network()
    four, six = plugin.address(), plugin.address(POOL6)
    interface = {"Address": four, "AddressIPv6": six, "MacAddress": ""}
    made = plugin.call("NetworkDriver.CreateEndpoint", **E, Interface=interface, Options={})
    attachment = next(iter(plugin.kernel.offered.values()))
    assert made == {"Interface": {"MacAddress": attachment.mac}}
    assert [str(each) for each in attachment.addresses] == ["10.1.1.5/24", "fd00::5/64"]
    assert plugin.call("NetworkDriver.Join", **E, SandboxKey="/var/run/docker/netns/1", Options={}) == {
        "InterfaceName": {"SrcName": attachment.offered_name, "DstPrefix": "eth"},
        "Gateway": "10.1.1.1",
        "GatewayIPv6": "fd00::1",
        "StaticRoutes": [
            {"Destination": "10.1.1.1/32", "RouteType": 1, "NextHop": ""},
            {"Destination": "10.1.1.0/24", "RouteType": 0, "NextHop": "10.1.1.1"},
            {"Destination": "fd00::1/128", "RouteType": 1, "NextHop": ""},
            {"Destination": "fd00::/64", "RouteType": 0, "NextHop": "fd00::1"},
        ],
    }
    assert plugin.call("NetworkDriver.EndpointOperInfo", **E)["Value"]["podvnet.link"] == attachment.link_name
    assert plugin.admitted == 1


def test_a_given_mac_is_used_and_not_repeated(plugin: Plugin) -> None:
    plugin.network()
    interface = {"Address": plugin.address(), "AddressIPv6": "", "MacAddress": "02:00:00:00:00:09"}
    assert plugin.call("NetworkDriver.CreateEndpoint", **E, Interface=interface) == {"Interface": {}}
    assert next(iter(plugin.kernel.offered.values())).mac == "02:00:00:00:00:09"
    for mac in ("01:00:5e:00:00:01", "00:00:00:00:00:00", "yours"):
        other = {"NetworkID": NETWORK, "EndpointID": OTHER, "Interface": interface | {"MacAddress": mac}}
        assert "--mac-address" in plugin.refused("NetworkDriver.CreateEndpoint", **other)


def test_an_internal_networks_container_gets_no_default_route_and_is_confined(plugin: Plugin) -> None:
    plugin.network(internal=True)
    interface = {"Address": plugin.address(), "AddressIPv6": "", "MacAddress": ""}
    plugin.call("NetworkDriver.CreateEndpoint", **E, Interface=interface)
    joined = plugin.call("NetworkDriver.Join", **E, SandboxKey="/x", Options={})
    assert "Gateway" not in joined
    assert joined["StaticRoutes"][1] == {"Destination": "10.1.1.0/24", "RouteType": 0, "NextHop": "10.1.1.1"}
    link = next(iter(plugin.kernel.offered.values())).link_name
    assert f'iifname "{link}" meta nfproto ipv4 ip daddr != {{ 10.1.1.0/24 }} drop' in plugin.kernel.table


def test_endpoints_that_cannot_be_are_refused(plugin: Plugin) -> None:
    interface = {"Address": "10.1.1.5/32", "AddressIPv6": "", "MacAddress": ""}
    assert "is not known here" in plugin.refused("NetworkDriver.CreateEndpoint", **E, Interface=interface)
    plugin.network()
    assert "without an address" in plugin.refused("NetworkDriver.CreateEndpoint", **E)
    bad = interface | {"Address": "five"}
    assert "'five' is not an address" in plugin.refused("NetworkDriver.CreateEndpoint", **E, Interface=bad)
    swapped = {"Address": "fd00::5/128", "AddressIPv6": "10.1.1.5/32"}
    assert "fd00::5/128 is not of IPv4" in plugin.refused("NetworkDriver.CreateEndpoint", **E, Interface=swapped)
    assert "is not known" in plugin.refused("NetworkDriver.Join", **E, SandboxKey="/x")
    plugin.endpoint(OTHER, "10.1.1.5")
    assert "in use by Docker endpoint" in plugin.refused("NetworkDriver.CreateEndpoint", **E, Interface=interface)
    assert plugin.held == 1


def test_a_container_is_on_one_network_of_a_subnet(plugin: Plugin) -> None:
    plugin.network()
    plugin.network(OTHER)
    plugin.endpoint()
    second = {"NetworkID": OTHER, "EndpointID": OTHER}
    interface = {"Address": plugin.address(), "AddressIPv6": "", "MacAddress": ""}
    plugin.call("NetworkDriver.CreateEndpoint", **second, Interface=interface)
    key = f"/var/run/docker/netns/{ENDPOINT[:12]}"
    assert "of the same subnet already" in plugin.refused("NetworkDriver.Join", **second, SandboxKey=key)
    assert "InterfaceName" in plugin.call("NetworkDriver.Join", **second, SandboxKey="/another")


def test_what_comes_twice_is_done_once(plugin: Plugin) -> None:
    plugin.network()
    plugin.network()
    address = plugin.address()
    interface = {"Address": address, "AddressIPv6": "", "MacAddress": ""}
    answers = [plugin.call("NetworkDriver.CreateEndpoint", **E, Interface=interface) for _ in range(2)]
    assert answers[0] == answers[1]
    joined = [plugin.call("NetworkDriver.Join", **E, SandboxKey="/x") for _ in range(2)]
    assert joined[0] == joined[1]
    assert len(plugin.kernel.offered) == 1
    for _ in range(2):
        plugin.gone(address.partition("/")[0])
        plugin.call("NetworkDriver.DeleteNetwork", NetworkID=NETWORK)
    assert (plugin.held, plugin.kernel.offered) == (0, {})


def test_an_address_stays_reserved_until_docker_gives_it_back(plugin: Plugin) -> None:
    plugin.network()
    address = plugin.endpoint()
    plugin.call("NetworkDriver.DeleteEndpoint", **E)
    assert plugin.kernel.offered == {}
    assert plugin.held == 1
    assert "in use" in plugin.refused("IpamDriver.RequestAddress", PoolID=POOL, Address=address)
    plugin.call("IpamDriver.ReleaseAddress", PoolID=POOL, Address=address)
    assert plugin.held == 0


def test_an_address_that_a_living_container_has_is_not_taken_from_it(plugin: Plugin) -> None:
    plugin.network()
    address = plugin.endpoint()
    assert "in use by Docker endpoint" in plugin.refused("IpamDriver.ReleaseAddress", PoolID=POOL, Address=address)
    plugin.kernel.taken.clear()  # Docker moved the interface back, and could not say so
    plugin.call("IpamDriver.ReleaseAddress", PoolID=POOL, Address=address)
    assert (plugin.held, plugin.kernel.offered) == (0, {})


def test_a_new_docker_inherits_living_containers_and_nothing_half_made(plugin: Plugin) -> None:
    plugin.network()
    plugin.endpoint()
    plugin.address()
    half = {"Address": plugin.address(), "AddressIPv6": "", "MacAddress": ""}
    plugin.call("NetworkDriver.CreateEndpoint", NetworkID=NETWORK, EndpointID=OTHER, Interface=half)
    assert plugin.held == 3
    plugin.call("Plugin.Activate")
    assert plugin.held == 1
    assert [each.key.container for each in plugin.kernel.offered.values()] == [ENDPOINT]


def test_a_network_that_goes_takes_what_is_left_of_its_containers_along(plugin: Plugin) -> None:
    plugin.network()
    plugin.endpoint()
    plugin.call("NetworkDriver.DeleteNetwork", NetworkID=NETWORK)
    assert (plugin.held, plugin.kernel.offered) == (0, {})


# -- over time


def test_networks_containers_and_ports_outlive_the_agent(plugin: Plugin) -> None:
    plugin.network()
    plugin.endpoint()
    plugin.call("NetworkDriver.ProgramExternalConnectivity", **E, Options=ports((6, "", 0, 80)))
    before = plugin.kernel.table
    plugin.end()
    plugin.kernel.table = ""
    plugin.start()
    assert plugin.kernel.table == before
    number = before.partition("dport ")[2].split()[0]
    other = {"NetworkID": NETWORK, "EndpointID": OTHER}
    plugin.endpoint(OTHER)
    refused = plugin.refused(
        "NetworkDriver.ProgramExternalConnectivity", **other, Options=ports((6, "", int(number), 80))
    )
    assert "already in use" in refused


def test_a_call_waits_for_an_address_that_rests(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, rest=0.2)
    for wanted in ("10.1.1.5", "10.1.1.6", "10.1.1.7"):
        plugin.address(wanted=wanted)
    plugin.call("IpamDriver.ReleaseAddress", PoolID=POOL, Address="10.1.1.6")
    began = time.monotonic()
    assert plugin.address() == "10.1.1.6/32"
    assert time.monotonic() - began > 0.1
    plugin.end()


def test_a_call_that_waits_in_vain_says_what_it_waited_for(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podvnet.agent.docker.front._PATIENCE", 0.0)
    for wanted in ("10.1.1.5", "10.1.1.6", "10.1.1.7"):
        plugin.address(wanted=wanted)
    assert "no IPv4 address of 10.1.1.0/24 is free" in plugin.refused("IpamDriver.RequestAddress", PoolID=POOL)
    plugin.standing.node = None
    assert "the VM is not known yet" in plugin.refused("IpamDriver.RequestPool", Pool="10.1.1.0/24")


def test_a_bug_is_told_to_docker_and_the_agent_lives_on(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin.network()
    plugin.endpoint()
    monkeypatch.setattr(plugin.kernel, "write_table", lambda *_: 1 // 0)
    published = {**E, "Options": ports((6, "", 0, 80))}
    assert "failed by a bug in the agent" in plugin.refused("NetworkDriver.ProgramExternalConnectivity", **published)
    assert plugin.address() != ""


def test_it_speaks_http_at_a_socket_that_only_root_may_open(plugin: Plugin) -> None:
    plugin.front.start()
    path = plugin.folder / "docker.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    connection = http.client.HTTPConnection("plugin")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(path))
    for target, body, status in (
        ("/Plugin.Activate", b"", 200),
        ("/IpamDriver.RequestPool", b'{"Pool": "10.1.1.0/24"}', 200),
        ("/IpamDriver.RequestPool", b'{"Pool": ', 400),
        ("/Nobody.Home", b"{}", 404),
    ):
        connection.request("POST", target, body=body, headers={"Content-Type": protocol.CONTENT_TYPE})
        response = connection.getresponse()
        document = json.loads(response.read())
        assert (response.status, response.getheader("Content-Type")) == (status, protocol.CONTENT_TYPE)
        assert ("Err" in document) == (status != 200)
    connection.close()
    for length in ("99999999", "9" * 5000, "²", "-1", "two"):
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(str(path))
        connection.request("POST", "/Plugin.Activate", headers={"Content-Length": length})
        response = connection.getresponse()
        assert response.status == 413
        assert "bytes is not read" in json.loads(response.read())["Err"]
        connection.close()
    plugin.front.stop()
    assert not path.exists()


def test_decoding_names_the_call() -> None:
    with pytest.raises(DockerError, match=r"NetworkDriver\.Join"):
        protocol.decode("/NetworkDriver.Join", b"{}")


def test_a_docker_that_was_started_before_the_vm_is_known_finds_nothing_half_made_either(plugin: Plugin) -> None:
    plugin.address()
    plugin.standing.node = None
    plugin.call("Plugin.Activate")
    assert plugin.held == 1
    plugin.standing.node = NODE
    plugin.driver.stand(NODE)
    assert plugin.held == 0
    plugin.address()
    plugin.driver.stand(NODE)
    assert plugin.held == 1


def test_an_agent_that_does_not_serve_docker_imports_nothing_of_it() -> None:
    look = "import sys, podvnet.agent.process; print([m for m in sys.modules if 'docker' in m or m == 'http.server'])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
