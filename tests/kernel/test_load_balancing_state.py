"""Flows through a load balancer outlast what becomes of its pool, as far as Azure's documents say.

Probes ask every 5 seconds, the shortest interval that Azure takes, and one answer decides.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from podvnet.linux import namespace
from podvnet.linux.conntrack import Connection, ConntrackSocket
from podvnet.runtime.probe import seen_as
from podvnet.testing.balancing_rule import balanced, forwarded
from podvnet.testing.balancing_stage import BalancingStage, balancing_stage, part
from podvnet.testing.cni import eventually
from podvnet.testing.rule import deny
from podvnet.testing.stage import Resources
from podvnet.testing.traffic import PASSES, TCP, UDP, still_flows

WEB, TALK, UNPROBED = "inner 80>8081", "inner 53>5353", "all 80>8082"
WITHIN = 7.0
"""Seconds: interval times threshold, and the time that two cores take to get to it."""
NEW = 20
"""New flows that show who gets any: one in 2^19 of two members has none of them by chance."""


@pytest.fixture(scope="module")
def net() -> Iterator[BalancingStage]:
    """The file beside this one. Both pods answer the probe's port."""
    with balancing_stage(Path(__file__).with_name("balancing.yaml")) as made:
        yield made


def ruled(net: BalancingStage, *rules: dict[str, Any]) -> Resources:
    """The file's resources with these rules of the internal load balancer."""
    resources = net.declared
    resources["loadBalancers/inner"]["properties"]["loadBalancingRules"] = list(rules)
    return resources


def probed(net: BalancingStage, pool: str = "pods", probe: str = "tcp") -> Resources:
    """With rules that ask the probe, and one that does not. To a probe of another name every member is new."""
    resources = ruled(
        net,
        balanced("web", "inner/front", "Tcp 80>8081", pool, probe=probe),
        balanced("talk", "inner/front", "Udp 53>5353", pool, probe=probe),
        balanced("unprobed", "inner/all", "Tcp 80>8082", pool),
    )
    resources["loadBalancers/inner"]["properties"]["probes"][0]["name"] = probe
    return resources


def become(net: BalancingStage, expected: str, called: str = WEB, protocol: str = TCP) -> bool:
    """Tell whether this becomes of new flows: of so many of them nothing else, or, once it was all of that."""
    wanted, found = set(expected.split(" | ")), set[str]()
    for _ in range(NEW):
        found.add(net.met("c", called, protocol))
        if not found <= wanted or found == wanted != {expected}:
            break
    return found == wanted


def becomes(net: BalancingStage, expected: str) -> None:
    """Wait until this becomes of new flows."""
    assert eventually(lambda: become(net, expected), WITHIN)


@contextmanager
def unanswered(net: BalancingStage, pod: str) -> Iterator[None]:
    """The pod does not answer the probe's port for the block."""
    place = net.places[pod]
    net.lab.servers.forget(place.addresses[4])
    try:
        yield
    finally:
        net.lab.servers.listen(place.descriptor, place.addresses[4])


BOTH, ONE, TWO = "p1 sees c | p2 sees c", "p1 sees c", "p2 sees c"


def test_when_a_probe_fails_new_flows_go_elsewhere_and_established_connections_go_on(net: BalancingStage) -> None:
    net.apply(probed(net))
    becomes(net, BOTH)
    with (
        net.connected("c", WEB, "p1") as one,
        net.connected("c", WEB, "p2") as two,
        net.talking("c", TALK, "p1") as first,
        net.talking("c", TALK, "p2") as second,
        ExitStack() as silent,
    ):
        silent.enter_context(unanswered(net, "p1"))
        becomes(net, TWO)
        assert still_flows(*two)
        assert still_flows(*one), "established TCP stays with the member that is down"
        assert [net.meet(each, TALK) for each in (first, second)] == [TWO, TWO], "UDP moves"
        assert become(net, TWO, TALK, UDP)
        assert become(net, BOTH, UNPROBED), "a rule without a probe asks nobody"

        silent.enter_context(unanswered(net, "p2"))
        becomes(net, "no_backend")
        assert become(net, "no_backend", TALK, UDP)
        assert [net.meet(each, TALK) for each in (first, second)] == ["no_backend", "no_backend"], "UDP ends"
        assert still_flows(*one)
        assert still_flows(*two)
        resources = probed(net)
        part(resources, "loadBalancers/inner", "probes", "tcp")["noHealthyBackendsBehavior"] = "AllProbedUp"
        net.apply(resources)
        assert become(net, BOTH)
        assert become(net, BOTH, TALK, UDP)
        net.apply(probed(net))
        assert become(net, "no_backend")

        silent.close()
        becomes(net, BOTH)
        assert still_flows(*one)
        assert still_flows(*two)


def test_who_denies_the_tag_of_load_balancers_stops_probes_and_nothing_else(net: BalancingStage) -> None:
    resources = probed(net, probe="denied")
    rules = resources["networkSecurityGroups/open"]["properties"]["securityRules"]
    rules.append(deny("no-probes", 100, "Inbound", source="AzureLoadBalancer"))
    watch = net.watch()
    net.apply(resources)
    assert eventually(lambda: watch.culprits() == "open no-probes")
    net.ignored.add("open no-probes")
    assert become(net, "no_backend")
    assert become(net, BOTH, UNPROBED)
    assert net.outcome("c", "p1", TCP, 8081) == PASSES
    net.ignored.clear()
    net.apply(probed(net, probe="denied"))
    becomes(net, BOTH)


def test_the_administrative_state_comes_before_the_probe(net: BalancingStage) -> None:
    with unanswered(net, "p1"):
        resources = probed(net, "addresses", "overruled")
        net.apply(resources)
        becomes(net, TWO)
        pool = part(resources, "loadBalancers/inner", "backendAddressPools", "addresses")
        states = {each["name"]: each["properties"] for each in pool["loadBalancerBackendAddresses"]}
        states["one"]["adminState"] = "Up"
        net.apply(resources)
        assert become(net, BOTH), "up though it does not answer"
        with (
            net.connected("c", WEB, "p1") as one,
            net.connected("c", WEB, "p2") as two,
            net.talking("c", TALK, "p2") as talk,
        ):
            states["two"]["adminState"] = "Down"
            net.apply(resources)
            assert become(net, ONE), "down though it answers"
            assert net.meet(talk, TALK) == ONE, "UDP moves"
            assert still_flows(*one)
            watch = net.watch()
            two[0].sendall(b"in vain")
            assert watch.until(two[1]) == "idle_flow", "a flow of a member that is down ends"
            states["one"]["adminState"] = "None"
            net.apply(resources)
            assert become(net, "no_backend")


class Conversation(threading.Thread):
    """Asks and answers on connections until it is stopped. ``rounds`` counts those that went well."""

    def __init__(self, *connections: tuple[socket.socket, socket.socket]) -> None:
        super().__init__(name="conversation")
        self._connections = connections
        self._stopped = threading.Event()
        self.rounds = self.failures = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()

    def goes_on(self) -> None:
        """Wait for a whole round from now on."""
        before = self.rounds + self.failures
        assert eventually(lambda: self.rounds + self.failures > before + len(self._connections))

    def run(self) -> None:
        while not self._stopped.is_set():
            for near, far in self._connections:
                if still_flows(near, far):
                    self.rounds += 1
                else:
                    self.failures += 1


class Requests(Conversation):
    """Makes connection after connection to the frontend; each must be answered."""

    def __init__(self, net: BalancingStage) -> None:
        super().__init__()
        self._place, self._frontend = net.places["c"], net.frontends["inner"][4]

    def run(self) -> None:
        while not self._stopped.is_set():
            if seen_as(self._place.descriptor, self._frontend, port=7000) == self._place.addresses[4]:
                self.rounds += 1
            else:
                self.failures += 1


def scaled(net: BalancingStage, *members: str) -> Resources:
    """With these ip-configurations in the pool, ``m1/pod``."""
    resources = ruled(
        net,
        balanced("web", "inner/front", "Tcp 80>8081", "pods"),
        balanced("talk", "inner/front", "Udp 53>5353", "pods"),
        balanced("asked", "inner/front", "Tcp 7000>7070", "pods"),
    )
    for nic, name in itertools.product(("m1", "m2"), ("four", "pod")):
        inner = part(resources, f"networkInterfaces/{nic}", "ipConfigurations", name)
        pools = [{"id": "loadBalancers/inner/backendAddressPools/pods"}] if f"{nic}/{name}" in members else []
        inner["loadBalancerBackendAddressPools"] = pools
    return resources


def test_flows_of_members_that_stay_outlast_others_that_come_and_go(net: BalancingStage) -> None:
    two = scaled(net, "m1/pod", "m2/pod")
    three = scaled(net, "m1/pod", "m2/pod", "m2/four")
    one = scaled(net, "m1/pod")
    net.apply(two)
    m2 = net.places["m2"]
    with (
        ExitStack() as served,
        net.connected("c", WEB, "p1") as kept,
        net.connected("s", WEB, "p1") as far,
        net.connected("c", WEB, "p2") as removed,
        net.talking("c", TALK, "p1") as talk,
    ):
        net.lab.servers.listen(m2.descriptor, m2.addresses[4])
        served.callback(net.lab.servers.forget, m2.addresses[4])
        with Conversation(kept, far) as conversation, Requests(net) as requests:
            for resources in (three, two, one, two, three, one, three, two):
                net.apply(resources)
                conversation.goes_on()
                requests.goes_on()
                assert net.meet(talk, TALK) == ONE
            net.apply(three)
            assert become(net, "m2 sees c | p1 sees c | p2 sees c")
            net.apply(one)
            assert become(net, ONE)
        assert (conversation.failures, requests.failures) == (0, 0)
        assert still_flows(*removed), "a connection stays with a member that has left the pool"
    found = {each["subject"]: each["state"] for each in net.lab.findings()}
    assert found["kernel"] == "ok", "nothing is left of what was exchanged"


def known(net: BalancingStage, *near: socket.socket) -> list[Connection]:
    """What the virtual network tracks of the flows of sockets."""
    ports = {each.getsockname()[1] for each in near}
    with namespace.run_inside(net.lab.network(), ConntrackSocket) as tracking:
        return [each for each in tracking.connections() if each.original.source_port in ports]


@pytest.mark.parametrize("minutes", [None, 4, 30, 100])
@pytest.mark.parametrize("version", [4, 6])
def test_idle_connections_are_forgotten_after_the_timeout_of_the_rule(
    net: BalancingStage, minutes: int | None, version: int
) -> None:
    """Datagrams have the virtual network's: no rule's is about them."""
    more = {"idleTimeoutInMinutes": minutes} if minutes else {}
    front, pool = {4: ("inner/front", "vms"), 6: ("inner/six", "sixes")}[version]
    resources = ruled(
        net, balanced("web", front, "Tcp 80>8081", pool, **more), balanced("talk", front, "Udp 53>5353", pool, **more)
    )
    nat_rule = forwarded("ssh", front, "Tcp 2222-2223>22", pool, **more)
    resources["loadBalancers/inner"]["properties"]["inboundNatRules"] = [nat_rule]
    resources["virtualNetworks/hub"]["properties"]["flowTimeoutInMinutes"] = 17
    net.apply(resources)
    with (
        net.connected("c", WEB, "m1", version=version) as ends,
        net.connected("c", "inner 2222>22", "m1", version=version) as translated,
        net.talking("c", TALK, "m1", version=version) as talk,
    ):
        assert still_flows(*ends)
        assert still_flows(*translated)
        timeouts = {each.original.destination_port: each.timeout for each in known(net, ends[0], translated[0], talk)}
    seconds = 60 * (minutes or 4)
    expected = {80: seconds, 2222: seconds, 53: 17 * 60}
    assert timeouts.keys() == expected.keys()
    assert all(expected[port] - 20 <= timeout <= expected[port] for port, timeout in timeouts.items()), timeouts


def forgets(net: BalancingStage, near: socket.socket) -> None:
    """Make the virtual network forget a flow, as it does when that has been idle."""
    with namespace.run_inside(net.lab.network(), ConntrackSocket) as tracking:
        assert tracking.delete(known(net, near)) > 0


CALLERS = [("c", 4), ("s", 4), ("client", 4), ("c", 6)]


def reset(net: BalancingStage, version: int, *, wanted: bool) -> None:
    """Apply rules and inbound NAT rules of an internal and a public frontend, all with TCP reset or all without."""
    more, resources = {"enableTcpReset": wanted}, net.declared
    internal, pool = {4: ("inner/front", "vms"), 6: ("inner/six", "sixes")}[version]
    for balancer, front, members in (("inner", internal, pool), ("public", "public/front", "vms")):
        resources[f"loadBalancers/{balancer}"]["properties"] |= {
            "loadBalancingRules": [balanced("web", front, "Tcp 80>8081", members, **more)],
            "inboundNatRules": [forwarded("ssh", front, "Tcp 2222-2223>22", members, **more)],
        }
    net.apply(resources)


@pytest.mark.parametrize("ports", ["80>8081", "2222>22"], ids=["rule", "inbound NAT rule"])
@pytest.mark.parametrize(("caller", "version"), CALLERS)
def test_what_comes_of_a_forgotten_connection_is_dropped_in_silence_or_reset(
    net: BalancingStage, caller: str, version: int, ports: str
) -> None:
    called = f"{'public' if caller == 'client' else 'inner'} {ports}"
    for wanted in (False, True):
        reset(net, version, wanted=wanted)
        with net.connected(caller, called, "m1", version=version) as (near, far):
            forgets(net, near)
            watch = net.watch()
            near.sendall(b"again")
            if not wanted:
                assert watch.until(near, far) == "idle_flow"
                continue
            assert watch.until(near, far) == PASSES
            with pytest.raises(ConnectionResetError):
                near.recv(1)


def test_high_availability_ports_know_no_resets(net: BalancingStage) -> None:
    net.apply(ruled(net, balanced("all", "inner/all", "All 0>0", "vms", enableTcpReset=True)))
    with net.connected("c", "all 7001", "m1") as (near, far):
        forgets(net, near)
        watch = net.watch()
        near.sendall(b"again")
        assert watch.until(near, far) == "idle_flow"
