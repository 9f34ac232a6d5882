"""ADD and VERSION through the installed executable, as a runtime sees them."""

from __future__ import annotations

import json

import pytest

from podvnet.runtime.probe import seen_as
from podvnet.testing.cni import Runtime, address_of, configuration, eventually

MODES = ("transparent", "bridge", "tunnel")
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
OTHER_VM = "10.1.2.4"


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def test_add_twice_answers_the_same_and_changes_nothing(cni: Runtime, mode: str) -> None:
    neighbour, pod = cni.sandbox(), cni.sandbox()
    cni.add(neighbour, configuration(mode))
    first = cni.add(pod, configuration(mode))
    before = cni.state(), cni.state_in(pod), cni.state_in(neighbour)
    assert cni.add(pod, configuration(mode)) == first
    assert (cni.state(), cni.state_in(pod), cni.state_in(neighbour)) == before


def test_add_twice_does_not_interrupt_the_pods_connections(cni: Runtime) -> None:
    pod = cni.sandbox()
    address = address_of(cni.add(pod))
    cni.lab.servers.listen(cni.lab.vm("vm2"), OTHER_VM)
    try:
        assert seen_as(pod.descriptor, OTHER_VM) == address
        cni.add(pod)
        assert seen_as(pod.descriptor, OTHER_VM) == address
    finally:
        cni.lab.servers.forget(OTHER_VM)


def test_add_twice_in_another_version_answers_in_that_version(cni: Runtime) -> None:
    pod = cni.sandbox()
    new = cni.add(pod, configuration(version="1.1.0"))
    old = cni.add(pod, configuration(version="0.2.0"))
    assert (old["cniVersion"], old["ip4"]["ip"]) == ("0.2.0", new["ips"][0]["address"])


def test_add_with_a_new_namespace_moves_the_attachment(cni: Runtime, mode: str) -> None:
    first, second = cni.sandbox(), cni.sandbox()
    config = configuration(mode)
    cni.add(first, config)
    variables = cni.environment("ADD", first) | {"CNI_NETNS": second.path}
    moved = cni.execute(variables, json.dumps(config).encode()).result
    assert cni.held() == {address_of(moved): first.container}
    assert moved["interfaces"][1]["sandbox"] == second.path
    assert cni.links_in(second) == ["lo", "eth0"]
    assert eventually(lambda: len(cni.pod_links()) == 1)
    assert cni.links_in(first) == ["lo"]
    assert cni.call("CHECK", first, config | {"prevResult": moved}).error["code"] == 103
    assert cni.execute(variables | {"CNI_COMMAND": "CHECK"}, json.dumps(config | {"prevResult": moved}).encode()).silent


def test_an_interface_of_a_stranger_is_refused_and_nothing_is_left(cni: Runtime, mode: str) -> None:
    cni.add(cni.sandbox(), configuration(mode))
    pod = cni.sandbox()
    cni.run("ip", "-n", pod.name, "link", "add", "eth0", "type", "bridge")
    before = cni.state(), cni.state_in(pod)
    error = cni.call("ADD", pod, configuration(mode)).error
    assert error["code"] == 100
    assert "eth0" in error["msg"]
    assert error["details"]
    assert (cni.state(), cni.state_in(pod)) == before
    assert cni.call("DEL", pod, configuration(mode)).silent
    assert (cni.state(), cni.state_in(pod)) == before


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_result_of_the_first_versions_has_one_object_a_family(cni: Runtime, version: str) -> None:
    result = cni.add(cni.sandbox(), configuration(version=version))
    assert result.keys() == {"cniVersion", "ip4", "dns"}
    assert result["cniVersion"] == version
    assert result["ip4"]["ip"].endswith("/24")
    assert result["ip4"]["gateway"] == "10.1.1.1"
    assert result["ip4"]["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.1.1.1"}]
    assert result["dns"]["nameservers"] == ["168.63.129.16"]
    assert [each.partition(".")[2] for each in result["dns"]["search"]] == ["bx.internal.cloudapp.net"]


@pytest.mark.parametrize("version", VERSIONS[2:])
def test_result_of_later_versions_lists_interfaces_addresses_and_routes(cni: Runtime, version: str) -> None:
    pod = cni.sandbox()
    result = cni.add(pod, configuration(version=version))
    assert result.keys() == {"cniVersion", "interfaces", "ips", "routes", "dns"}
    assert result["cniVersion"] == version
    host, inner = result["interfaces"]
    expected = {"gateway": "10.1.1.1", "interface": 1} | ({"version": "4"} if version < "1" else {})
    assert result["ips"] == [{"address": f"{address_of(result)}/24"} | expected]
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.1.1.1"}]
    mtu = {"mtu": 1500} if version == "1.1.0" else {}
    link = json.loads(cni.run("ip", "-j", "-n", pod.name, "link", "show", "eth0"))[0]
    assert inner == {"name": "eth0", "mac": link["address"], "sandbox": pod.path} | mtu
    assert host == {"name": cni.pod_links()[0], "mac": "aa:aa:aa:aa:aa:aa"} | mtu


def test_no_stated_version_is_answered_in_the_oldest(cni: Runtime) -> None:
    config = configuration()
    for spoken in ({"cniVersion": ""}, {"cniVersion": None}):
        assert "ip4" in cni.add(cni.sandbox(), config | spoken)


def test_previous_result_of_a_chain_is_passed_on_before_ours(cni: Runtime) -> None:
    before = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "stranger", "mac": "02:00:00:00:00:01"}],
        "ips": [{"address": "192.0.2.1/32", "interface": 0}],
    }
    result = cni.add(cni.sandbox(), configuration(version="1.0.0", prevResult=before))
    assert result["interfaces"][0] == before["interfaces"][0]
    assert [each["interface"] for each in result["ips"]] == [0, 2]


def test_a_wanted_address_is_given(cni: Runtime) -> None:
    wanted = "10.1.1.77"
    pod = cni.sandbox()
    assert address_of(cni.add(pod, args=f"IgnoreUnknown=1;IP={wanted}")) == wanted
    assert cni.held() == {wanted: pod.container}


def test_a_wanted_address_that_rests_is_given_at_once(cni: Runtime) -> None:
    first, second = cni.sandbox(), cni.sandbox()
    wanted = address_of(cni.add(first))
    assert cni.call("DEL", first).silent
    assert address_of(cni.add(second, args=f"IP={wanted}")) == wanted


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("10.1.1.78", "in use"),
        ("10.1.1.4", "not an address of this VM's pool"),
        ("10.1.2.5", "not an address of this VM's pool"),
        ("203.0.113.9", "not an address of this VM's pool"),
    ],
    ids=["taken", "the VM's own", "of another VM", "of nobody"],
)
def test_a_wanted_address_that_cannot_be_had_is_refused_without_a_trace(cni: Runtime, wanted: str, reason: str) -> None:
    cni.add(cni.sandbox(), args="IP=10.1.1.78")
    pod = cni.sandbox()
    before = cni.state()
    error = cni.call("ADD", pod, args=f"IP={wanted}").error
    assert error["code"] == 7
    assert wanted in error["msg"]
    assert reason in error["msg"]
    assert cni.state() == before


def test_a_wanted_mac_is_given_and_lets_the_pod_talk(cni: Runtime, mode: str) -> None:
    pod, mac = cni.sandbox(), "02:00:5e:10:00:77"
    result = cni.add(pod, configuration(mode), args=f"MAC={mac}")
    assert result["interfaces"][1]["mac"] == mac
    cni.lab.servers.listen(cni.lab.vm("vm2"), OTHER_VM)
    try:
        assert seen_as(pod.descriptor, OTHER_VM) == address_of(result)
    finally:
        cni.lab.servers.forget(OTHER_VM)


@pytest.mark.parametrize("stdin", [b"", b"not JSON", b"{}", b'{"cniVersion":"0.4.0"}', b'{"cniVersion":"9.9.9"}'])
def test_version_lists_every_version_whatever_stdin_holds(cni: Runtime, stdin: bytes) -> None:
    dummies = {"CNI_COMMAND": "VERSION", "CNI_NETNS": "dummy", "CNI_IFNAME": "dummy", "CNI_PATH": "dummy"}
    answer = cni.execute(dummies, stdin).result
    asked = json.loads(stdin)["cniVersion"] if b"cniVersion" in stdin else "1.1.0"
    assert answer == {"cniVersion": asked, "supportedVersions": list(VERSIONS)}
