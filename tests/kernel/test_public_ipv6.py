"""Public IPv6: a VM's and a pod's own address both ways, frontends of load balancers, and who is kept out.

Whatever a packet does here, ``podvnet trace`` has said before.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podvnet.runtime.probe import PORT, datagram_passes, echo, seen_as
from podvnet.testing.lab import LabPod
from podvnet.testing.stage import Resources, Stage, control, stage
from podvnet.testing.traffic import PASSES, Place, call, connected, opened

FILE = Path(__file__).with_name("public-ipv6.yaml")
FAR, OTHER, FAR4 = "2001:db8:f::20", "2001:db8:f::30", "198.51.100.20"
VMS = ("web", "bare", "m1", "m2", "plain")
FLOWS = 24


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    """Every VM answers at its IPv6 address, the members and the hosts of the internet at all of theirs."""
    with stage(FILE) as made:
        for vm in VMS:
            made.lab.servers.listen(made.lab.vm(vm), six(made, vm))
        for vm in ("m1", "m2"):
            made.lab.servers.listen(made.lab.vm(vm), made.places[vm].addresses[4])
        for address in (FAR, OTHER, FAR4):
            made.lab.servers.listen(made.lab.internet(), address)
        yield made


@pytest.fixture(scope="module")
def pod(net: Stage) -> LabPod:
    """A pod with the one secondary ip-configuration of each version, answering at both."""
    made = net.lab.run_pod("pod", "web")
    net.lab.servers.listen(made.descriptor, private6(made))
    return made


@pytest.fixture
def file(net: Stage) -> Iterator[Resources]:
    """The file's resources, to change and apply; afterwards they are the whole again."""
    yield net.declared
    net.apply(net.declared)


def six(net: Stage, vm: str) -> str:
    """The IPv6 address of a VM."""
    return net.places[vm].addresses[6]


def private6(pod: LabPod) -> str:
    """The IPv6 address of a pod."""
    text: str = pod.result["ips"][1]["address"]
    return text.partition("/")[0]


def public(net: Stage, name: str) -> str:
    """What a public address is."""
    for each in net.lab.status()["resources"]:
        if each["type"].endswith("/publicIPAddresses") and each["name"] == name:
            return str(each["properties"]["ipAddress"])
    raise LookupError(name)


def traced(source: str, destination: str, port: int = PORT, protocol: str = "tcp") -> dict[str, Any]:
    """What the evaluator says."""
    found: dict[str, Any] = control(
        "POST", "/trace", {"source": source, "destination": destination, "protocol": protocol, "port": port}
    )
    return found


def refusal(net: Stage, place: Place, destination: str, port: int = PORT) -> str:
    """What drops a connection, by the kernel's counter."""
    return call(place, destination, 6, net.watch(), port)


def outside(net: Stage, address: str = FAR) -> Place:
    return Place(net.lab.internet(), {6: address})


def test_the_kernel_holds_what_the_file_means(net: Stage) -> None:
    assert control("GET", "/agreement")["steps"] == []


def test_the_internet_reaches_a_vm_at_its_own_address_and_is_seen_as_itself(net: Stage) -> None:
    address, inside = public(net, "web"), six(net, "web")
    assert address == "2001:db8:192:2::"  # of a prefix all addresses can be used, the first too
    for host in (FAR, OTHER):
        assert seen_as(net.lab.internet(), address, source=host) == host
        assert net.lab.servers.callers[-1] == (inside, host)
        trace = traced(host, "web")
        assert (trace["verdict"], trace["destination"]) == ("Delivered", address)
        assert (trace["arrival"]["source"], trace["arrival"]["destination"]) == (host, inside)


def test_every_protocol_comes_by_an_own_address(net: Stage) -> None:
    address = public(net, "web")
    assert datagram_passes(net.lab.internet(), address, 1500)
    assert echo(net.lab.internet(), address)
    assert traced(FAR, address, protocol="icmp")["verdict"] == "Delivered"


def test_the_internet_reaches_a_pod_at_its_own_address(net: Stage, pod: LabPod) -> None:
    address = public(net, "pod")
    assert seen_as(net.lab.internet(), address, source=FAR) == FAR
    assert net.lab.servers.callers[-1] == (private6(pod), FAR)
    assert echo(net.lab.internet(), address)
    assert traced(FAR, address)["arrival"]["destination"] == private6(pod)


def test_what_leaves_has_the_own_address(net: Stage, pod: LabPod) -> None:
    for descriptor, inside, name in (
        (net.lab.vm("web"), six(net, "web"), "web"),
        (net.lab.vm("bare"), six(net, "bare"), "bare"),
        (pod.descriptor, private6(pod), "pod"),
    ):
        address = public(net, name)
        assert seen_as(descriptor, FAR, source=inside) == address
        assert echo(descriptor, FAR)
        trace = traced(inside, FAR)
        assert (trace["verdict"], trace["outbound"], trace["egress"]) == (
            "LeftToInternet", address, "PublicAddress"
        )  # fmt: skip


def test_the_path_mtu_is_the_nics(net: Stage) -> None:
    assert datagram_passes(net.lab.vm("web"), FAR, 1500)
    assert not datagram_passes(net.lab.vm("web"), FAR, 1501)


def test_without_a_public_address_ipv6_has_no_way_out(net: Stage) -> None:
    assert refusal(net, net.places["plain"], FAR) == "no_outbound"
    trace = traced("plain", FAR)
    assert trace["hops"][-1]["check"] == "Outbound"
    assert trace["remedy"] == (
        f"Give {six(net, 'plain')} a public IPv6 address of its own: IPv6 has no default outbound access."
    )


def test_an_address_without_a_security_group_is_closed(net: Stage) -> None:
    assert refusal(net, outside(net), public(net, "bare")) == "closed"
    assert traced(FAR, public(net, "bare"))["hops"][-1]["check"] == "Open"


def test_an_address_is_open_to_whom_the_group_allows(net: Stage, file: Resources) -> None:
    """The rule is about the private address, and the client's own."""
    address = public(net, "web")
    (rule,) = file["networkSecurityGroups/guard"]["properties"]["securityRules"]
    rule["properties"] |= {"sourceAddressPrefix": f"{FAR}/128", "destinationAddressPrefix": f"{six(net, 'web')}/128"}
    net.apply(file)
    assert refusal(net, outside(net), address) == PASSES
    assert traced(FAR, address)["verdict"] == "Delivered"
    assert refusal(net, outside(net, OTHER), address) == "guard DenyAllInBound"
    assert traced(OTHER, address)["hops"][-1]["rule"] == "defaultSecurityRules/DenyAllInBound"


def test_an_address_that_is_taken_away_leads_nowhere(net: Stage, file: Resources) -> None:
    address = public(net, "web")
    del file["networkInterfaces/web"]["properties"]["ipConfigurations"][1]["properties"]["publicIPAddress"]
    net.apply(file)
    assert seen_as(net.lab.internet(), address, source=FAR, timeout=0.3) == ""
    assert refusal(net, net.places["web"], FAR) == "no_outbound"
    assert control("GET", "/agreement")["steps"] == []


def test_vms_reach_one_another_by_their_public_addresses(net: Stage) -> None:
    assert seen_as(net.lab.vm("bare"), public(net, "web")) == public(net, "bare")
    trace = traced("bare", public(net, "web"))
    assert (trace["verdict"], trace["arrival"]["source"]) == ("Delivered", public(net, "bare"))


@pytest.mark.parametrize(("version", "name", "host"), [(6, "front6", FAR), (6, "front6", OTHER), (4, "front4", FAR4)])
def test_a_frontend_leads_to_every_member_which_sees_the_client(version: int, name: str, host: str, net: Stage) -> None:
    address = public(net, name)
    members = {net.places[vm].addresses[version] for vm in ("m1", "m2")}
    already = len(net.lab.servers.callers)
    for _ in range(FLOWS):
        assert seen_as(net.lab.internet(), address, port=80, source=host) == host
    callers = net.lab.servers.callers[already:]
    assert {called for called, _ in callers} == members
    assert {caller for _, caller in callers} == {host}
    trace = traced(host, address, 80)
    assert (trace["verdict"], trace["arrival"]["destinationPort"]) == ("Delivered", PORT)
    assert trace["arrival"]["destination"] in members


def test_a_flow_comes_to_the_member_that_the_trace_names(net: Stage) -> None:
    """The trace is about the source port 49152."""
    address = public(net, "front6")
    for host in (FAR, OTHER):
        expected = traced(host, address, 80)["arrival"]["destination"]
        already = len(net.lab.servers.callers)
        with opened(outside(net, host), 6, socket.SOCK_STREAM, 49_152) as caller:
            caller.settimeout(2.0)
            caller.connect((address, 80))
            assert caller.recv(64).decode() == host
        assert net.lab.servers.callers[already:] == [(expected, host)]


def test_a_frontend_carries_udp_and_no_ping(net: Stage) -> None:
    address = public(net, "front6")
    assert datagram_passes(net.lab.internet(), address, 1500, port=80)
    assert not echo(net.lab.internet(), address, timeout=0.3)
    assert traced(FAR, address, protocol="icmp")["hops"][-1]["check"] == "Frontend"


def test_a_frontend_has_no_port_without_a_rule(net: Stage) -> None:
    assert refusal(net, outside(net), public(net, "front6"), 81) == "uninvited"


def test_members_leave_with_the_frontends_address_and_ports_of_their_own(net: Stage) -> None:
    address = public(net, "front6")
    ports = []
    for vm in ("m1", "m2"):
        trace = traced(six(net, vm), FAR, 7001)
        assert (trace["outbound"], trace["egress"]) == (address, "OutboundRule")
        first, last = trace["outboundPorts"]
        ports.append(range(first, last + 1))
        with connected(net.places[vm], outside(net), 6, 7001) as (_, far):
            source, port, *_ = far.getpeername()
            assert source == address
            assert port in ports[-1]
    assert [len(each) for each in ports] == [1024, 1024]
    assert not set(ports[0]) & set(ports[1])
    assert not echo(net.lab.vm("m1"), FAR, timeout=0.3)


def test_members_that_are_taken_out_get_no_more(net: Stage, file: Resources) -> None:
    address, other = public(net, "front6"), public(net, "front4")
    inside = net.lab.internet()
    take_out(file, "m1")
    net.apply(file)
    already = len(net.lab.servers.callers)
    for _ in range(FLOWS):
        assert seen_as(inside, address, port=80, source=FAR) == FAR
    assert {called for called, _ in net.lab.servers.callers[already:]} == {six(net, "m2")}
    take_out(file, "m2")
    net.apply(file)
    assert refusal(net, outside(net), address, 80) == "no_backend"
    assert traced(FAR, address, 80)["hops"][-1]["check"] == "Backend"
    # The other version is as it was.
    assert seen_as(inside, other, port=80, source=FAR4) == FAR4


def take_out(file: Resources, vm: str) -> None:
    """Take the IPv6 address of a VM out of its pool."""
    six = file[f"networkInterfaces/{vm}"]["properties"]["ipConfigurations"][1]
    del six["properties"]["loadBalancerBackendAddressPools"]


def test_a_label_means_the_addresses_of_both_versions(net: Stage) -> None:
    name = "shop.local.cloudapp.azure.com"
    for kind, address in (("A", "front4"), ("AAAA", "front6")):
        said = net.run("plain", "dig", "+short", "+tries=1", name, kind)
        assert said.split() == [public(net, address)]
