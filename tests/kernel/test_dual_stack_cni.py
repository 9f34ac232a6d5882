"""Pods with IPv4 and IPv6 as a runtime meets them: what ADD answers, what is left by DEL, what a restart finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.runtime.probe import seen_as
from podvnet.testing.cni import Json, Runtime, Sandbox, configuration, eventually
from podvnet.testing.lab import PODVNET, Lab, laboratory

DUAL = Path(__file__).parents[2] / "examples" / "dual-stack.yaml"
MODES = ("transparent", "bridge", "tunnel")
VM2 = "fd00:1:0:2::4"
GATEWAY = "fe80::1234:5678:9abc"
POOL6 = 12
"""How many IPv6 addresses there are for pods of vm1; those of IPv4 are more."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with laboratory(DUAL) as lab:
        yield lab


@pytest.fixture(scope="module")
def restless(lab: Lab) -> Iterator[Runtime]:
    """vm1, where addresses do not rest, so that no test leaves the next one short of IPv6."""
    lab.install("vm1")
    with Runtime(lab, "vm1") as runtime:
        runtime.end_agent()
        start(runtime)
        yield runtime
        runtime.clear()
        runtime.end_agent()


@pytest.fixture
def cni(restless: Runtime) -> Iterator[Runtime]:
    """The same; what a test attaches ends with it."""
    yield restless
    restless.clear()


def start(runtime: Runtime, *options: str) -> None:
    runtime.start_agent("--rest", "0", *options)


def with_ipv6(choice: str, **more: str) -> Json:
    return configuration(ipam={"type": "azure-vnet-ipam", "ipv6": choice} | more)


def addresses(result: Json) -> list[str]:
    return [each["address"].partition("/")[0] for each in result["ips"]]


def reached(cni: Runtime, pod: Sandbox, result: Json) -> bool:
    """Tell whether vm2 is reached by both, and sees the pod's own addresses."""
    four, six = addresses(result)
    servers, vm2 = cni.lab.servers, cni.lab.vm("vm2")
    servers.listen(pod.descriptor, four)
    servers.listen(pod.descriptor, six)
    try:
        return seen_as(vm2, four) == "10.1.2.4" and seen_as(vm2, six) == VM2
    finally:
        servers.forget(four)
        servers.forget(six)


def test_the_result_in_every_version(cni: Runtime) -> None:
    pod = cni.sandbox()
    newest = cni.add(pod, configuration(version="1.1.0"))
    four, six = (each["address"] for each in newest["ips"])
    assert six.startswith("fd00:1:0:1::")
    assert six.endswith("/64")
    for version in ("1.1.0", "1.0.0", "0.4.0", "0.3.1", "0.3.0"):
        result = cni.add(pod, configuration(version=version))
        numbered = [{"version": "4"}, {"version": "6"}] if version.startswith("0") else [{}, {}]
        assert result["ips"] == [
            numbered[0] | {"address": four, "gateway": "10.1.1.1", "interface": 1},
            numbered[1] | {"address": six, "gateway": GATEWAY, "interface": 1},
        ]
        assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.1.1.1"}, {"dst": "::/0", "gw": GATEWAY}]
    for version in ("0.2.0", "0.1.0"):
        result = cni.add(pod, configuration(version=version))
        assert result["ip4"] == {
            "ip": four,
            "gateway": "10.1.1.1",
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.1.1"}],
        }
        assert result["ip6"] == {"ip": six, "gateway": GATEWAY, "routes": [{"dst": "::/0", "gw": GATEWAY}]}


@pytest.mark.parametrize("mode", MODES)
def test_del_leaves_nothing(cni: Runtime, mode: str) -> None:
    config = configuration(mode)
    first = cni.sandbox()
    cni.add(first, config)  # the network is prepared: what it leaves is not the pod's
    pod = cni.sandbox()
    before = cni.state()
    result = cni.add(pod, config)
    assert len(addresses(result)) == 2
    assert cni.state() != before
    assert cni.call("DEL", pod, config).silent
    assert not [fact for fact in cni.state_in(pod) if "fd00" in fact or "fe80" in fact]
    assert eventually(lambda: cni.state() == before), cni.state() ^ before
    assert cni.links_in(pod) == ["lo"]


@pytest.mark.parametrize("mode", MODES)
def test_gc_leaves_nothing(cni: Runtime, mode: str) -> None:
    kept, lost = cni.sandbox(), cni.sandbox()
    config = configuration(mode)
    result = cni.add(kept, config)
    before = cni.state()
    cni.add(lost, config)
    valid = [{"containerID": kept.container, "ifname": "eth0"}]
    assert cni.call("GC", config=config | {"cni.dev/valid-attachments": valid}).silent
    assert eventually(lambda: cni.state() == before), cni.state() ^ before
    assert reached(cni, kept, result)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "broken",
    [
        ("ip", "-n", "{pod}", "-6", "route", "delete", "default"),
        ("ip", "-n", "{pod}", "-6", "neigh", "delete", GATEWAY, "dev", "eth0"),
        ("ip", "-n", "{pod}", "address", "delete", "{six}", "dev", "eth0"),
        ("ip", "-6", "route", "delete", "{six}"),
    ],
)
def test_check_finds_what_is_broken_of_ipv6(cni: Runtime, mode: str, broken: tuple[str, ...]) -> None:
    pod = cni.sandbox()
    result = cni.add(pod, configuration(mode))
    config = configuration(mode, prevResult=result)
    assert cni.call("CHECK", pod, config).silent
    six = result["ips"][1]["address"] if "address" in broken else addresses(result)[1]
    cni.run(*(word.format(pod=pod.name, six=six) for word in broken))
    error = cni.call("CHECK", pod, config).error
    assert error["code"] == 103
    assert cni.add(pod, configuration(mode))["ips"], "ADD mends it"


@pytest.mark.parametrize("mode", MODES)
def test_an_agent_that_is_killed_finds_its_pods_again(cni: Runtime, mode: str) -> None:
    pod, config = cni.sandbox(), configuration(mode)
    result = cni.add(pod, config)
    before = cni.state()
    cni.end_agent()
    assert reached(cni, pod, result)
    start(cni)
    assert cni.state() == before
    assert cni.call("CHECK", pod, config | {"prevResult": result}).silent
    # Now its memory is gone as well, and what the kernel holds tells it.
    cni.end_agent()
    cni.lose_ledger()
    start(cni)
    cni.settle()
    assert sorted(cni.held()) == sorted(addresses(result))
    assert cni.call("CHECK", pod, config | {"prevResult": result}).silent
    assert reached(cni, pod, result)


@pytest.mark.parametrize("mode", MODES)
def test_what_a_restart_finds_missing_is_put_back(cni: Runtime, mode: str) -> None:
    pod, config = cni.sandbox(), configuration(mode)
    result = cni.add(pod, config)
    before = cni.state()
    cni.end_agent()
    cni.run("nft", "flush", "ruleset")
    cni.run("ip", "-6", "route", "delete", addresses(result)[1])
    cni.run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=0")
    start(cni)
    assert cni.state() == before
    assert reached(cni, pod, result)


def test_a_runtime_that_turned_ipv6_off_in_the_pod(cni: Runtime) -> None:
    pod = cni.sandbox()
    for which in ("all", "default"):
        cni.run("ip", "netns", "exec", pod.name, "sysctl", "-q", "-w", f"net.ipv6.conf.{which}.disable_ipv6=1")
    assert reached(cni, pod, cni.add(pod))


def test_pods_have_both_while_there_are_both_and_ipv4_after(cni: Runtime) -> None:
    found = [addresses(cni.add(cni.sandbox())) for _ in range(POOL6 + 2)]
    assert [len(each) for each in found] == [2] * POOL6 + [1] * 2
    assert len({address for each in found for address in each}) == 2 * POOL6 + 2
    assert cni.call("STATUS").silent
    refused = cni.call("ADD", cni.sandbox(), with_ipv6("required")).error
    assert refused["code"] == 101
    assert f"all {POOL6} secondary IPv6 addresses of NIC eth0" in refused["msg"]


def test_a_network_without_ipv6(cni: Runtime) -> None:
    pod = cni.sandbox()
    result = cni.add(pod, with_ipv6("none"))
    assert len(addresses(result)) == 1
    assert [route["dst"] for route in result["routes"]] == ["0.0.0.0/0"]
    assert not [fact for fact in cni.state_in(pod) if "fd00" in fact or "fe80" in fact]


def test_an_address_that_is_asked_for(cni: Runtime) -> None:
    wanted = "fd00:1:0:1::9"
    result = cni.add(cni.sandbox(), args=f"IP={wanted}")
    assert addresses(result)[1] == wanted
    taken = cni.call("ADD", cni.sandbox(), args=f"IP={wanted}").error
    assert taken["code"] == 7
    assert "in use" in taken["msg"]
    forbidden = cni.call("ADD", cni.sandbox(), with_ipv6("none"), args="IP=fd00:1:0:1::a").error
    assert forbidden["code"] == 7
    assert "ipam.ipv6" in forbidden["msg"]
    within = with_ipv6("required", subnet="10.1.1.0/24")
    assert len(addresses(cni.add(cni.sandbox(), within))) == 2


@pytest.mark.parametrize("source", ["wireserver", "imds"])
def test_every_source_lists_both(cni: Runtime, source: str) -> None:
    cni.end_agent()
    cni.lose_ledger()
    start(cni, "--pool-source", source)
    status = cni.lab.agent_status("vm1")
    assert (status["pool"]["total"], status["pool6"]["total"]) == (16, POOL6)
    assert status["nic"]["primary"] == ["10.1.1.4", "fd00:1:0:1::4"]
    cni.end_agent()
    start(cni)


def test_nobody_listens_for_pods(cni: Runtime) -> None:
    """The agent is not to be reached by IP, of whatever version."""
    assert cni.run("ss", "-H", "-lntu") == ""


def test_doctor_notices_that_ipv6_is_not_forwarded(cni: Runtime) -> None:
    forwarding = "net.ipv6.conf.all.forwarding"
    cni.run("sysctl", "-q", "-w", f"{forwarding}=0")
    ill = cni.lab.inside("vm1", *PODVNET, "doctor", check=False).stdout
    cni.run("sysctl", "-q", "-w", f"{forwarding}=1")
    assert "ipv6 forwarding: off: pods reach nobody by IPv6" in ill
    assert "ipv6 forwarding: on" in cni.lab.inside("vm1", *PODVNET, "doctor").stdout
