"""Services of type LoadBalancer lead straight to pods, with a real API server, and clients everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.testing.cni import eventually
from podvnet.testing.services_lab import ServicesLab, services_lab

AZURE = "service.beta.kubernetes.io/azure-"
INTERNAL = {f"{AZURE}load-balancer-internal": "true"}
HOST, OTHER = "198.51.100.20", "198.51.100.30"


@pytest.fixture(scope="module")
def site() -> Iterator[ServicesLab]:
    """One for all, with two pods on different VMs."""
    with services_lab(Path(__file__).with_name("services.yaml")) as made:
        for name, vm in (("p1", "vm1"), ("p2", "vm2")):
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
