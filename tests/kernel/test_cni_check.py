"""CHECK: silent while an attachment is whole, and names whatever part of it is missing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from podvnet.testing.cni import Json, Runtime, Sandbox, address_of, configuration, eventually

MODES = ("transparent", "bridge", "tunnel")
BRIDGE = "azure0"


@dataclass(frozen=True)
class Attached:
    """A pod and what the damages below are spelled with."""

    pod: Sandbox
    config: Json
    link: str
    mac: str
    address: str

    def spelled(self, text: str) -> str:
        names = {"pod": self.pod.name, "link": self.link, "mac": self.mac, "address": self.address}
        return text.format(**names)


def attach(cni: Runtime, mode: str) -> Attached:
    pod = cni.sandbox()
    config = configuration(mode)
    result = cni.add(pod, config)
    link, inner = result["interfaces"]
    return Attached(pod, config | {"prevResult": result}, link["name"], inner["mac"], address_of(result))


ON_VM = [
    ("transparent", "ip route del {address}", "on the VM: Route {address}/32"),
    ("transparent", "ip neigh del {address} dev {link}", "on the VM: neighbour {address}"),
    ("transparent", "nft delete element inet podvnet pods4 {{ {address} }}", "element of set inet podvnet pods4"),
    (
        "transparent",
        "nft delete element inet podvnet sources4 {{ {link} . {mac} . {address} }}",
        "element of set inet podvnet sources4",
    ),
    (
        "transparent",
        "nft delete element arp podvnet sources4 {{ {link} . {mac} . {address} }}",
        "element of set arp podvnet sources4",
    ),
    ("transparent", "ip link del {link}", "on the VM: VethPair {link}"),
    ("bridge", f"ip neigh del {{address}} dev {BRIDGE}", "on the VM: neighbour {address}"),
    ("bridge", "bridge fdb del {mac} dev {link} master", "on the VM: BridgeEntry {mac}"),
    ("bridge", "ip link set {link} nomaster", "on the VM: VethPair {link}"),
    ("bridge", "nft delete element inet podvnet pods4 {{ {address} }}", "element of set inet podvnet pods4"),
    (
        "bridge",
        "nft delete element bridge podvnet sources4 {{ {link} . {mac} . {address} }}",
        "element of set bridge podvnet sources4",
    ),
    (
        "bridge",
        "nft delete element bridge podvnet delivery4 {{ {address} : {mac} }}",
        "element of set bridge podvnet delivery4",
    ),
    (
        "bridge",
        "nft delete element bridge podvnet local4 {{ {address} : {mac} }}",
        "element of set bridge podvnet local4",
    ),
    (
        "tunnel",
        "nft delete element bridge podvnet tunnel_ports {{ {link} }}",
        "element of set bridge podvnet tunnel_ports",
    ),
]
IN_POD = [
    ("ip -n {pod} addr del {address}/24 dev eth0", "in the pod: InterfaceAddress {address}/24"),
    ("ip -n {pod} route del default", "in the pod: Route 0.0.0.0/0"),
    ("ip -n {pod} route del 10.1.1.1", "in the pod: Route 10.1.1.1/32"),
    ("ip -n {pod} neigh del 10.1.1.1 dev eth0", "in the pod: neighbour 10.1.1.1"),
    ("ip -n {pod} link set eth0 down", "in the pod: LinkUp"),
    ("ip -n {pod} link set eth0 name eth7", "in the pod: eth0 {mac} (the link is eth7 {mac} now)"),
    ("ip -n {pod} link set eth0 address 02:00:00:00:00:07", "in the pod: eth0 {mac} (the link is eth0"),
]


@pytest.mark.parametrize("mode", MODES)
def test_check_of_a_whole_attachment_is_silent_and_changes_nothing(cni: Runtime, mode: str) -> None:
    attached = attach(cni, mode)
    before = cni.state(), cni.state_in(attached.pod)
    assert cni.call("CHECK", attached.pod, attached.config).silent
    assert (cni.state(), cni.state_in(attached.pod)) == before


@pytest.mark.parametrize(("mode", "damage", "missing"), ON_VM)
def test_check_names_what_is_missing_on_the_vm(cni: Runtime, mode: str, damage: str, missing: str) -> None:
    attached = attach(cni, mode)
    cni.run(*attached.spelled(damage).split())
    assert_noticed(cni, attached, missing)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("damage", "missing"), IN_POD)
def test_check_names_what_is_missing_in_the_pod(cni: Runtime, mode: str, damage: str, missing: str) -> None:
    attached = attach(cni, mode)
    cni.run(*attached.spelled(damage).split())
    assert_noticed(cni, attached, missing)


def assert_noticed(cni: Runtime, attached: Attached, missing: str) -> None:
    error = cni.call("CHECK", attached.pod, attached.config).error
    assert error["code"] == 103
    assert attached.spelled(missing) in error["msg"]
    assert error["details"]


@pytest.mark.parametrize("mode", MODES)
def test_add_mends_what_check_found(cni: Runtime, mode: str) -> None:
    attached = attach(cni, mode)
    cni.run("ip", "-n", attached.pod.name, "route", "del", "default")
    assert cni.call("CHECK", attached.pod, attached.config).code == 1
    result = cni.add(attached.pod, configuration(mode))
    assert cni.call("CHECK", attached.pod, configuration(mode, prevResult=result)).silent
    assert eventually(lambda: len(cni.pod_links()) == 1)


def test_check_of_the_unknown_says_so(cni: Runtime) -> None:
    error = cni.call("CHECK", cni.sandbox(), configuration()).error
    assert error["code"] == 3
    assert "not attached" in error["msg"]


def test_check_notices_a_previous_result_of_another_attachment(cni: Runtime) -> None:
    attached, other = attach(cni, "transparent"), attach(cni, "transparent")
    error = cni.call("CHECK", attached.pod, other.config).error
    assert error["code"] == 103
    assert attached.address in error["msg"]


def test_check_without_a_previous_result_goes_by_the_ledger(cni: Runtime) -> None:
    attached = attach(cni, "transparent")
    assert cni.call("CHECK", attached.pod, configuration()).silent


def test_check_notices_another_namespace(cni: Runtime) -> None:
    attached = attach(cni, "transparent")
    cni.run("ip", "netns", "delete", attached.pod.name)
    cni.run("ip", "netns", "add", attached.pod.name)
    error = cni.call("CHECK", attached.pod, attached.config).error
    assert error["code"] == 103
    assert "in the pod" in error["msg"]
