"""Docker's published ports: chosen, held, published again, withdrawn."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from podvnet.agent.docker import host_ports
from podvnet.linux.ruleset import RulesetError
from podvnet.plan.docker_ruleset import PublishedPort
from podvnet.testing.docker_plugin import ENDPOINT, NETWORK, NODE, OTHER, E, Plugin, ports

SECOND = {"NetworkID": NETWORK, "EndpointID": OTHER}


def test_published_ports_lead_to_the_container_until_they_are_revoked(plugin: Plugin) -> None:
    plugin.network()
    address = plugin.endpoint()
    options = ports((6, "", 0, 80), (17, "127.0.0.1", 0, 53))
    plugin.call("NetworkDriver.ProgramExternalConnectivity", **E, Options=options)
    shown = plugin.call("NetworkDriver.EndpointOperInfo", **E)["Value"]["podvnet.ports"]
    chosen = [text.partition("/")[0].rpartition(":")[2] for text in shown]
    assert f"tcp dport {chosen[0]} dnat ip to {address}:80" in plugin.kernel.table
    assert f"ip daddr 127.0.0.1 udp dport {chosen[1]} dnat ip to {address}:53" in plugin.kernel.table
    plugin.call("NetworkDriver.RevokeExternalConnectivity", **E)
    assert plugin.kernel.table == ""
    assert plugin.call("NetworkDriver.RevokeExternalConnectivity", **E) == {}


def test_a_port_is_published_once_and_a_range_gives_the_next(plugin: Plugin) -> None:
    plugin.network()
    plugin.endpoint()
    plugin.endpoint(OTHER)
    plugin.call("NetworkDriver.ProgramExternalConnectivity", **E, Options=ports((6, "", 0, 80)))
    taken = int(plugin.call("NetworkDriver.EndpointOperInfo", **E)["Value"]["podvnet.ports"][0].partition("/")[0])
    other = {"NetworkID": NETWORK, "EndpointID": OTHER}
    refused = plugin.refused("NetworkDriver.ProgramExternalConnectivity", **other, Options=ports((6, "", taken, 80)))
    assert f"port {taken}/tcp of the VM cannot be published: Address already in use" in refused
    wide = ports((6, "", taken, 80))
    wide["com.docker.network.portmap"][0]["HostPortEnd"] = taken + 50
    plugin.call("NetworkDriver.ProgramExternalConnectivity", **other, Options=wide)
    assert plugin.kernel.table.count("dnat ip to") == 2


@pytest.mark.parametrize(
    ("bindings", "words"),
    [
        ([{"Proto": 47, "Port": 1}], "IP protocol 47"),
        ([{"Proto": 6, "Port": 1, "HostIP": "here"}], "'here' is not an address"),
        ([{"Proto": 6, "Port": 1, "HostIP": "192.0.2.1", "HostPort": 80}], "192.0.2.1:80/tcp"),
        ([{"Proto": 6, "Port": 80, "HostPort": 65536}], "cannot be read"),
        ([{"Proto": 6, "Port": 80, "HostPort": -1}], "cannot be read"),
        ([{"Proto": 6, "Port": 80, "HostPort": 1 << 70}], "cannot be read"),
        ([{"Proto": 6, "Port": 80, "HostPort": 80, "HostPortEnd": 1 << 40}], "cannot be read"),
        ([{"Proto": 6, "Port": 0, "HostPort": 80}], "cannot be read"),
        ([{"Proto": 6, "Port": 65536}], "cannot be read"),
        ([{"Proto": 6, "Port": "80"}], "cannot be read"),
        ([{"Port": 1}], "cannot be read"),
        ("all", "cannot be read"),
    ],
)
def test_ports_that_cannot_be_published_are_refused(plugin: Plugin, bindings: Any, words: str) -> None:
    plugin.network()
    plugin.endpoint()
    options = {"com.docker.network.portmap": bindings}
    assert words in plugin.refused("NetworkDriver.ProgramExternalConnectivity", **E, Options=options)
    assert plugin.kernel.table == ""


def test_ports_of_a_container_whose_link_is_gone_can_be_published_again(plugin: Plugin) -> None:
    plugin.network()
    plugin.endpoint()
    plugin.call("NetworkDriver.ProgramExternalConnectivity", **E, Options=ports((6, "", 0, 80)))
    number = int(plugin.kernel.table.partition("tcp dport ")[2].split()[0])
    row = next(row for row in plugin.ledger.rows() if row.attachment.key.container == ENDPOINT)
    plugin.ledger.release(row.attachment.number, None)  # what reconciliation does
    plugin.driver.stand(NODE)
    assert plugin.kernel.table == ""
    plugin.endpoint(OTHER)
    other = {"NetworkID": NETWORK, "EndpointID": OTHER}
    plugin.call("NetworkDriver.ProgramExternalConnectivity", **other, Options=ports((6, "", number, 80)))


# -- published again


def in_use(number: int, family: socket.AddressFamily = socket.AF_INET) -> bool:
    """Tell whether a program of the VM could not have a port of TCP."""
    with socket.socket(family, socket.SOCK_STREAM) as program:
        try:
            program.bind(("", number))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(plugin: Plugin) -> Plugin:
    """With one container."""
    plugin.network()
    plugin.endpoint()
    return plugin


def test_what_is_published_twice_stays_as_it_is(served: Plugin) -> None:
    fixed = free_port()
    bindings = ((6, "", fixed, 80), (17, "127.0.0.1", 0, 53))
    first = served.publish(*bindings)
    table = served.kernel.table
    assert served.publish(*bindings) == first
    assert served.kernel.table == table
    assert first[0] == fixed
    assert in_use(fixed)
    assert in_use(fixed, socket.AF_INET6)


def test_what_is_published_again_after_a_start_of_the_agent_stays_as_it_is(served: Plugin) -> None:
    bindings = ((6, "", free_port(), 80), (6, "", 0, 81))
    first = served.publish(*bindings)
    served.end()
    assert not in_use(first[0])
    served.start()
    assert in_use(first[0])
    assert served.publish(*bindings) == first


def test_a_range_that_is_asked_for_again_gives_the_same_port(served: Plugin) -> None:
    fixed = free_port()
    wide = ports((6, "", fixed, 80))
    wide["com.docker.network.portmap"][0]["HostPortEnd"] = fixed + 20
    for _ in range(2):
        served.call("NetworkDriver.ProgramExternalConnectivity", **E, Options=wide)
        assert f"tcp dport {fixed} dnat ip to" in served.kernel.table


def test_other_ports_take_the_place_of_those_before(served: Plugin) -> None:
    first, second = free_port(), free_port()
    served.publish((6, "", first, 80))
    assert served.publish((6, "", second, 80), (6, "", first, 81)) == [second, first]
    served.publish((6, "", second, 80))
    assert in_use(second)
    assert not in_use(first)
    assert f"dport {first} " not in served.kernel.table


def test_a_refusal_leaves_what_was_published(served: Plugin) -> None:
    mine = free_port()
    served.publish((6, "", mine, 80))
    table = served.kernel.table
    with socket.create_server(("", 0)) as program:
        taken = program.getsockname()[1]
        asked = ports((6, "", mine, 81), (6, "", taken, 82))
        assert "Address already in use" in served.refused(
            "NetworkDriver.ProgramExternalConnectivity", **E, Options=asked
        )
    assert in_use(mine)
    assert served.kernel.table == table
    assert served.publish((6, "", mine, 80)) == [mine]


def test_rules_that_the_kernel_refuses_leave_what_was_published(
    served: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = free_port(), free_port()
    served.publish((6, "", mine, 80))

    def refuse(*_: object) -> None:
        raise RulesetError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(served.kernel, "write_table", refuse)
        asked = ports((6, "", other, 80))
        assert "no room" in served.refused("NetworkDriver.ProgramExternalConnectivity", **E, Options=asked)
    assert in_use(mine)
    assert not in_use(other)
    served.end()
    served.start()
    assert f"tcp dport {mine} dnat ip to" in served.kernel.table
    assert f"dport {other} " not in served.kernel.table


def test_join_that_comes_twice_keeps_the_ports(served: Plugin) -> None:
    served.publish((6, "", 0, 80))
    table = served.kernel.table
    served.call("NetworkDriver.Join", **E, SandboxKey=f"/var/run/docker/netns/{ENDPOINT[:12]}")
    assert served.kernel.table == table


# -- chosen by the kernel


def test_a_port_that_the_kernel_chose_and_ipv6_has_in_use_is_chosen_anew(
    served: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = host_ports._bound
    failures = [OSError(errno.EADDRINUSE, "Address already in use") for _ in range(3)]

    def sometimes(port: PublishedPort) -> list[socket.socket]:
        if failures:
            raise failures.pop()
        return bound(port)

    monkeypatch.setattr(host_ports, "_bound", sometimes)
    assert served.publish((6, "", 0, 80)) != [0]
    assert failures == []


def test_the_kernel_is_not_asked_for_ever(served: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def never(port: PublishedPort) -> list[socket.socket]:
        tries.append(port)
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(host_ports, "_bound", never)
    asked = ports((6, "", 0, 80))
    assert "already in use" in served.refused("NetworkDriver.ProgramExternalConnectivity", **E, Options=asked)
    assert 1 < len(tries) < 100


def test_a_protocol_that_the_kernel_does_not_have_needs_a_named_port(
    served: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_ports, "_bound", lambda _: [])
    asked = ports((132, "", 0, 80))
    refused = served.refused("NetworkDriver.ProgramExternalConnectivity", **E, Options=asked)
    assert "cannot choose a port of sctp" in refused
    assert served.kernel.table == ""
    assert served.publish((132, "", 9899, 80)) == [9899]
    assert "sctp dport 9899 dnat ip to" in served.kernel.table


# -- datagrams under way


def test_datagrams_are_decided_anew_once_the_rules_stand_and_once_they_are_gone(served: Plugin) -> None:
    number = served.publish((17, "", 0, 53), (6, "", 0, 80))[0]
    address = frozenset({ip_address("10.1.1.5")})
    (diverted, addresses, table) = served.flows.diverted[0]
    assert PublishedPort(17, None, number, 53) in diverted
    assert addresses == address
    assert f"udp dport {number} dnat" in table
    served.call("NetworkDriver.RevokeExternalConnectivity", **E)
    assert served.flows.forgotten == [(address, "")]


def test_datagrams_to_a_container_that_ends_unheard_are_decided_anew(served: Plugin) -> None:
    served.publish((17, "", 0, 53))
    served.kernel.taken.clear()  # Docker was killed; the container gave its end back
    served.call("Plugin.Activate")
    assert served.flows.forgotten == [(frozenset({ip_address("10.1.1.5")}), "")]


def test_who_publishes_no_datagrams_costs_no_look_at_connections(served: Plugin) -> None:
    served.publish((6, "", 0, 80))
    served.call("NetworkDriver.RevokeExternalConnectivity", **E)
    assert served.flows.forgotten == []
