"""Public addresses of VMs and of single pods: both ways, closed until a security group opens them, one to one.

Pods ask for theirs, the agent has the resource manager carry it out, and packets show what came of it. Sources: Azure
documents "Public IP addresses", "How network security groups filter network traffic", "Container networking overview".
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from podvnet.linux import namespace
from podvnet.linux.conntrack import Connection, ConntrackSocket
from podvnet.runtime.probe import seen_as
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import Runtime, address_of, configuration, eventually
from podvnet.testing.lab import PODVNET, Lab, LabPod, laboratory, podvnet
from podvnet.testing.outbound_stage import HOST, OTHER, traced
from podvnet.testing.rule import allow
from podvnet.testing.traffic import ICMP, PASSES, TCP, UDP, Place, Watch, connected, opened, still_flows
from podvnet.testing.witness import PORT, Call, Seen

EVERY = (TCP, UDP, ICMP)
GROUP = "podvnet"
OPTIONS = ("--pool-source", "arm", "--rest", "0")
DENIED, CLOSED = "nodes DenyAllInBound", "closed"
"""The rule and the counter of what is not let in: by a group, and for want of one."""
_ESP = 50
ANYBODY = allow("anybody", 100, "Inbound")


@dataclass(frozen=True)
class Yard:
    """The lab, and what is asked of it over and over."""

    lab: Lab
    cloud: Cloud
    host: Place
    other: Place
    node: Place
    plain: Place
    bare: Place

    def watch(self) -> Watch:
        """What is dropped from now on."""
        return Watch((self.lab.network(),))

    def open(self, *rules: dict[str, Any]) -> None:
        """Let these be the rules of the nodes' security group."""
        body = {"location": "local", "properties": {"securityRules": list(rules)}}
        self.cloud.network.network_security_groups.begin_create_or_update(GROUP, "nodes", body).result()  # type: ignore[call-overload]

    def public(self, name: str) -> str:
        """What a public address is."""
        return str(self.cloud.network.public_ip_addresses.get(GROUP, name).ip_address)

    def seen(self, caller: Place, called: Place, protocol: str = TCP, *, by: str = "", port: int = PORT) -> str:
        """As whom a caller is seen, or what went wrong."""
        found = Call(caller, called, protocol, port, by).seen(self.watch())
        return found.address if isinstance(found, Seen) else found

    def run(self, pod: str, *ask: str) -> LabPod:
        """Ask for a pod, and make it."""
        if ask:
            self.lab.inside("node", *PODVNET, "pod", "ask", f"default/{pod}", *ask)
        return self.lab.run_pod(pod, "node")

    def own(self, pod: LabPod) -> str:
        """The public address of a pod, by what the resource manager says of the NIC."""
        nic = self.cloud.network.network_interfaces.get(GROUP, "node")
        found = next(each for each in nic.ip_configurations or () if each.private_ip_address == pod.address)
        return self.public(str(found.public_ip_address.id).rpartition("/")[2]) if found.public_ip_address else ""


def place(pod: LabPod) -> Place:
    return Place(pod.descriptor, {4: pod.address})


@pytest.fixture(scope="module")
def yard() -> Iterator[Yard]:
    with laboratory(Path(__file__).with_name("public-addresses.yaml"), "--no-agents") as lab:
        inside = lab.internet()
        yield Yard(
            lab,
            cloud_for(lab, access_for()),
            Place(inside, {4: HOST}),
            Place(inside, {4: OTHER}),
            Place(lab.vm("node"), {4: "10.1.1.11"}),
            Place(lab.vm("plain"), {4: "10.1.1.12"}),
            Place(lab.vm("bare"), {4: "10.1.2.11"}),
        )


@pytest.fixture(scope="module")
def agent(yard: Yard) -> Iterator[Runtime]:
    """The node's agent, which asks the resource manager."""
    with Runtime(yard.lab, "node") as runtime:
        yard.lab.install("node", "--no-agent")
        runtime.start_agent(*OPTIONS)
        yield runtime
        runtime.clear()
        runtime.end_agent()


@pytest.fixture
def pods(yard: Yard, agent: Runtime) -> Iterator[Yard]:
    """The same with an agent; the pods that a test makes end with it."""
    yield yard
    for name in list(yard.lab.pods):
        yard.lab.delete_pod(name)


# -- VMs


@pytest.mark.parametrize("protocol", EVERY)
def test_without_a_security_group_nobody_comes_in_and_the_vm_goes_out(yard: Yard, protocol: str) -> None:
    public = yard.public("bare")
    assert yard.seen(yard.host, yard.bare, protocol, by=public) == CLOSED
    trace = traced(HOST, public, protocol)
    assert (trace["verdict"], trace["hops"][-1]["check"]) == ("Dropped", "Open")
    assert yard.seen(yard.bare, yard.host, protocol) == public
    assert traced("bare", HOST, protocol)["outbound"] == public


def test_a_security_group_opens_what_it_allows_and_no_more(yard: Yard) -> None:
    public = yard.public("node")
    for rules, passing in (
        ((), ()),
        ((allow("web", 100, "Inbound", "Tcp", ports=str(PORT)),), (TCP,)),
        ((allow("talk", 100, "Inbound", "Udp", source="Internet"),), (UDP,)),
        ((allow("ping", 100, "Inbound", "Icmp", source=HOST),), (ICMP,)),
        ((allow("others", 100, "Inbound", source=OTHER),), ()),
        ((ANYBODY,), EVERY),
    ):
        yard.open(*rules)
        for protocol in EVERY:
            wanted = HOST if protocol in passing else DENIED
            assert yard.seen(yard.host, yard.node, protocol, by=public) == wanted, (rules, protocol)
            trace = traced(HOST, public, protocol)
            assert trace["verdict"] == ("Delivered" if protocol in passing else "Dropped"), (rules, protocol)


def test_a_rule_about_the_public_address_opens_nothing_one_about_the_private_address_does(yard: Yard) -> None:
    """Inbound, a group is asked once the address is translated."""
    public = yard.public("node")
    for destination, wanted in ((public, DENIED), ("10.1.1.11", HOST)):
        yard.open(allow("web", 100, "Inbound", destination=destination))
        assert yard.seen(yard.host, yard.node, by=public) == wanted


def test_every_port_is_kept_both_ways_and_the_guest_knows_its_private_address_alone(yard: Yard) -> None:
    yard.open(ANYBODY)
    public = yard.public("node")
    for port in (1, 1023, 50_000, 65_535):
        assert Call(yard.node, yard.host, UDP, source_port=port).seen(yard.watch()) == Seen(public, port)
        assert Call(yard.host, yard.node, TCP, port, public, source_port=port).seen(yard.watch()) == Seen(HOST, port)
    assert public not in yard.lab.inside("node", "ip", "addr").stdout


def test_protocols_without_ports_come_and_go(yard: Yard) -> None:
    yard.open(ANYBODY)
    public = yard.public("node")
    with (
        opened(yard.host, 4, socket.SOCK_RAW, protocol=_ESP) as far,
        opened(yard.node, 4, socket.SOCK_RAW, protocol=_ESP) as near,
    ):
        for sender, receiver, to, source in ((far, near, public, HOST), (near, far, HOST, public)):
            token = os.urandom(16)
            sender.sendto(token, (to, 0))
            assert yard.watch().until(receiver) == PASSES
            packet, peer = receiver.recvfrom(2048)
            assert (packet[20:], peer[0]) == (token, source)


def test_the_command_line_says_who_gets_it(yard: Yard) -> None:
    yard.open(allow("web", 100, "Inbound", "Tcp", ports=str(PORT)))
    public = yard.public("node")
    assert "delivered to NIC node" in podvnet("trace", HOST, f"{public}:{PORT}").stdout
    assert "DenyAllInBound" in podvnet("trace", HOST, f"{public}:{PORT + 1}").stdout
    assert f"leaves to the internet as {public}" in podvnet("trace", "node", f"{HOST}:{PORT}").stdout


def test_a_vm_reaches_another_by_its_public_address_as_whom_it_is_in_the_internet(yard: Yard) -> None:
    yard.open(ANYBODY)
    public = yard.public("node")
    default = str(traced("plain", HOST)["outbound"])
    for protocol in EVERY:
        assert yard.seen(yard.plain, yard.node, protocol, by=public) == default
        trace = traced("plain", public, protocol)
        assert (trace["verdict"], trace["arrival"]["source"]) == ("Delivered", default)
        assert yard.seen(yard.bare, yard.node, protocol, by=public) == yard.public("bare")


def test_a_public_address_leads_to_whom_has_it_now(yard: Yard) -> None:
    yard.open(ANYBODY)
    public, default = yard.public("ready"), str(traced("plain", HOST)["outbound"])
    assert yard.seen(yard.plain, yard.host) == default
    own(yard, "plain", "ready")
    assert yard.seen(yard.host, yard.plain, by=public) == HOST
    assert yard.seen(yard.plain, yard.host) == public
    with connected(yard.plain, yard.host, 4, PORT) as (near, far):
        own(yard, "plain", "")
        assert yard.seen(yard.plain, yard.host, port=PORT + 1) == default
        watch = yard.watch()
        far.sendall(b"to nobody")
        assert watch.until(near, seconds=0.3) != PASSES
    own(yard, "bare", "ready")
    assert yard.seen(yard.host, yard.bare, by=public) == CLOSED
    own(yard, "bare", "bare")


def own(yard: Yard, nic: str, public: str) -> None:
    """Give the first address of a NIC a public one, or none, as a user does."""
    interfaces = yard.cloud.network.network_interfaces
    found = interfaces.get(GROUP, nic)
    addresses = yard.cloud.network.public_ip_addresses
    found.ip_configurations[0].public_ip_address = addresses.get(GROUP, public) if public else None
    interfaces.begin_create_or_update(GROUP, nic, found).result()


# -- pods


def test_a_pods_own_public_address_works_both_ways_when_its_group_allows(pods: Yard) -> None:
    pods.open()
    pod = pods.run("web", "--public")
    public, node = pods.own(pod), pods.public("node")
    assert public not in {"", node}
    for protocol in EVERY:
        assert pods.seen(pods.host, place(pod), protocol, by=public) == DENIED
        assert pods.seen(place(pod), pods.host, protocol) == public, "what it begins is answered, whatever the rules"
        assert traced(f"node@{pod.address}", HOST, protocol)["outbound"] == public
    pods.open(ANYBODY)
    for protocol in EVERY:
        assert pods.seen(pods.host, place(pod), protocol, by=public) == HOST
        assert pods.seen(place(pod), pods.other, protocol) == public
        trace = traced(HOST, public, protocol)
        assert (trace["verdict"], trace["arrival"]["destination"]) == ("Delivered", pod.address)


def test_the_vm_and_its_other_pods_keep_the_vms_address(pods: Yard) -> None:
    pods.open(ANYBODY)
    asking, quiet = pods.run("asking", "--public"), pods.run("quiet")
    node = pods.public("node")
    pods.lab.servers.listen(pods.lab.vm("node"), "10.1.1.11")
    for protocol in EVERY:
        assert pods.seen(pods.node, pods.host, protocol) == node
        assert pods.seen(place(quiet), pods.host, protocol) == node
    for public, called in ((node, "10.1.1.11"), (pods.own(asking), asking.address)):
        assert seen_as(pods.lab.internet(), public, source=OTHER) == OTHER
        assert pods.lab.servers.callers[-1] == (called, OTHER)
    pods.lab.servers.forget("10.1.1.11")
    # Inside the virtual network each is known by its own address.
    assert pods.seen(place(asking), pods.plain) == asking.address
    assert pods.seen(place(quiet), pods.plain) == quiet.address


def test_a_pod_is_given_a_public_address_that_is_there_and_of_a_prefix(pods: Yard) -> None:
    pods.open(ANYBODY)
    pod = pods.run("db", "--public-address", "of-run")
    public = pods.own(pod)
    prefix = pods.cloud.network.public_ip_prefixes.get(GROUP, "run").ip_prefix
    assert ip_address(public) in ip_network(str(prefix))
    for protocol in EVERY:
        assert pods.seen(pods.host, place(pod), protocol, by=public) == HOST
        assert pods.seen(place(pod), pods.host, protocol) == public


def test_flows_of_a_public_address_are_kept_for_as_long_as_it_says(pods: Yard) -> None:
    pods.open(ANYBODY)
    pod = pods.run("slow", "--public-address", "ready")  # of nine minutes
    for port, caller, called, by in (
        (7100, place(pod), pods.host, ""),
        (7101, pods.host, place(pod), pods.public("ready")),
    ):
        with opened(called, 4, socket.SOCK_STREAM, port) as listener, opened(caller, 4, socket.SOCK_STREAM) as near:
            listener.listen()
            near.settimeout(3)
            near.connect((by or HOST, port))
            with listener.accept()[0] as far:
                far.settimeout(3)
                assert still_flows(near, far)
                (found,) = flows(pods, port)
                assert 537 <= found.timeout <= 540


def flows(yard: Yard, port: int) -> list[Connection]:
    """What the virtual network's kernel knows of flows to a port."""
    with namespace.entered(yard.lab.network()), ConntrackSocket() as table:
        return [each for each in table.connections() if each.original.destination_port == port]


def test_the_next_pod_with_the_private_address_leaves_as_its_vm(pods: Yard) -> None:
    node = pods.public("node")
    for name, ask, is_public in (("first", ("--public",), True), ("second", (), False)):
        pod = pods.run(name, "--address", "10.1.1.77", *ask)
        assert pod.address == "10.1.1.77"
        public = pods.own(pod)
        assert bool(public) == is_public
        assert pods.seen(place(pod), pods.host) == (public or node)
        pods.lab.delete_pod(name)


def test_a_pod_keeps_its_public_address_when_the_agent_starts_anew_and_when_its_tables_are_lost(
    pods: Yard, agent: Runtime
) -> None:
    pod, quiet = pods.run("lasting", "--public"), pods.run("beside")
    public, node = pods.own(pod), pods.public("node")
    for mishap in ((), ("nft", "delete", "table", "inet", "podvnet")):
        agent.end_agent()
        if mishap:
            agent.run(*mishap)
            assert pods.seen(place(quiet), pods.host) == "no_outbound"
        agent.start_agent(*OPTIONS)
        assert pods.seen(place(pod), pods.host) == public
        assert pods.seen(place(quiet), pods.host) == node


@pytest.mark.parametrize("mode", ["bridge", "tunnel"])
def test_bridged_pods_leave_with_their_own_public_addresses_too(pods: Yard, agent: Runtime, mode: str) -> None:
    pods.open(ANYBODY)
    asking = configuration(mode, network=mode, args={"cni": {"azure": {"publicAddress": "ready"}}})
    made, quiet = agent.sandbox(), agent.sandbox()
    pod = Place(made.descriptor, {4: address_of(agent.add(made, asking))})
    beside = Place(quiet.descriptor, {4: address_of(agent.add(quiet, configuration(mode, network=mode)))})
    for protocol in EVERY:
        assert pods.seen(pod, pods.host, protocol) == pods.public("ready")
        assert pods.seen(pods.host, pod, protocol, by=pods.public("ready")) == HOST
        assert pods.seen(beside, pods.host, protocol) == pods.public("node")
    agent.clear()
    assert eventually(lambda: pods.cloud.network.public_ip_addresses.get(GROUP, "ready").ip_configuration is None)
