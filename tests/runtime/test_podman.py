"""podman: what it can ask of the network as root, and what becomes of rootless containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from podvnet.runtime.probe import seen_as
from podvnet.testing.engine import IMAGE, SERVER, whoami
from podvnet.testing.lab import CommandError
from podvnet.testing.podman import Podman
from podvnet.testing.rootless_podman import RootlessPodman
from podvnet.testing.site import Site, settled
from podvnet.testing.stage import Stage

INTERNET = "198.51.100.10"


@pytest.fixture(scope="module")
def settled_site(fabric: Stage) -> Site:
    """podman on vm1."""
    engine = Podman(fabric.lab, "vm1")
    engine.start()
    return Site(fabric, {"vm1": engine}, {"vm1": settled(fabric.lab, "vm1", engine)})


@pytest.fixture
def podman(settled_site: Site) -> Iterator[Podman]:
    """The same; containers end with the test and leave nothing."""
    engine = settled_site.engines["vm1"]
    assert isinstance(engine, Podman)
    yield engine
    engine.remove_all()
    settled_site.assert_clean()


def test_a_container_has_the_address_and_mac_it_asks_for(podman: Podman) -> None:
    made = podman.run_with("fixed", "--ip=10.1.1.99", "--mac-address=02:00:00:00:00:99")
    assert (made.address, made.mac) == ("10.1.1.99", "02:00:00:00:00:99")
    assert "10.1.1.99/24" in podman.execute("fixed", "ip", "addr", "show", "eth0")


def test_an_address_that_is_another_vms_is_refused_with_the_reason(podman: Podman) -> None:
    with pytest.raises(CommandError, match=r"10\.1\.2\.9 is not an address of this VM's pool"):
        podman.run_with("wrong", "--ip=10.1.2.9")


def test_a_container_that_is_restarted_is_attached_again(podman: Podman) -> None:
    podman.run("lasting")
    podman.podman("restart", "--time=0", "lasting")
    assert podman.inspect("lasting").address in podman.execute("lasting", "ip", "addr")
    podman.run("caller")
    assert whoami(podman, "caller", podman.inspect("lasting").address) == podman.inspect("caller").address


def test_containers_of_one_podman_pod_share_its_address(podman: Podman) -> None:
    infra = ("--infra-image", IMAGE, "--infra-command", "/bin/sleep 1000", "--infra-name", "infra")
    podman.podman("pod", "create", *infra, "--name", "shared")
    for name in ("one", "two"):
        podman.podman("run", "--detach", "--pod=shared", f"--name={name}", IMAGE, "sleep", "1000")
    address = podman.inspect("infra").address
    assert all(f" {address}/" in podman.execute(name, "ip", "addr") for name in ("one", "two"))
    podman.podman("pod", "rm", "--force", "--time=0", "shared")


def test_the_resolver_of_a_container_is_azures(podman: Podman) -> None:
    podman.run("resolving")
    lines = podman.execute("resolving", "cat", "/etc/resolv.conf").splitlines()
    assert next(line.split() for line in lines if line.startswith("nameserver")) == ["nameserver", "168.63.129.16"]


@pytest.fixture(scope="module")
def rootless(fabric: Stage) -> RootlessPodman:
    """podman of an ordinary user of the VM that has no other engine."""
    engine = RootlessPodman(fabric.lab, "vm3")
    engine.start()
    return engine


def test_a_rootless_container_reaches_the_network_as_its_vm(rootless: RootlessPodman, fabric: Stage) -> None:
    lab = fabric.lab
    lab.servers.listen(lab.vm("vm1"), "10.1.1.4")
    try:
        asks = "; echo; ".join(f"nc -w 2 {address} 7070" for address in ("10.1.1.4", INTERNET))
        said = rootless.podman("run", "--rm", IMAGE, "sh", "-c", f"id -u; {asks}")
    finally:
        lab.servers.forget("10.1.1.4")
    assert said.split() == ["0", "10.1.2.100", seen_as(lab.vm("vm3"), INTERNET)]


def test_a_rootless_container_is_reached_by_a_port_of_its_vm(rootless: RootlessPodman, fabric: Stage) -> None:
    rootless.podman("run", "--detach", "--name=web", "--publish=8080:80", IMAGE, *SERVER)
    ask = ("curl", "--silent", "--retry", "5", "--retry-connrefused", "http://10.1.2.100:8080/")
    assert fabric.run("vm2", *ask) == "hello from the container\n"
    rootless.podman("rm", "--force", "--time=0", "web")


def test_a_rootless_container_cannot_have_an_address_and_is_told_why(rootless: RootlessPodman) -> None:
    rootless.write_network({"cniVersion": "1.0.0", "name": "azure", "plugins": [{"type": "azure-vnet"}]})
    with pytest.raises(CommandError, match="the containers of a rootless runtime cannot be attached"):
        rootless.podman("run", "--rm", "--network=azure", IMAGE, "true")
