"""What is Docker's own: networks and their options, its name server, its restarts, and who is started first."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from podvnet.testing.cni import Runtime, eventually
from podvnet.testing.docker import NETWORK, Docker
from podvnet.testing.engine import IMAGE, SERVER, whoami
from podvnet.testing.lab import CommandError, podvnet
from podvnet.testing.site import OPTIONS, VMS, Site, settled, state
from podvnet.testing.stage import Stage

SUBNET = "--subnet=10.1.1.0/24"
FAR = "10.1.2.4"


@pytest.fixture(scope="module")
def site(fabric: Stage) -> Iterator[Site]:
    """Docker on both VMs, whose containers end with it; it keeps no firewall, which would change with its networks."""
    engines = {vm: Docker(fabric.lab, vm, "--bridge=none", "--iptables=false") for vm in VMS}
    for engine in engines.values():
        engine.start()
    yield Site(fabric, dict(engines), {vm: settled(fabric.lab, vm, engine) for vm, engine in engines.items()})
    for engine in engines.values():
        engine.end()


@pytest.fixture
def docker(clean: Site) -> Docker:
    """Docker on the larger VM."""
    engine = clean.engines["vm1"]
    assert isinstance(engine, Docker)
    return engine


@contextlib.contextmanager
def network(docker: Docker, name: str, *options: str) -> Iterator[None]:
    """A network for the block; its containers go with it."""
    docker.create_network(name, *options)
    try:
        yield
    finally:
        docker.remove_all()
        docker.docker("network", "rm", name)


def refused(docker: Docker, *words: str) -> str:
    """What Docker tells its user of a command that fails."""
    failed = docker.docker(*words, check=False)
    assert failed.returncode != 0, failed.stdout
    return failed.stderr


def test_what_cannot_be_is_refused_in_words_that_docker_shows(docker: Docker) -> None:
    create = ("network", "create", "-d", "azure-vnet", "--ipam-driver", "azure-vnet")
    assert "not a subnet of NIC eth0" in refused(docker, *create, "--subnet=10.1.0.0/16", "bad")
    assert "which is 10.1.1.1" in refused(docker, *create, SUBNET, "--gateway=10.1.1.9", "bad")
    assert "NIC eth0 is in 10.1.1.0/24; add --subnet" in refused(docker, *create, "bad")
    assert "-o colour is not known" in refused(docker, *create, SUBNET, "-o", "colour=blue", "bad")
    assert "--ipam-driver azure-vnet" in refused(docker, "network", "create", "-d", "azure-vnet", "bad")
    docker.run_with("first", f"--network={NETWORK}", "--ip=10.1.1.77", "--publish=8080:80")
    run = ("run", "--detach", f"--network={NETWORK}")
    assert "10.1.1.77 is in use by Docker endpoint" in refused(docker, *run, "--ip=10.1.1.77", IMAGE, "true")
    assert "not an address of this VM's pool" in refused(docker, *run, "--ip=10.1.1.250", IMAGE, "true")
    assert "Address already in use" in refused(docker, *run, "--publish=8080:80", IMAGE, "true")
    assert [each["addresses"][0] for each in docker.lab.agent_status("vm1")["attachments"]] == ["10.1.1.77"]


def test_a_container_has_the_address_and_the_mac_that_are_asked_for(docker: Docker) -> None:
    options = (f"--network={NETWORK}", "--ip=10.1.1.78", "--mac-address=02:00:00:00:00:78")
    made = docker.run_with("chosen", *options)
    assert (made.address, made.gateway, made.mac) == ("10.1.1.78", "10.1.1.1", "02:00:00:00:00:78")
    inside = docker.execute("chosen", "ip", "addr", "show", "eth0")
    assert "inet 10.1.1.78/32" in inside
    assert "02:00:00:00:00:78" in inside
    docker.docker("restart", "--time=0", "chosen")
    assert docker.inspect("chosen").address == "10.1.1.78"
    assert (
        docker.lab.inside("vm2", "sh", "-c", f"echo | busybox nc -w 2 {made.address} 80", check=False).returncode == 0
    )


def test_containers_find_one_another_by_name(docker: Docker) -> None:
    docker.run_with("server", f"--network={NETWORK}", "--network-alias=front")
    caller = docker.run("caller")
    for name in ("server", "front"):
        ask = f"printf 'GET /cgi-bin/whoami HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {name} 80 | tail -n1"
        answer = docker.execute("caller", "sh", "-c", ask)
        assert any(address in answer for address in caller.addresses)


def test_published_ports_are_reached_from_the_vm_and_from_the_container_itself(docker: Docker) -> None:
    ports = ("--publish=8080:80", "--publish=127.0.0.1:8081:80", "--publish=9000-9010:80")
    docker.run_with("web", f"--network={NETWORK}", *ports)
    docker.run("caller")

    def from_the_vm(address: str, port: int) -> str:
        ask = f"printf 'GET /cgi-bin/whoami HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 2 {address} {port} | tail -n1"
        return docker.lab.inside("vm1", "sh", "-c", ask).stdout

    assert "10.1.1.4" in from_the_vm("127.0.0.1", 8080)
    assert "10.1.1.4" in from_the_vm("10.1.1.4", 8080)
    assert "10.1.1.4" in from_the_vm("127.0.0.1", 8081)
    assert from_the_vm("10.1.1.4", 8081) == ""
    assert "10.1.1.4" in from_the_vm("10.1.1.4", 9000)
    assert whoami(docker, "web", "10.1.1.4", 8080) == "10.1.1.4"
    assert whoami(docker, "caller", "10.1.1.4", 8080) == docker.inspect("caller").address


def test_a_port_that_the_kernel_chooses_is_found_in_the_table(docker: Docker) -> None:
    docker.run_with("web", f"--network={NETWORK}", "--publish=80")
    table = docker.lab.inside("vm1", "nft", "list", "chain", "inet", "podvnet_docker", "ports").stdout
    number = re.search(r"ipv4 tcp dport (\d+) dnat", table)
    assert number
    docker.run("caller")
    assert whoami(docker, "caller", "10.1.1.4", int(number[1])) != ""


def test_an_internal_network_reaches_its_subnet_and_nothing_else(docker: Docker) -> None:
    docker.run("outside")
    with network(docker, "inner", "--internal", SUBNET):
        docker.run_with("one", "--network=inner", "--cap-add=NET_ADMIN")
        two = docker.run_with("two", "--network=inner")
        assert "default" not in docker.execute("one", "ip", "route")
        inner = docker.inspect("one").address
        assert whoami(docker, "one", docker.inspect("two").address) == inner
        # The VM keeps it in, whatever routes the container makes.
        docker.execute("one", "ip", "route", "add", "default", "via", "10.1.1.1")
        for address in (FAR, "198.51.100.10"):
            with pytest.raises(CommandError, match="100% packet loss"):
                docker.execute("one", "ping", "-c1", "-W1", address)
        assert two.name == "two"


def test_a_container_may_be_on_a_network_of_another_driver_besides(docker: Docker) -> None:
    docker.docker("network", "create", "zone")
    try:
        made = docker.run("both")
        docker.docker("network", "connect", "zone", "both")
        assert docker.execute("both", "ip", "-4", "addr").count("scope global") == 2
        assert "default via 10.1.1.1" in docker.execute("both", "ip", "route")
        docker.docker("network", "disconnect", NETWORK, "both")
        assert docker.lab.agent_status("vm1")["attachments"] == []
        docker.docker("network", "connect", "--ip", made.address, NETWORK, "both")
        assert docker.inspect("both").address == made.address
        docker.run("caller")
        assert whoami(docker, "caller", made.address) != ""
        docker.create_network("twin", SUBNET)
        assert "of the same subnet already" in refused(docker, "network", "connect", "twin", "both")
    finally:
        docker.remove_all()
        docker.docker("network", "rm", "zone", "twin", check=False)


@pytest.mark.parametrize(
    ("other", "by_bridge", "order"),
    [("another", True, (NETWORK, "another")), ("zone", False, ("zone", NETWORK))],
    ids=["it has the default route", "it has not"],
)
def test_what_is_for_the_subnet_never_leaves_by_a_network_of_another_driver(
    docker: Docker, other: str, by_bridge: bool, order: tuple[str, str]
) -> None:
    """Of networks with both IP versions Docker gives the one whose name sorts first the default route."""
    docker.docker("network", "create", "--ipv6", "--subnet=fd77::/64", other)
    try:
        docker.run_with("both", f"--network={order[0]}")
        docker.docker("network", "connect", order[1], "both")
        made = docker.inspect("both")
        routes = docker.execute("both", "ip", "route").splitlines()
        default = next(line for line in routes if line.startswith("default"))
        assert (not default.startswith("default via 10.1.1.1 ")) is by_bridge
        link = next(line for line in routes if line.startswith("10.1.1.0/24 via 10.1.1.1 ")).split("dev ")[1].split()[0]
        assert made.address in docker.execute("both", "ip", "-4", "addr", "show", "dev", link)
        six = docker.execute("both", "ip", "-6", "route").splitlines()
        assert any(line.startswith("fd00:1:0:1::/64 via fd00:1:0:1::1 ") and f"dev {link}" in line for line in six)
        peer = docker.run("peer")
        for mine, address in zip(made.addresses, peer.addresses, strict=True):
            assert whoami(docker, "both", address) == mine
            assert whoami(docker, "peer", mine) == address
        docker.docker("network", "disconnect", other, "both")
        assert whoami(docker, "both", peer.address) == made.address
    finally:
        docker.remove_all()
        docker.docker("network", "rm", other)


def test_addresses_set_aside_are_not_given_out(docker: Docker) -> None:
    with network(docker, "ranged", SUBNET, "--ip-range=10.1.1.64/30", "--aux-address=router=10.1.1.65"):
        made = {docker.run_with(f"in{n}", "--network=ranged", command=SERVER).name for n in range(3)}
        addresses = {docker.inspect(name).address for name in made}
        assert addresses == {"10.1.1.64", "10.1.1.66", "10.1.1.67"}
        busy = refused(docker, "run", "--network=ranged", "--ip=10.1.1.65", IMAGE, "true")
        assert "(auxiliary address)" in busy


def test_compose_brings_a_file_up_and_down(docker: Docker, tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "examples" / "docker-compose.yaml"
    compose = ("docker-compose", "--project-name", "shop", "--file", str(file))
    docker.lab.inside("vm1", *compose, "up", "--detach")
    try:
        names = docker.docker("ps", "--format", "{{.Names}}").stdout.split()
        assert sorted(names) == ["shop_client_1", "shop_web_1"]
        seen = docker.execute("shop_client_1", "sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 web 80")
        assert "200 OK" in seen
        assert docker.inspect("shop_web_1").address == "10.1.1.80"
    finally:
        docker.lab.inside("vm1", *compose, "down", "--timeout", "0")


def test_containers_end_with_a_docker_that_ends_and_start_again_with_it(docker: Docker) -> None:
    docker.run_with("again", f"--network={NETWORK}", "--restart=always", "--publish=8080:80", "--ip=10.1.1.90")
    docker.run("ends")
    docker.end(signal.SIGKILL)
    docker.start()
    assert eventually(lambda: bool(docker.document("again")["State"]["Running"]), 30)
    assert not docker.document("ends")["State"]["Running"]
    docker.run("caller")
    assert whoami(docker, "caller", "10.1.1.90") == docker.inspect("caller").address
    assert whoami(docker, "caller", "10.1.1.4", 8080) == docker.inspect("caller").address
    assert len(docker.lab.agent_status("vm1")["attachments"]) == 2


def test_docker_waits_for_an_agent_that_is_killed_and_comes_back(docker: Docker, clean: Site) -> None:
    stays = docker.run_with("stays", f"--network={NETWORK}", "--publish=8080:80")
    docker.run("goes")
    caller = clean.engines["vm2"].run("caller")
    with contextlib.closing(Runtime(clean.lab, "vm1")) as runtime:
        runtime.end_agent(signal.SIGKILL)
    assert whoami(clean.engines["vm2"], "caller", stays.address) == caller.address
    assert whoami(clean.engines["vm2"], "caller", "10.1.1.4", 8080) == caller.address
    with ThreadPoolExecutor(2) as beside:
        removed = beside.submit(docker.remove, "goes")
        made = beside.submit(docker.run, "comes")
        clean.lab.install("vm1", *OPTIONS)
        removed.result()
        assert whoami(clean.engines["vm2"], "caller", made.result().address) == caller.address
    assert whoami(clean.engines["vm2"], "caller", "10.1.1.4", 8080) == caller.address
    assert "Address already in use" in refused(
        docker, "run", f"--network={NETWORK}", "--publish=8080:80", IMAGE, "true"
    )
    docker.remove("stays")
    assert len(docker.lab.agent_status("vm1")["attachments"]) == 1


def test_it_does_not_matter_who_is_started_first(clean: Site) -> None:
    """As after the boot of a VM that had Docker before: nobody forwards yet, so Docker drops what is forwarded."""
    engine, lab = clean.engines["vm2"], clean.lab
    assert isinstance(engine, Docker)
    engine.run_with("web", f"--network={NETWORK}", "--restart=always", "--ip=10.1.2.9")
    engine.end()
    with contextlib.closing(Runtime(lab, "vm2")) as runtime:
        runtime.end_agent(signal.SIGTERM)
    lab.inside("vm2", "sysctl", "-w", "net.ipv4.ip_forward=0")
    usual = Docker(lab, "vm2")
    try:
        with ThreadPoolExecutor(1) as beside:
            started = beside.submit(usual.start_daemon)
            drops = lambda: "-P FORWARD DROP" in lab.inside("vm2", "iptables", "-S", "FORWARD").stdout
            assert eventually(drops, 30)
            lab.install("vm2", *OPTIONS)
            started.result()
        assert eventually(lambda: bool(usual.document("web")["State"]["Running"]), 60)
        clean.engines["vm1"].run("caller")
        assert whoami(clean.engines["vm1"], "caller", "10.1.2.9") != ""
    finally:
        usual.remove_all()
        usual.end()
        for words in (("-P", "FORWARD", "ACCEPT"), ("-F",), ("-X",), ("-t", "nat", "-F"), ("-t", "nat", "-X")):
            lab.inside("vm2", "iptables", *words)
        for table in ("filter", "nat"):  # which are empty now, and which nobody had before
            lab.inside("vm2", "nft", "delete", "table", "ip", table)
        lab.inside("vm2", "ip", "link", "delete", "docker0")
        engine.start()


def test_networks_are_known_after_a_reboot(clean: Site) -> None:
    engine = clean.engines["vm1"]
    assert isinstance(engine, Docker)
    engine.create_network("kept", "--internal", SUBNET, "--aux-address=router=10.1.1.99")
    engine.run_with("before", "--network=kept", "--restart=always", "--publish=8080:80")
    podvnet("vm", "reboot", "vm1")
    clean.lab.reopen()
    engine.start()
    assert eventually(lambda: engine.document("before")["State"]["Running"], 30)
    assert "default" not in engine.execute("before", "ip", "route")
    held = [json.dumps(each) for each in clean.lab.agent_status("vm1")["attachments"]]
    assert len(held) == 2
    assert any("10.1.1.99" in each for each in held)
    engine.remove_all()
    engine.docker("network", "rm", "kept")
    assert eventually(lambda: state(clean.lab, "vm1") == clean.before["vm1"])
