"""Services of type LoadBalancer lead straight to pods, with a real API server, and clients everywhere."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.runtime.probe import datagram_passes
from podvnet.testing.cni import eventually
from podvnet.testing.services_lab import INTERVAL, PORT, ServicesLab, services_lab

AZURE = "service.beta.kubernetes.io/azure-"
OURS = "the lease is ours"
INTERNAL = {f"{AZURE}load-balancer-internal": "true"}
HOST, OTHER = "198.51.100.20", "198.51.100.30"
PATIENCE = 120.0
"""For what comes about by itself, on a machine that has much else to do."""


@pytest.fixture(scope="module")
def site() -> Iterator[ServicesLab]:
    """One for all, with two pods on different VMs."""
    with services_lab(Path(__file__).with_name("services.yaml")) as made:
        for name, vm in (("p1", "vm1"), ("p2", "vm2"), ("p3", "vm1")):
            made.lab.run_pod(name, vm)
        yield made


@pytest.fixture
def services(site: ServicesLab) -> Iterator[ServicesLab]:
    """What a test makes goes, and nothing is left of it."""
    yield site
    site.delete_all()
    assert eventually(lambda: site.left() == []), site.left()


def pods(services: ServicesLab, *names: str) -> list[str]:
    return [services.lab.pods[each].address for each in names or ("p1", "p2")]


def address_of(services: ServicesLab, vm: str) -> str:
    inner = services.resources()[f"networkInterfaces/{vm}-nic"]["properties"]["ipConfigurations"][0]["properties"]
    return str(inner["privateIPAddress"])


def test_a_public_service_leads_the_internet_to_pods_that_see_the_clients_own_address(services: ServicesLab) -> None:
    services.service("web")
    services.serve("web", *pods(services))
    (address,) = services.addresses("web")
    before = len(services.lab.servers.callers)
    assert services.reaches("internet", address, HOST, source=HOST)
    assert services.reaches("internet", address, OTHER, source=OTHER)
    assert eventually(
        lambda: bool(services.seen("internet", address, source=HOST)) and services.called(before) == set(pods(services))
    )


def test_an_internal_service_leads_the_network_and_its_peer_to_pods_that_see_the_clients_own_address(
    services: ServicesLab,
) -> None:
    services.service("inner", annotations=INTERNAL | {f"{AZURE}load-balancer-internal-subnet": "fronts"})
    services.serve("inner", *pods(services))
    (address,) = services.addresses("inner")
    assert address.startswith("10.1.3.")
    for caller in ("client", "peer", "control"):
        assert services.reaches(caller, address, address_of(services, caller))


def test_a_service_of_both_protocols_and_families_is_reached_by_each(services: ServicesLab) -> None:
    ports = [
        {"name": "web", "port": 80, "targetPort": PORT},
        {"name": "talk", "port": 80, "targetPort": PORT, "protocol": "UDP"},
    ]
    sixes = [services.six(vm) for vm in ("vm1", "vm2")]
    services.service(
        "both", annotations=INTERNAL, ports=ports, ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack"
    )
    for vm, address in zip(("vm1", "vm2"), sixes, strict=True):
        services.lab.servers.listen(services.lab.vm(vm), address)
    try:
        services.serve("both", *pods(services), *sixes)
        four, six = services.addresses("both", 2)
        assert services.reaches("client", four, address_of(services, "client"))
        assert services.reaches("client", six, services.six("client"))
        assert eventually(lambda: datagram_passes(services.lab.vm("client"), four, 200, port=80), PATIENCE)
    finally:
        for address in sixes:
            services.lab.servers.forget(address)


def test_two_services_share_an_address_and_a_third_is_told_that_its_port_is_taken(services: ServicesLab) -> None:
    fixed = INTERNAL | {f"{AZURE}load-balancer-ipv4": "10.1.3.77"}
    services.service("one", annotations=fixed)
    services.service("two", annotations=fixed, ports=[{"name": "web", "port": 81, "targetPort": PORT}])
    services.serve("one", pods(services)[0])
    services.serve("two", pods(services)[1])
    assert services.addresses("one") == services.addresses("two") == ["10.1.3.77"]
    assert services.reaches("client", "10.1.3.77", address_of(services, "client"), 80)
    assert services.reaches("client", "10.1.3.77", address_of(services, "client"), 81)
    services.service("three", annotations=fixed)
    assert services.said("three", "AddressInUse")
    services.delete("one")
    assert services.addresses("three") == ["10.1.3.77"], "once the port is free it gets it"


def test_source_ranges_let_in_whom_they_name_and_nobody_else(services: ServicesLab) -> None:
    services.service("few", loadBalancerSourceRanges=[f"{HOST}/32"])
    services.serve("few", *pods(services))
    (public,) = services.addresses("few")
    assert services.reaches("internet", public, HOST, source=HOST)
    assert services.seen("internet", public, source=OTHER) == ""
    client = address_of(services, "client")
    services.service("mine", annotations=INTERNAL, loadBalancerSourceRanges=[f"{client}/32"])
    services.serve("mine", services.lab.pods["p3"].address)
    (inner,) = services.addresses("mine")
    assert services.reaches("client", inner, client)
    assert services.seen("peer", inner) == ""


def test_a_service_that_no_longer_is_one_of_ours_is_reached_no_more(services: ServicesLab) -> None:
    services.service("web", annotations=INTERNAL)
    services.serve("web", *pods(services))
    (address,) = services.addresses("web")
    assert services.reaches("client", address, address_of(services, "client"))
    services.change(
        "web", {"spec": {"type": "ClusterIP", "loadBalancerClass": None, "allocateLoadBalancerNodePorts": None}}
    )
    assert services.addresses("web", 0) == []
    assert eventually(lambda: services.left() == [], PATIENCE)
    assert eventually(lambda: services.seen("client", address) == "", PATIENCE)


def test_a_thousand_changes_of_endpoints_are_a_few_requests(services: ServicesLab) -> None:
    services.service("busy", annotations=INTERNAL)
    (address,) = services.addresses("busy")
    first, second = pods(services)
    services.serve("busy", first)
    before, begun = services.writes(), time.monotonic()
    services.churn(
        "busy", ((first if number % 2 else second, f"10.1.1.{100 + number % 100}") for number in range(1000))
    )
    services.churn("busy", [[first]])
    assert eventually(lambda: services.members() == [first], PATIENCE)
    writes = services.writes() - before
    # A round in each of the controller's intervals: the security group and the pool, however long the changes take.
    allowed = 2 * ((time.monotonic() - begun) / INTERVAL + 1)
    assert 1 <= writes <= min(allowed, 500), f"{writes} writes"
    print(f"1,000 changes of endpoints in {time.monotonic() - begun:.0f} s: {writes} writes")  # noqa: T201 - the figure
    assert services.reaches("client", address, address_of(services, "client"))


def test_a_controller_that_is_killed_is_followed_by_one_that_goes_on(services: ServicesLab) -> None:
    services.service("web")
    services.serve("web", pods(services)[0])
    services.controller.end(signal.SIGKILL)
    services.service("inner", annotations=INTERNAL)
    services.serve("inner", *pods(services))
    services.start()
    (public,), (inner,) = services.addresses("web"), services.addresses("inner")
    assert services.reaches("internet", public, HOST, source=HOST)
    assert services.reaches("client", inner, address_of(services, "client"))
    services.controller.end(signal.SIGKILL)
    before = services.writes()
    services.start()
    services.service("last", annotations=INTERNAL, ports=[{"name": "web", "port": 80, "targetPort": 7071}])
    services.addresses("last")
    assert services.writes() - before == 1, "what is there is not written again"


def test_of_two_controllers_one_acts_and_the_other_takes_over(services: ServicesLab) -> None:
    first = services.controller
    services.service("web", annotations=INTERNAL)
    services.addresses("web")
    second = services.start()
    taken = second.log().count(OURS)  # all write into one log
    assert first.end() == 0
    services.service("next", annotations=INTERNAL, ports=[{"name": "web", "port": 80, "targetPort": 7071}])
    services.addresses("next")
    assert second.log().count(OURS) > taken


def test_an_api_server_that_is_killed_is_waited_for(services: ServicesLab) -> None:
    services.service("web", annotations=INTERNAL)
    services.serve("web", pods(services)[0])
    (address,) = services.addresses("web")
    services.api.restart()
    assert services.reaches("client", address, address_of(services, "client"))
    services.serve("web", pods(services)[1])
    assert eventually(lambda: services.members() == [pods(services)[1]], PATIENCE)
