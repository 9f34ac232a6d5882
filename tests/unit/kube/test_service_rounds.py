"""Rounds end in what is wanted, whatever the resource manager does meanwhile, and in few requests."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from podvnet.azure.error import SourceError
from podvnet.azure.resource_manager import RefusedError
from podvnet.kube.service import CLEANUP
from podvnet.kube.service_rounds import InterruptedRoundError
from podvnet.model.resource_id import ResourceId
from podvnet.testing.service_stage import ServiceStage

AZURE = "service.beta.kubernetes.io/azure-"
INTERNAL = {f"{AZURE}load-balancer-internal": "true"}
DUAL: dict[str, Any] = {"ipFamilies": ["IPv4", "IPv6"]}


class KilledError(BaseException):
    """What a kill -9 is to who makes a request."""


def kinds(stage: ServiceStage, since: int = 0) -> list[str]:
    """The writes: method and type."""
    return [f"{method} {resource.path[-1][0]}" for method, resource in stage.edge.writes[since:]]


def test_a_public_service_takes_three_writes_and_then_none(stage: ServiceStage) -> None:
    stage.cluster.put("web", [80, 443])
    stage.cluster.serve("web", "10.1.0.11", "10.1.0.12")
    assert stage.round().writes == 3
    assert kinds(stage) == ["PUT publicIPAddresses", "PUT networkSecurityGroups", "PUT loadBalancers"]
    assert stage.cluster.addresses("web") == [
        each["properties"]["ipAddress"] for name, each in stage.publics().items() if name.startswith("podvnet")
    ]
    assert stage.settle() == 0


def test_a_controller_that_knows_nothing_finds_all_as_it_is_and_writes_nothing(stage: ServiceStage) -> None:
    stage.cluster.put("web", [80], **DUAL)
    stage.cluster.put("inner", [80, {"name": "u", "port": 53, "protocol": "UDP"}], INTERNAL, **DUAL)
    for name in ("web", "inner"):
        stage.cluster.serve(name, "10.1.0.11", "fd00:1::11")
    stage.settle()
    stage.restart()
    assert stage.settle() == 0


def test_a_changed_pool_is_written_by_itself_and_several_in_one_request(stage: ServiceStage) -> None:
    for name in ("a", "b"):
        stage.cluster.put(name, [80], INTERNAL)
        stage.cluster.serve(name, "10.1.0.11")
    stage.settle()
    before = len(stage.edge.writes)
    stage.cluster.serve("a", "10.1.0.11", "10.1.0.12")
    stage.round()
    assert kinds(stage, before) == ["PUT backendAddressPools"]
    stage.cluster.serve("a", "10.1.0.12")
    stage.cluster.serve("b", "10.1.0.12")
    stage.round()
    assert kinds(stage, before) == ["PUT backendAddressPools", "PUT loadBalancers"]
    stage.round()
    assert sorted(stage.members(internal=True)) == ["10.1.0.12", "10.1.0.12"]


def test_rules_let_clients_in_before_the_pool_leads_to_a_pod_and_until_it_leads_there_no_more(
    stage: ServiceStage,
) -> None:
    stage.cluster.put("web")
    stage.cluster.serve("web", "10.1.0.11")
    stage.settle()

    def guarded(method: str, resource: ResourceId) -> None:
        let_in = {address for rule in stage.security() for address in targets(rule)}
        assert set(stage.members()) <= let_in

    stage.edge.before = stage.edge.after = guarded
    stage.cluster.serve("web", "10.1.0.12", "10.1.0.13")
    done = stage.round(tidy=False)
    assert done.untidy
    assert {address for rule in stage.security() for address in targets(rule)} == {
        "10.1.0.11", "10.1.0.12", "10.1.0.13",
    }  # fmt: skip
    assert not stage.round(tidy=True).untidy
    assert {address for rule in stage.security() for address in targets(rule)} == {"10.1.0.12", "10.1.0.13"}


def targets(rule: dict[str, Any]) -> list[str]:
    return list(rule.get("destinationAddressPrefixes") or [rule["destinationAddressPrefix"]])


def test_what_others_have_in_the_load_balancer_and_the_security_group_stays(stage: ServiceStage) -> None:
    front = {"name": "theirs", "properties": {"publicIPAddress": {"id": stage.publics()["theirs"]["id"]}}}
    balancer = stage.home.balancer(internal=False)
    rule = {
        "name": "theirs",
        "properties": {
            "frontendIPConfiguration": {"id": f"{balancer}/frontendIPConfigurations/theirs"},
            "protocol": "Tcp",
            "frontendPort": 9,
            "backendPort": 9,
        },
    }
    inner = {"frontendIPConfigurations": [front], "loadBalancingRules": [rule]}
    stage.edge.write(balancer, {"location": "local", "tags": {"whose": "theirs"}, "properties": inner})
    there = stage.edge.read(balancer)
    stage.cluster.put("web")
    stage.cluster.serve("web", "10.1.0.11")
    stage.settle()
    assert len(stage.rules()) == 2
    stage.cluster.delete("web")
    stage.settle()
    after = stage.edge.read(balancer)
    assert there is not None
    assert after is not None
    assert after.document["tags"] == {"whose": "theirs"}
    for kind in ("frontendIPConfigurations", "loadBalancingRules"):
        (one,), (other,) = there.document["properties"][kind], after.document["properties"][kind]
        assert {**one, "etag": ""} == {**other, "etag": ""}
    assert stage.security() == []


def test_a_resource_that_somebody_else_writes_at_the_same_moment_is_read_again(stage: ServiceStage) -> None:
    stage.cluster.put("web")
    stage.cluster.serve("web", "10.1.0.11")
    others = iter(["PUT networkSecurityGroups", "PUT loadBalancers"])
    waited_for = [next(others)]

    def interfere(method: str, resource: ResourceId) -> None:
        if f"{method} {resource.path[-1][0]}" != waited_for[0]:
            return
        waited_for[0] = next(others, "")
        group = parse_group(stage)
        theirs = {
            "priority": 600 + len(stage.edge.calls), "direction": "Inbound", "access": "Deny", "protocol": "Udp",
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*",
            "destinationPortRange": "7",
        }  # fmt: skip
        stage.edge.write(group.child("securityRules", f"more{len(stage.edge.calls)}"), {"properties": theirs})

    stage.edge.before = interfere
    stage.round()
    names = [each["name"] for each in stage.security()]
    assert sum(name.startswith("more") for name in names) == 2
    assert sum(name.startswith("podvnet-") for name in names) == 1
    assert stage.cluster.addresses("web")


def parse_group(stage: ServiceStage) -> ResourceId:
    return stage.home.subnet.parent.__class__(
        stage.home.scope.subscription,
        stage.home.scope.resource_group,
        "Microsoft.Network",
        (("networkSecurityGroups", "guard"),),
    )


@pytest.mark.parametrize(("status", "named"), [(429, 17.0), (503, None), (500, None), (409, None)])
def test_a_throttled_round_ends_with_how_long_to_wait(stage: ServiceStage, status: int, named: float | None) -> None:
    stage.cluster.put("web")

    def refuse(method: str, resource: ResourceId) -> None:
        if method == "PUT":
            raise RefusedError("busy", "", status, "Busy", named)

    stage.edge.before = refuse
    with pytest.raises(InterruptedRoundError) as interrupted:
        stage.round()
    assert interrupted.value.retry_after == named
    assert len(stage.edge.writes) == 1, "nothing else is asked meanwhile"


def test_an_answer_that_is_lost_is_found_out_by_reading(stage: ServiceStage) -> None:
    stage.cluster.put("web")
    stage.cluster.serve("web", "10.1.0.11")
    lost: set[str] = set()

    def lose(method: str, resource: ResourceId) -> None:
        if method == "PUT" and resource.key not in lost:
            lost.add(resource.key)
            raise SourceError("no answer", "", retryable=True)

    stage.edge.after = lose
    for _ in range(3):
        with pytest.raises(InterruptedRoundError):
            stage.round()
    assert stage.round().writes == 0, "everything had been written"
    assert stage.cluster.addresses("web")


def test_one_services_mistake_holds_up_no_other(stage: ServiceStage) -> None:
    for name in ("a", "b", "c"):
        stage.cluster.put(name, [80], INTERNAL)
        stage.cluster.serve(name, "10.1.0.11" if name != "b" else "10.1.0.12")
    bad = stage.cluster.chart().services[1].uid

    def refuse(method: str, resource: ResourceId) -> None:
        return None

    original = stage.edge.write

    def write(resource: ResourceId, document: dict[str, Any], etag: str = "") -> None:
        if bad in str(document.get("properties")):
            raise RefusedError("no such thing", "", 400, "InvalidRequestFormat", None)
        original(resource, document, etag)

    stage.edge.write = write  # type: ignore[method-assign]
    stage.edge.before = refuse
    done = stage.round()
    assert stage.cluster.addresses("a")
    assert stage.cluster.addresses("c")
    assert stage.cluster.addresses("b") == []
    assert stage.reasons("b") == {"SyncLoadBalancerFailed"}
    assert stage.reasons("a") == stage.reasons("c") == set()
    assert done.waiting == 15.0
    before = len(stage.edge.writes)
    stage.round()
    assert len(stage.edge.writes) == before, "it is left alone for a while"
    stage.cluster.put("b", [81], INTERNAL)
    stage.round()
    assert len(stage.edge.writes) > before, "but not once it has changed"
    stage.edge.write = original  # type: ignore[method-assign]
    stage.settle()
    assert stage.cluster.addresses("b")


def test_a_slip_in_an_annotation_takes_nothing_down(stage: ServiceStage) -> None:
    stage.cluster.put("web", [80], INTERNAL)
    stage.cluster.serve("web", "10.1.0.11")
    stage.settle()
    stage.cluster.put("web", [80], INTERNAL | {f"{AZURE}load-balancer-tcp-idle-timeout": "long"})
    assert stage.settle() == 0
    assert stage.reasons("web") == {"NotSupported"}
    assert len(stage.rules(internal=True)) == 1


def test_a_thousand_changes_of_endpoints_between_two_rounds_are_one_request(stage: ServiceStage) -> None:
    stage.cluster.put("inner", [80], INTERNAL)
    stage.settle()
    before = len(stage.edge.writes)
    for number in range(1000):
        stage.cluster.serve("inner", f"10.1.0.{number % 200 + 5}", f"10.1.0.{number % 7 + 210}")
    stage.round()
    assert kinds(stage, before) == ["PUT backendAddressPools"]
    assert sorted(stage.members(internal=True)) == ["10.1.0.204", "10.1.0.215"]


def life(stage: ServiceStage) -> list[Callable[[], Any]]:
    """What happens to three Services: made, changed, moved to the other load balancer, deleted or served no more."""
    cluster = stage.cluster
    elsewhere = {f"{AZURE}load-balancer-resource-group": "elsewhere"}
    return [
        lambda: cluster.put("web", [80, 443], **DUAL),
        lambda: cluster.serve("web", "10.1.0.11", "fd00:1::11"),
        lambda: cluster.put("inner", [80], INTERNAL | {f"{AZURE}load-balancer-ipv4": "10.1.0.99"}),
        lambda: cluster.put("far", [80], elsewhere),
        lambda: cluster.serve("inner", "10.1.0.11", "10.1.0.12"),
        lambda: cluster.put("web", [443], INTERNAL, **DUAL),
        lambda: cluster.put("inner", [80], {f"{AZURE}allowed-ip-ranges": "198.51.100.0/24"}),
        lambda: cluster.put("far", [80]),
        lambda: cluster.put("inner", [80], type="ClusterIP", loadBalancerClass=None),
        lambda: cluster.delete("web"),
        lambda: cluster.delete("far"),
    ]


@pytest.mark.parametrize("answered", [False, True], ids=["before the request", "before its answer"])
def test_a_controller_that_is_killed_at_any_request_leaves_nothing_behind(answered: bool) -> None:
    for point in itertools.count():
        stage = ServiceStage()
        left = [point]

        def kill(method: str, resource: ResourceId, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise KilledError

        setattr(stage.edge, "after" if answered else "before", kill)
        for change in life(stage):
            change()
            try:
                stage.settle()
            except KilledError:
                stage.restart()
                stage.settle()
        assert stage.leftovers() == [], point
        assert list(stage.cluster.services) == ["inner"]
        assert CLEANUP not in stage.cluster.services["inner"]["metadata"]["finalizers"]
        assert stage.cluster.addresses("inner") == []
        if left[0] >= 0:
            assert point > 20, "more requests than that are made"
            return


def test_a_service_without_its_finalizer_is_cleared_away_all_the_same(stage: ServiceStage) -> None:
    stage.cluster.put("web")
    stage.settle()
    assert stage.leftovers()
    del stage.cluster.services["web"]
    stage.settle()
    assert stage.leftovers() == []


def test_a_finalizer_of_somebody_else_is_not_taken_away(stage: ServiceStage) -> None:
    stage.cluster.put("web", loadBalancerClass=None)
    stage.cluster.services["web"]["metadata"]["finalizers"] = [CLEANUP]
    stage.cluster.delete("web")
    stage.settle()
    assert stage.cluster.services["web"]["metadata"]["finalizers"] == [CLEANUP]


def test_a_controller_without_the_lease_writes_nothing(stage: ServiceStage) -> None:
    stage.cluster.put("web")
    stage.rounds.may_write = lambda: False
    with pytest.raises(InterruptedRoundError, match="lease"):
        stage.round()
    assert stage.edge.writes == []
    assert "finalizers" not in stage.cluster.services["web"]["metadata"]


def test_a_security_group_that_may_not_be_read_is_said(stage: ServiceStage) -> None:
    def refuse(method: str, resource: ResourceId) -> None:
        if resource.type.endswith("networkSecurityGroups"):
            raise RefusedError("forbidden", "", 403, "AuthorizationFailed", None)

    stage.edge.before = refuse
    stage.cluster.put("web")
    stage.cluster.serve("web", "10.1.0.11")
    stage.settle()
    assert stage.reasons("web") == {"NoSecurityGroup"}
    assert stage.cluster.addresses("web"), "the rest is made"
