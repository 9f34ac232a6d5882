"""Pods under security groups: by their own addresses like VMs; and pods of one VM among themselves by mode."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.testing.lab import LabPod
from podvnet.testing.rule import allow, deny
from podvnet.testing.stage import Resources, Stage, stage
from podvnet.testing.traffic import ICMP, PASSES, TCP, UDP, Place, connected, still_flows

EVERY = (TCP, UDP, ICMP)
PORT = 7001
IN, OUT = "Inbound", "Outbound"


@pytest.fixture(scope="module")
def fabric() -> Iterator[Stage]:
    """The example of two subnets."""
    with stage(Path(__file__).parents[2] / "examples" / "two-subnets.yaml") as made:
        yield made


@pytest.fixture(scope="module", params=["transparent", "bridge", "tunnel"])
def mode(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def net(mode: str, fabric: Stage) -> Iterator[Stage]:
    """Two pods on one VM and one on the other, attached in one mode."""
    fabric.apply(fabric.declared)
    for vm in ("vm1", "vm2"):
        fabric.lab.install(vm, "--mode", mode)
    pods = {name: fabric.lab.run_pod(f"{mode}-{name}", vm) for name, vm in (("p", "vm1"), ("q", "vm1"), ("r", "vm2"))}
    fabric.places |= {name: place(pod) for name, pod in pods.items()}
    yield fabric
    for pod in pods.values():
        fabric.lab.delete_pod(pod.name)


def place(pod: LabPod) -> Place:
    return Place(pod.descriptor, {4: pod.address})


def guarded(net: Stage, subnet: str, *rules: dict[str, object]) -> Resources:
    """The file's resources, with a group ``guard`` on a subnet and groups ``web`` and ``app`` that rules can name."""
    resources = net.declared
    scope = resources["virtualNetworks/hub"]["id"].rsplit("/virtualNetworks/", 1)[0]
    for kind, name, properties in (
        ("networkSecurityGroups", "guard", {"securityRules": list(rules)}),
        ("applicationSecurityGroups", "web", {}),
        ("applicationSecurityGroups", "app", {}),
    ):
        resources[f"{kind}/{name}"] = {
            "id": f"{scope}/{kind}/{name}",
            "type": f"Microsoft.Network/{kind}",
            "name": name,
            "location": "local",
            "properties": properties,
        }
    subnets = resources["virtualNetworks/hub"]["properties"]["subnets"]
    properties = next(each for each in subnets if each["name"] == subnet)["properties"]
    properties["networkSecurityGroup"] = {"id": "networkSecurityGroups/guard"}
    return resources


def join(net: Stage, resources: Resources, name: str, group: str) -> None:
    """Make a pod a member of a group: its own address, and no other of the NIC."""
    address = net.places[name].addresses[4]
    for document in net.lab.status()["resources"]:
        if document["type"] == "Microsoft.Network/networkInterfaces":
            for config in document["properties"]["ipConfigurations"]:
                if config["properties"]["privateIPAddress"] == address:
                    inner = resources[f"networkInterfaces/{document['name']}"]["properties"]["ipConfigurations"]
                    mine = next(each for each in inner if each["name"] == config["name"])
                    mine["properties"]["applicationSecurityGroups"] = [{"id": f"applicationSecurityGroups/{group}"}]


def outcomes(net: Stage, *pairs: tuple[str, str]) -> dict[tuple[str, str], set[str]]:
    """What becomes of flows of every protocol between places."""
    return {pair: {net.outcome(*pair, protocol, PORT) for protocol in EVERY} for pair in pairs}


def test_a_rule_for_a_pods_address_is_for_that_pod_alone(net: Stage) -> None:
    rule = deny("x", 100, IN, destination=net.places["p"].addresses[4])
    net.apply(guarded(net, "front", rule))
    assert outcomes(net, ("vm2", "p"), ("r", "p"), ("vm2", "q"), ("r", "q"), ("vm2", "vm1")) == {
        ("vm2", "p"): {"guard x"},
        ("r", "p"): {"guard x"},
        ("vm2", "q"): {PASSES},
        ("r", "q"): {PASSES},
        ("vm2", "vm1"): {PASSES},
    }


def test_a_rule_for_what_a_pod_sends(net: Stage) -> None:
    net.apply(guarded(net, "front", deny("x", 100, OUT, source=net.places["p"].addresses[4])))
    assert outcomes(net, ("p", "vm2"), ("p", "r"), ("q", "r"), ("vm1", "r"), ("r", "p")) == {
        ("p", "vm2"): {"guard x"},
        ("p", "r"): {"guard x"},
        ("q", "r"): {PASSES},
        ("vm1", "r"): {PASSES},
        ("r", "p"): {PASSES},
    }


def test_a_pod_is_in_a_group_of_its_own(net: Stage) -> None:
    resources = guarded(net, "front", deny("x", 100, IN, destination=("web",)))
    join(net, resources, "p", "web")
    net.apply(resources)
    assert outcomes(net, ("r", "p"), ("r", "q"), ("r", "vm1")) == {
        ("r", "p"): {"guard x"},
        ("r", "q"): {PASSES},
        ("r", "vm1"): {PASSES},
    }


def test_pods_of_two_vms_in_groups_on_both_sides(net: Stage) -> None:
    resources = guarded(
        net,
        "front",
        allow("x", 100, IN, source=("app",), destination=("web",)),
        deny("y", 110, IN, destination=("web",)),
    )
    join(net, resources, "p", "web")
    join(net, resources, "r", "app")
    net.apply(resources)
    assert outcomes(net, ("r", "p"), ("vm2", "p"), ("vm2", "q")) == {
        ("r", "p"): {PASSES},
        ("vm2", "p"): {"guard y"},
        ("vm2", "q"): {PASSES},
    }


def test_a_group_on_the_nic_is_for_its_pods(net: Stage) -> None:
    resources = guarded(net, "back", deny("x", 100, IN))
    resources["networkInterfaces/vm1-nic"]["properties"]["networkSecurityGroup"] = {"id": "networkSecurityGroups/guard"}
    net.apply(resources)
    assert outcomes(net, ("r", "p"), ("p", "r")) == {("r", "p"): {"guard x"}, ("p", "r"): {"guard x"}}


@pytest.mark.parametrize("direction", [IN, OUT])
def test_pods_of_one_vm_are_filtered_in_tunnel_mode_only(net: Stage, mode: str, direction: str) -> None:
    """In the other modes their packets never leave the VM: as in Azure no security group sees them."""
    net.apply(guarded(net, "front", deny("x", 100, direction, source="10.1.1.0/24", destination="10.1.1.0/24")))
    expected = "guard x" if mode == "tunnel" else PASSES
    assert outcomes(net, ("p", "q"), ("q", "p")) == {("p", "q"): {expected}, ("q", "p"): {expected}}


def test_pods_of_one_vm_in_groups_of_their_own(net: Stage, mode: str) -> None:
    resources = guarded(net, "front", deny("x", 100, IN, source=("app",), destination=("web",)))
    join(net, resources, "p", "web")
    join(net, resources, "q", "app")
    net.apply(resources)
    expected = "guard x" if mode == "tunnel" else PASSES
    assert outcomes(net, ("q", "p"), ("p", "q"), ("vm2", "p")) == {
        ("q", "p"): {expected},
        ("p", "q"): {PASSES},
        ("vm2", "p"): {PASSES},
    }


def test_a_connection_between_pods_survives_a_rule_that_denies_it(net: Stage) -> None:
    for caller, called in itertools.permutations("pqr", 2):
        net.apply(guarded(net, "front"))
        with connected(net.places[caller], net.places[called], 4, PORT) as ends:
            net.apply(guarded(net, "front", deny("x", 100, IN), deny("y", 100, OUT)))
            assert still_flows(*ends), (caller, called)
