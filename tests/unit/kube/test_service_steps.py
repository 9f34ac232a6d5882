"""What Services come to at the resource manager, and what is said when they cannot have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from podvnet.testing.service_stage import ServiceStage

AZURE = "service.beta.kubernetes.io/azure-"
INTERNAL = {f"{AZURE}load-balancer-internal": "true"}
FIXED = INTERNAL | {f"{AZURE}load-balancer-ipv4": "10.1.0.99"}
TALK = {"name": "talk", "port": 53, "protocol": "UDP"}


@dataclass(frozen=True)
class Row:
    """A Service, and what rules it gets: of each port, protocol and target, and the members of IPv4."""

    sentence: str
    ports: list[Any] = field(default_factory=lambda: [80])
    annotations: dict[str, str] = field(default_factory=lambda: dict(INTERNAL))
    spec: dict[str, Any] = field(default_factory=dict)
    pods: tuple[str, ...] = ("10.1.0.11",)
    named: dict[str, int] | None = None
    rules: tuple[str, ...] = ("80/Tcp>80",)
    reasons: frozenset[str] = frozenset()


NAMED = {"name": "web", "port": 80, "targetPort": "http"}
ROWS = [
    Row("a port leads to its target", [{"port": 80, "targetPort": 8080}], rules=("80/Tcp>8080",)),
    Row("TCP and UDP of one port", [{"name": "t", "port": 53}, TALK], rules=("53/Tcp>53", "53/Udp>53")),
    Row("a named target", [NAMED], named={"web": 8081}, rules=("80/Tcp>8081",)),
    Row("a named target of no pods", [NAMED], pods=(), rules=()),
    Row(
        "two ports with one target",
        [{"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 81, "targetPort": 8080}],
        rules=(),
        reasons=frozenset({"TargetPortTwice"}),
    ),
    Row(
        "pods outside of the network",
        pods=("10.1.0.11", "172.16.0.1"),
        reasons=frozenset({"NotInVirtualNetwork"}),
    ),
    Row("SCTP", [{"port": 80, "protocol": "SCTP"}], rules=(), reasons=frozenset({"NotSupported"})),
    Row(
        "a subnet that there is not",
        annotations=INTERNAL | {f"{AZURE}load-balancer-internal-subnet": "none"},
        rules=(),
        reasons=frozenset({"SubnetNotFound"}),
    ),
    Row(
        "an address outside of the subnet",
        annotations=INTERNAL | {f"{AZURE}load-balancer-ipv4": "10.1.8.9"},
        rules=(),
        reasons=frozenset({"AddressNotFound"}),
    ),
    Row(
        "a public address that there is not",
        annotations={f"{AZURE}pip-name": "none"},
        rules=(),
        reasons=frozenset({"AddressNotFound"}),
    ),
    Row("pods without a security group", annotations={}, pods=("10.1.9.9",), reasons=frozenset({"NoSecurityGroup"})),
    Row(
        "a source that is no range",
        spec={"loadBalancerSourceRanges": ["all"]},
        rules=(),
        reasons=frozenset({"NotSupported"}),
    ),
    Row(
        "sources said twice",
        annotations=INTERNAL | {f"{AZURE}allowed-ip-ranges": "10.9.0.0/16"},
        spec={"loadBalancerSourceRanges": ["10.8.0.0/16"]},
        rules=(),
        reasons=frozenset({"NotSupported"}),
    ),
    Row(
        "probes that take too long",
        annotations=INTERNAL | {f"{AZURE}load-balancer-health-probe-interval": "60"},
        rules=(),
        reasons=frozenset({"NotSupported"}),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.sentence)
def test_a_service_comes_to_rules_and_members(stage: ServiceStage, row: Row) -> None:
    stage.cluster.put("web", row.ports, row.annotations, **row.spec)
    stage.cluster.serve("web", *row.pods, ports=row.named)
    stage.settle()
    internal = f"{AZURE}load-balancer-internal" in row.annotations
    rules = stage.rules(internal=internal)
    assert (
        tuple(sorted(f"{each['frontendPort']}/{each['protocol']}>{each['backendPort']}" for each in rules)) == row.rules
    )
    assert stage.reasons("web") == row.reasons
    inside = [each for each in row.pods if each.startswith("10.1.")] if row.rules else []
    assert stage.members(internal=internal) == inside


def test_services_at_one_address_share_a_frontend_and_the_one_that_has_a_port_keeps_it(stage: ServiceStage) -> None:
    stage.cluster.put("one", [80], FIXED)
    stage.cluster.put("two", [81], FIXED)
    stage.cluster.put("three", [81], FIXED)
    stage.settle()
    assert stage.cluster.addresses("one") == stage.cluster.addresses("two") == ["10.1.0.99"]
    assert len(stage.balancer(internal=True)["frontendIPConfigurations"]) == 1
    assert stage.reasons("three") == {"AddressInUse"}
    stage.cluster.put("one", [80, 81], FIXED)
    stage.settle()
    assert stage.reasons("one") == {"AddressInUse"}, "though it is the older one"
    assert len(stage.rules(internal=True)) == 2
    stage.cluster.put("one", [82], FIXED)
    stage.cluster.delete("two")
    stage.settle()
    assert sorted(each["frontendPort"] for each in stage.rules(internal=True)) == [81, 82]


def test_two_services_can_change_places(stage: ServiceStage) -> None:
    stage.cluster.put("one", [80], FIXED)
    stage.cluster.put("two", [81], FIXED)
    stage.settle()
    stage.cluster.put("one", [81], FIXED)
    stage.settle()
    stage.cluster.put("two", [80], FIXED)
    stage.settle()
    assert [stage.rules(internal=True)[each]["frontendPort"] for each in (0, 1)] in ([80, 81], [81, 80])
    owners = {
        each["properties"]["frontendPort"]: stage.home.names.owner(each["name"])
        for each in stage.balancer(internal=True)["loadBalancingRules"]
    }
    assert owners[81] is not None
    assert int(owners[81], 16) == 1


def test_a_dynamic_address_stays_while_another_service_is_reached_at_it(stage: ServiceStage) -> None:
    stage.cluster.put("one", [80])
    stage.settle()
    (address,) = stage.cluster.addresses("one")
    stage.cluster.put("two", [81], loadBalancerIP=address)
    stage.settle()
    stage.cluster.delete("one")
    stage.settle()
    assert stage.cluster.addresses("two") == [address]
    assert list(stage.cluster.services) == ["two"]
    stage.cluster.delete("two")
    stage.settle()
    assert stage.leftovers() == []


def rule(stage: ServiceStage, access: str, source: str) -> dict[str, Any]:
    return next(
        each
        for each in stage.security()
        if each["access"] == access and source in {each.get("sourceAddressPrefix"), *each["sourceAddressPrefixes"]}
    )


def test_rules_of_security_groups_step_around_the_priorities_of_others(stage: ServiceStage) -> None:
    for name, port in (("one", 80), ("two", 81)):
        stage.cluster.put(name, [port])
        stage.cluster.serve(name, "10.1.0.11")
    stage.settle()
    assert sorted(each["priority"] for each in stage.security()) == [500, 502]


def test_sources_of_an_internal_service_shut_others_out_but_for_probes_and_the_clusters_own(
    stage: ServiceStage,
) -> None:
    stage.cluster.put("web", [{"port": 80, "targetPort": 8080}], INTERNAL, loadBalancerSourceRanges=["10.9.0.0/16"])
    stage.cluster.serve("web", "10.1.0.11")
    stage.settle()
    allowed = [rule(stage, "Allow", each) for each in ("10.9.0.0/16", "AzureLoadBalancer", "10.1.0.0/24")]
    denied = rule(stage, "Deny", "*")
    assert denied["priority"] == 4096
    for each in (*allowed, denied):
        assert (each["destinationAddressPrefix"], each["destinationPortRange"]) == ("10.1.0.11", "8080")
        assert each is denied or each["priority"] < denied["priority"]


def test_services_that_let_in_the_same_share_a_rule_when_they_are_told_to(stage: ServiceStage) -> None:
    shared = {f"{AZURE}shared-securityrule": "true"}
    for number, name in enumerate(("one", "two")):
        stage.cluster.put(name, [80], shared)
        stage.cluster.serve(name, f"10.1.0.1{number}")
    stage.settle()
    (only,) = stage.security()
    assert only["destinationAddressPrefixes"] == ["10.1.0.10", "10.1.0.11"]
    stage.cluster.delete("one")
    stage.settle()
    (only,) = stage.security()
    assert only["destinationAddressPrefix"] == "10.1.0.11"


@pytest.mark.parametrize(
    ("change", "serves"),
    [
        (lambda stage: stage.cluster.put("web", loadBalancerClass=None), False),
        (lambda stage: stage.cluster.put("web", loadBalancerClass="another.io/one"), False),
        (lambda stage: stage.cluster.put("web", type="NodePort"), False),
        (lambda stage: stage.cluster.put("web"), True),
    ],
    ids=["no class", "another's class", "another type", "our class"],
)
def test_only_services_of_our_class_are_served(
    stage: ServiceStage, change: Callable[[ServiceStage], object], serves: bool
) -> None:
    change(stage)
    stage.settle()
    assert bool(stage.leftovers()) is serves


def test_the_class_is_ours_by_default_when_that_is_said(stage: ServiceStage) -> None:
    stage.cluster.put("web", loadBalancerClass=None)
    (service,) = stage.cluster.chart(default=True).services
    assert stage.cluster.chart(default=True).is_ours(service)
    assert not stage.cluster.chart(default=False).is_ours(service)
