"""What one tenant writes into Services and EndpointSlices keeps no other Service from being served."""

from __future__ import annotations

from typing import Any

import pytest

from podvnet.azure.resource_manager import RefusedError
from podvnet.kube.cluster_api import ApiError
from podvnet.kube.endpoint_pool import read_slice
from podvnet.kube.service import CLAIM, CLEANUP, GROUPS, Service
from podvnet.model.resource_id import Scope
from podvnet.testing.service_stage import ServiceStage

AZURE = "service.beta.kubernetes.io/azure-"
INTERNAL = {f"{AZURE}load-balancer-internal": "true"}


def served_beside(stage: ServiceStage, annotations: dict[str, str]) -> None:
    """A Service with these annotations, and another one that nothing is wrong with; one is served."""
    stage.cluster.put("bad", [81], annotations)
    stage.cluster.put("good", [80])
    for name in ("bad", "good"):
        stage.cluster.serve(name, "10.1.0.11")
    stage.settle()
    assert stage.cluster.addresses("good")


@pytest.mark.parametrize(
    "name", [f"{AZURE}load-balancer-tcp-idle-timeout", "service.beta.kubernetes.io/port_81_health-probe_port"]
)
def test_a_number_without_end_is_no_number(stage: ServiceStage, name: str) -> None:
    served_beside(stage, {name: "1" * 5000})
    assert stage.reasons("bad") == {"NotSupported"}


@pytest.mark.parametrize("group", ["a/providers/x", "a?b=c", "..", "a,b", "g" * 91, "a b", "dot."])
def test_a_name_that_no_resource_group_can_have_is_not_asked_for(stage: ServiceStage, group: str) -> None:
    asked = watch_groups(stage)
    served_beside(stage, {f"{AZURE}load-balancer-resource-group": group})
    assert stage.reasons("bad") == {"NotSupported"}
    assert set(asked) == {"podvnet"}


def watch_groups(stage: ServiceStage, *forbidden: str, status: int = 403) -> list[str]:
    """The resource groups whose public addresses are asked for, as they are; some may not be read."""
    asked: list[str] = []
    original = stage.edge.read_all

    async def read_all(scope: Scope, full_type: str) -> Any:
        asked.append(scope.resource_group)
        if scope.resource_group in forbidden:
            raise RefusedError("forbidden", "", status, "AuthorizationFailed", None)
        return await original(scope, full_type)

    stage.edge.read_all = read_all  # type: ignore[method-assign]
    return asked


@pytest.mark.parametrize("status", [400, 403])
def test_a_resource_group_that_may_not_be_read_is_its_services_trouble_alone(stage: ServiceStage, status: int) -> None:
    watch_groups(stage, "secret", status=status)
    served_beside(stage, {f"{AZURE}load-balancer-resource-group": "secret"})
    assert stage.reasons("bad") == {"ResourceGroupNotReadable"}
    assert stage.cluster.addresses("bad") == []
    stage.cluster.delete("bad")
    stage.settle()
    assert "bad" not in stage.cluster.services, "nothing was made there, so nothing keeps it"


def test_a_service_stays_while_the_group_that_holds_something_of_it_cannot_be_read(stage: ServiceStage) -> None:
    served_beside(stage, {f"{AZURE}load-balancer-resource-group": "elsewhere"})
    assert stage.cluster.addresses("bad")
    original = stage.edge.read_all
    watch_groups(stage, "elsewhere")
    stage.restart()
    stage.cluster.put("good", [82])
    stage.cluster.delete("bad")
    stage.settle()
    assert CLEANUP in stage.cluster.services["bad"]["metadata"]["finalizers"]
    assert stage.reasons("bad") == {"ResourceGroupNotReadable"}
    assert {rule["frontendPort"] for rule in stage.rules()} == {82}, "the others go on"
    stage.edge.read_all = original  # type: ignore[method-assign]
    stage.restart()
    stage.settle()
    assert "bad" not in stage.cluster.services
    assert {name for name in stage.publics() if name.startswith("podvnet")} == {f"podvnet-test-{uid(stage, 'good')}-4"}


def uid(stage: ServiceStage, name: str) -> str:
    return next(each.uid for each in stage.cluster.chart().services if each.name == name)


def test_groups_that_services_of_others_name_are_not_asked_for(stage: ServiceStage) -> None:
    asked = watch_groups(stage)
    stage.cluster.put("theirs", [80], {f"{AZURE}load-balancer-resource-group": "far"}, loadBalancerClass="another.io/x")
    stage.cluster.put("inner", [80], {f"{AZURE}load-balancer-resource-group": "farther"}, type="ClusterIP")
    stage.settle()
    assert set(asked) == {"podvnet"}


def test_of_two_labels_for_one_address_the_one_that_is_there_stays(stage: ServiceStage) -> None:
    label = f"{AZURE}dns-label-name"
    stage.cluster.put("late", [81], {f"{AZURE}pip-name": "theirs"})
    stage.cluster.put("first", [80], {f"{AZURE}pip-name": "theirs", label: "first"})
    stage.settle()
    before = len(stage.edge.writes)
    stage.cluster.put("late", [81], {f"{AZURE}pip-name": "theirs", label: "late"})
    stage.settle()
    assert len(stage.edge.writes) == before
    assert stage.publics()["theirs"]["properties"]["dnsSettings"]["domainNameLabel"] == "first"
    assert stage.reasons("late") == {"LabelInUse"}
    assert "LabelInUse" not in stage.reasons("first")
    stage.cluster.delete("first")
    stage.settle()
    assert stage.publics()["theirs"]["properties"]["dnsSettings"]["domainNameLabel"] == "late"


@pytest.mark.parametrize("address", ["010.001.000.011", "10.1.0.11%eth0", "fd00:1::11"])
def test_an_endpoint_that_is_no_address_of_its_family_is_passed_over(address: str) -> None:
    document: Any = {
        "metadata": {"namespace": "shop", "name": "x", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 80}],
        "endpoints": [{"addresses": [address]}, {"addresses": ["10.1.0.12"]}],
    }
    found = read_slice(document)
    assert found is not None
    assert [str(each.address) for each in found.endpoints] == ["10.1.0.12"]


@pytest.mark.parametrize("what", ["claim", "report", "release"])
@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_service_that_the_api_server_takes_no_patch_of_holds_up_no_other(
    stage: ServiceStage, what: str, status: int
) -> None:
    original = getattr(stage.cluster, what)

    async def refuse(service: Service, *more: Any) -> Any:
        if service.name == "bad":
            raise ApiError("an admission webhook denied the request", status)
        return await original(service, *more)

    stage.cluster.put("bad", [81])
    if what == "release":
        stage.settle()
        stage.cluster.delete("bad")
    setattr(stage.cluster, what, refuse)
    stage.cluster.put("good", [80])
    stage.settle()
    assert stage.cluster.addresses("good")
    assert stage.reasons("bad") == {"SyncLoadBalancerFailed"}
    assert (stage.round().waiting or 0.0) >= 15.0
    setattr(stage.cluster, what, original)
    stage.settle()
    assert "bad" not in stage.cluster.services if what == "release" else stage.cluster.addresses("bad")


def test_a_service_of_our_class_goes_though_somebody_took_its_claim_away(stage: ServiceStage) -> None:
    stage.cluster.put("web", [80])
    stage.settle()
    assert CLEANUP in stage.cluster.services["web"]["metadata"]["finalizers"]
    del stage.cluster.services["web"]["metadata"]["annotations"][CLAIM]
    stage.cluster.delete("web")
    stage.settle()
    assert stage.leftovers() == []
    assert stage.cluster.services == {}


def test_of_a_list_of_groups_that_somebody_has_written_a_few_are_asked_for(stage: ServiceStage) -> None:
    stage.cluster.put("bad", [81])
    stage.settle()
    groups = ",".join(f"g{number}" for number in range(10_000))
    stage.cluster.services["bad"]["metadata"]["annotations"][GROUPS] = groups
    asked = watch_groups(stage)
    stage.restart()
    served_beside(stage, {})
    assert len(set(asked)) <= 10
    stage.cluster.put("bad", [81], {f"{AZURE}load-balancer-resource-group": "elsewhere"})
    before = len(stage.edge.writes)
    stage.settle()
    assert len(stage.edge.writes) == before
    assert stage.reasons("bad") == {"NotSupported"}


RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


@pytest.mark.parametrize(
    ("said", "spec", "four", "six"),
    [
        ({}, ["0.0.0.0/0"], {"Internet"}, {"Internet"}),
        ({}, ["0.0.0.0/0", "::/0"], {"Internet"}, {"Internet"}),
        ({}, ["0.0.0.0/0", "2001:db8::/32"], {"0.0.0.0/0"}, {"2001:db8::/32"}),
        ({}, ["203.0.113.0/24"], {"203.0.113.0/24"}, set()),
        ({RANGES: "203.0.113.0/24, 2001:db8::/32"}, [], {"203.0.113.0/24"}, {"2001:db8::/32"}),
        ({RANGES: "198.51.100.0/24"}, ["203.0.113.0/24"], {"203.0.113.0/24"}, set()),
    ],
)
def test_who_may_come_in_is_said_for_each_family(
    stage: ServiceStage, said: dict[str, str], spec: list[str], four: set[str], six: set[str]
) -> None:
    stage.cluster.put("web", [80], said, loadBalancerSourceRanges=spec, ipFamilies=["IPv4", "IPv6"])
    stage.cluster.serve("web", "10.1.0.11", "fd00:1::11")
    stage.settle()
    for target, wanted in (("10.1.0.11", four), ("fd00:1::11", six)):
        allowed = {
            source
            for rule in stage.security()
            if rule["access"] == "Allow" and rule["destinationAddressPrefix"] == target
            for source in (rule.get("sourceAddressPrefix"), *rule["sourceAddressPrefixes"])
        }
        assert allowed - {None, "AzureLoadBalancer"} == wanted


def test_sources_that_no_security_group_can_shut_out_are_said(stage: ServiceStage) -> None:
    stage.cluster.put("web", [80], INTERNAL, loadBalancerSourceRanges=["203.0.113.0/24"])
    stage.cluster.serve("web", "10.1.9.11")
    stage.settle()
    assert stage.reasons("web") == {"NoSecurityGroup"}
