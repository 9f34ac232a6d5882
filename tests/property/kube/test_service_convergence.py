"""Whatever happens to Services, endpoints and the resource manager, in whatever order: it ends in what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from podvnet.azure.error import SourceError
from podvnet.azure.resource_manager import RefusedError, Resource
from podvnet.kube.endpoint_pool import members, read_slice
from podvnet.kube.service import CLAIM, CLEANUP, read_service
from podvnet.model.resource_id import ResourceId, Scope, parse
from podvnet.testing.memory_cluster import CLASS
from podvnet.testing.service_stage import ServiceStage

AZURE = "service.beta.kubernetes.io/azure-"
NAMES = ("a", "b", "c")
PODS = ("10.1.0.11", "10.1.0.12", "10.1.9.13", "fd00:1::11", "fd00:1::12")
FAMILIES = (["IPv4"], ["IPv4", "IPv6"])
PORTS: tuple[dict[str, Any], ...] = (
    {"name": "web", "port": 80, "targetPort": 8080},
    {"name": "more", "port": 81, "targetPort": 8081},
    {"name": "talk", "port": 80, "targetPort": 8080, "protocol": "UDP"},
)

wishes = st.fixed_dictionaries(
    {},
    optional={
        f"{AZURE}load-balancer-internal": st.sampled_from(["true", "false"]),
        f"{AZURE}load-balancer-ipv4": st.sampled_from(["10.1.0.99", "10.1.0.98"]),
        f"{AZURE}pip-name": st.just("theirs"),
        f"{AZURE}dns-label-name": st.sampled_from(["shop", "market", ""]),
        f"{AZURE}load-balancer-tcp-idle-timeout": st.sampled_from(["5", "wrong"]),
        f"{AZURE}allowed-ip-ranges": st.sampled_from(["203.0.113.0/24", "10.2.0.0/16,fd00:2::/48"]),
        f"{AZURE}shared-securityrule": st.just("true"),
        f"{AZURE}load-balancer-resource-group": st.just("elsewhere"),
    },
)
changes = st.one_of(
    st.tuples(
        st.just("put"),
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(PORTS), min_size=1, max_size=3, unique_by=lambda port: port["name"]),
        wishes,
        st.sampled_from(FAMILIES),
    ),
    st.tuples(st.just("serve"), st.sampled_from(NAMES), st.lists(st.sampled_from(PODS), unique=True)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("another type"), st.sampled_from(NAMES)),
    st.tuples(st.just("restart")),
    st.tuples(st.just("theirs")),
    st.tuples(st.just("deleted without a claim"), st.sampled_from(NAMES)),
    st.tuples(st.just("unreadable"), st.booleans()),
    st.tuples(st.just("another form"), st.booleans()),
    st.tuples(st.just("failures"), st.lists(st.sampled_from([0, 409, 412, 429, 500, 503, -1, -2]), max_size=5)),
    st.tuples(st.just("round"), st.booleans()),
)


class KilledError(BaseException):
    """What a kill -9 is to who makes a request."""


def failing(stage: ServiceStage, failures: list[int]) -> None:
    """The next writes come to this, one each: 0 for none, -1 for a lost answer, -2 for an end of the controller."""
    left = list(failures)

    def before(method: str, resource: ResourceId) -> None:
        if method != "GET" and left and left[0] > 0:
            raise RefusedError("drawn", "", left.pop(0), "Drawn", None)

    def after(method: str, resource: ResourceId) -> None:
        if method == "GET" or not left:
            return
        kind = left.pop(0)
        if kind == -1:
            raise SourceError("no answer", "", retryable=True)
        if kind == -2:
            raise KilledError

    stage.edge.before, stage.edge.after = before, after


def happen(stage: ServiceStage, change: tuple[Any, ...], number: int) -> None:
    match change:
        case "put", name, ports, said, families:
            stage.cluster.put(name, ports, said, ipFamilies=families)
        case "serve", name, pods:
            if name in stage.cluster.services:
                stage.cluster.serve(name, *pods)
        case "delete", name:
            stage.cluster.delete(name)
        case "another type", name:
            # Whose the finalizer is of a Service without our class and without a claim, nobody could tell.
            if name in stage.cluster.services and not unclaimed(stage.cluster.services[name]):
                stage.cluster.put(name, type="ClusterIP", loadBalancerClass=None)
        case ("restart",):
            stage.restart()
        case "failures", failures:
            failing(stage, failures)
        case "round", tidy:
            stage.now += 1
            attempt(stage, lambda: stage.round(tidy=tidy))
        case _:
            interfere(stage, change, number)


def unclaimed(document: dict[str, Any]) -> bool:
    return "deletionTimestamp" in document["metadata"] and CLAIM not in document["metadata"]["annotations"]


def interfere(stage: ServiceStage, change: tuple[Any, ...], number: int) -> None:
    """What others do."""
    match change:
        case ("theirs",):
            rule = {
                "priority": 510 + number, "direction": "Inbound", "access": "Deny", "protocol": "*",
                "sourceAddressPrefix": "203.0.113.7", "sourcePortRange": "*", "destinationAddressPrefix": "*",
                "destinationPortRange": "*",
            }  # fmt: skip
            group = parse("networkSecurityGroups/guard", Scope())
            try:
                stage.edge.write(group.child("securityRules", f"theirs{number}"), {"properties": rule})
            except RefusedError:
                event("the priority is taken")
        case "deleted without a claim", name:
            there = stage.cluster.services.get(name)
            if there and there["spec"]["type"] == "LoadBalancer":
                there["metadata"].get("annotations", {}).pop(CLAIM, None)
                stage.cluster.delete(name)
        case "unreadable", closed:
            stage.edge.closed = {"elsewhere"} if closed else set()
        case "another form", other:
            another_form(stage, other=other)


def attempt(stage: ServiceStage, action: Callable[[], object]) -> None:
    try:
        action()
    except KilledError:
        stage.restart()
        event("killed")
    except Exception as error:
        if type(error).__name__ != "InterruptedRoundError":
            raise
        event("interrupted")


def another_form(stage: ServiceStage, *, other: bool) -> None:
    """Whether the security group shows sources in another form than they were written in."""

    def shown(found: Resource) -> Resource:
        for each in found.document["properties"].get("securityRules", []):
            source = each["properties"].get("sourceAddressPrefix")
            each["properties"] |= {"sourceAddressPrefix": source.upper()} if source else {}
        return found

    stage.edge.shown = {"Microsoft.Network/networkSecurityGroups": shown} if other else {}


def calm(stage: ServiceStage) -> None:
    failing(stage, [])
    another_form(stage, other=False)
    stage.edge.closed = set()
    stage.holdings.forget_all()
    stage.cluster.events.clear()
    stage.settle(40)


def check_wanted(stage: ServiceStage) -> None:
    """Every Service that nothing is wrong with is served as it wants."""
    for name, document in stage.cluster.services.items():
        service = read_service(document)
        if service.kind != "LoadBalancer" or service.load_balancer_class != CLASS or service.ending:
            assert not stage.cluster.addresses(name)
            assert CLEANUP not in service.finalizers
            continue
        wrong = stage.reasons(name) - {"NoSecurityGroup"}
        event(f"wrong: {sorted(wrong)}")
        if wrong:
            continue
        assert len(stage.cluster.addresses(name)) == len(service.families)
        internal = service.annotations.get(f"{AZURE}load-balancer-internal") == "true"
        balancer = stage.balancer(internal=internal)
        owned = [each for each in balancer["loadBalancingRules"] if stage.home.names.owner(each["name"]) == service.uid]
        assert len(owned) == len(service.families) * len(service.ports)
        pools = {each["id"].lower(): each for each in balancer["backendAddressPools"]}
        slices = [found for each in stage.cluster.slices.get(name, []) if (found := read_slice(each))]
        for rule in owned:
            pool = pools[rule["properties"]["backendAddressPool"]["id"].lower()]
            there = {
                ip_address(each["properties"]["ipAddress"])
                for each in pool["properties"]["loadBalancerBackendAddresses"]
            }
            version = int(rule["name"].split("-")[3])
            assert there == members(slices, service.ports[0], version).addresses
        fronts = {each["properties"]["frontendIPConfiguration"]["id"].lower() for each in owned}
        assert len(fronts) == len(service.families)


def check_nothing_left(stage: ServiceStage, theirs: set[str]) -> None:
    for name in list(stage.cluster.services):
        stage.cluster.delete(name)
    stage.settle(40)
    assert stage.cluster.services == {}
    assert set(stage.leftovers()) == theirs


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(changes, min_size=3, max_size=25))
def test_it_ends_in_what_is_wanted_and_leaves_nothing(history: list[tuple[Any, ...]]) -> None:
    stage = ServiceStage()
    for number, change in enumerate(history):
        happen(stage, change, number)
    calm(stage)
    check_wanted(stage)
    stage.restart()
    assert stage.settle() == 0, "who knows nothing yet finds nothing to write"
    theirs = {each["name"] for each in stage.security() if each["name"].startswith("theirs")}
    check_nothing_left(stage, theirs)
