"""With the reference plug-ins of Debian's containernetworking-plugins: chained behind ours, and using our addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from podvnet.linux import namespace
from podvnet.runtime.chain import Call, Chain, ChainError
from podvnet.runtime.probe import PORT, seen_as
from podvnet.testing.cni import IPAM, Json, Runtime, Sandbox, address_of, configuration, eventually

REFERENCE = Path("/usr/lib/cni")
BIN_DIRS = (Path("/opt/cni/bin"), REFERENCE)
VM, OTHER_VM = "10.1.1.4", "10.1.2.4"
POOL = ip_network("10.1.1.0/24")
HOST_PORT = 18080

pytestmark = pytest.mark.skipif(
    not (REFERENCE / "portmap").exists(), reason="needs Debian's containernetworking-plugins"
)


@pytest.fixture(params=["transparent", "bridge"])
def mode(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def serving(cni: Runtime) -> Iterator[Runtime]:
    """The VM, with servers on both VMs."""
    servers = cni.lab.servers
    servers.listen(cni.lab.vm("vm1"), VM)
    servers.listen(cni.lab.vm("vm2"), OTHER_VM)
    yield cni
    servers.forget(VM)
    servers.forget(OTHER_VM)


class Deployment:
    """Pods of one conflist; each answers callers."""

    def __init__(self, cni: Runtime, *plugins: Json, name: str = "azure") -> None:
        self.cni = cni
        self.chain = Chain({"cniVersion": "1.0.0", "name": name, "plugins": list(plugins)}, BIN_DIRS)
        self.attached: list[tuple[Sandbox, Call, Json]] = []

    def attach(self, **capabilities: object) -> tuple[Sandbox, str]:
        """Attach a pod; return it and its address."""
        pod = self.cni.sandbox()
        call = Call(pod.container, pod.path, capabilities=dict(capabilities))
        result = self.cni.do(lambda: self.chain.add(call))
        self.attached.append((pod, call, result))
        self.cni.lab.servers.listen(pod.descriptor, address_of(result))
        return pod, address_of(result)

    def check(self) -> None:
        for _, call, result in self.attached:
            self.cni.do(lambda call=call, result=result: self.chain.check(call, result))  # type: ignore[misc]

    def close(self) -> None:
        """Delete every pod, as containerd does: with the result, then again without namespace and result."""
        for pod, call, result in self.attached:
            self.cni.lab.servers.forget(address_of(result))
            for again, previous in ((call, result), (replace(call, sandbox=""), None)):
                self.cni.do(lambda call=again, previous=previous: self.chain.delete(call, previous))  # type: ignore[misc]
            self.cni.unmake(pod)
        self.attached.clear()


@pytest.fixture
def deploy(serving: Runtime) -> Iterator[Callable[..., Deployment]]:
    """Makes deployments, which end with the test, passed or not."""
    made: list[Deployment] = []

    def make(*plugins: Json, name: str = "azure") -> Deployment:
        made.append(Deployment(serving, *plugins, name=name))
        return made[-1]

    yield make
    for each in made:
        each.close()


def ours(mode: str) -> Json:
    return configuration(mode, version="1.0.0")


PORTMAP: Json = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
MAPPING = [{"hostPort": HOST_PORT, "containerPort": PORT, "protocol": "tcp"}]

# -- chained behind ours


def test_a_host_port_leads_to_the_pod_from_everywhere(
    serving: Runtime, runtimes: dict[str, Runtime], deploy: Callable[..., Deployment], mode: str
) -> None:
    pods = deploy(ours(mode), PORTMAP)
    server, _ = pods.attach(portMappings=MAPPING)
    neighbour, _ = pods.attach()
    distant = runtimes["vm2"].sandbox()
    distant_address = address_of(runtimes["vm2"].add(distant, ours(mode)))
    assert seen_as(serving.lab.vm("vm2"), VM, port=HOST_PORT) == OTHER_VM
    assert seen_as(distant.descriptor, VM, port=HOST_PORT) == distant_address
    # For callers of the pod's own subnet portmap asks for masquerading; it would not know the way back otherwise.
    assert seen_as(neighbour.descriptor, VM, port=HOST_PORT) == VM
    assert seen_as(server.descriptor, VM, port=HOST_PORT) == VM
    pods.close()
    assert seen_as(serving.lab.vm("vm2"), VM, port=HOST_PORT, timeout=0.3) == ""
    assert serving.held() == {}
    runtimes["vm2"].clear()


def test_a_host_port_without_masquerading_shows_the_pod_its_callers(
    serving: Runtime, deploy: Callable[..., Deployment], mode: str
) -> None:
    pods = deploy(ours(mode), PORTMAP | {"snat": False})
    pods.attach(portMappings=MAPPING)
    neighbour, address = pods.attach()
    assert seen_as(neighbour.descriptor, VM, port=HOST_PORT) == address
    assert seen_as(serving.lab.vm("vm2"), VM, port=HOST_PORT) == OTHER_VM


def test_bandwidth_shapes_our_link_and_lets_packets_pass(
    serving: Runtime, deploy: Callable[..., Deployment], mode: str
) -> None:
    serving.add(serving.sandbox(), ours(mode))
    before = serving.state()
    rates = {"ingressRate": 80_000_000, "ingressBurst": 8_000_000, "egressRate": 80_000_000, "egressBurst": 8_000_000}
    pods = deploy(ours(mode), {"type": "bandwidth", **rates})
    pod, address = pods.attach()
    link = pods.attached[0][2]["interfaces"][0]["name"]
    assert "qdisc tbf" in serving.run("tc", "qdisc", "show", "dev", link)
    pods.check()
    assert seen_as(pod.descriptor, OTHER_VM) == address
    assert seen_as(serving.lab.vm("vm2"), address) == OTHER_VM
    pods.close()
    assert eventually(lambda: serving.state() == before)


def test_tuning_sets_the_pods_system_controls(serving: Runtime, deploy: Callable[..., Deployment], mode: str) -> None:
    tuning = {"type": "tuning", "sysctl": {"net.core.somaxconn": "517", "net.ipv4.conf.eth0.arp_filter": "1"}}
    pods = deploy(ours(mode), tuning)
    pod, address = pods.attach()
    with namespace.entered(pod.descriptor):
        assert Path("/proc/sys/net/core/somaxconn").read_text() == "517\n"
        assert Path("/proc/sys/net/ipv4/conf/eth0/arp_filter").read_text() == "1\n"
    pods.check()
    assert seen_as(pod.descriptor, OTHER_VM) == address
    pods.close()
    assert serving.held() == {}


def test_all_three_together(serving: Runtime, deploy: Callable[..., Deployment], mode: str) -> None:
    pods = deploy(
        ours(mode),
        PORTMAP,
        {"type": "bandwidth", "capabilities": {"bandwidth": True}},
        {"type": "tuning", "sysctl": {"net.core.somaxconn": "518"}},
    )
    pods.attach(portMappings=MAPPING, bandwidth={"ingressRate": 80_000_000, "ingressBurst": 8_000_000})
    assert seen_as(serving.lab.vm("vm2"), VM, port=HOST_PORT) == OTHER_VM
    pods.close()
    assert serving.held() == {}


def test_a_chain_that_fails_behind_us_leaves_nothing(
    serving: Runtime, deploy: Callable[..., Deployment], mode: str
) -> None:
    serving.add(serving.sandbox(), ours(mode))
    before = serving.state()
    with pytest.raises(ChainError, match="tuning"):
        deploy(ours(mode), {"type": "tuning", "sysctl": {"net.no.such": "1"}}).attach()
    assert eventually(lambda: all(fact.startswith("namespace") for fact in serving.state() - before))


# -- theirs, with our addresses


def assert_of_pool(cni: Runtime, pods: list[tuple[Sandbox, str]]) -> None:
    assert len({address for _, address in pods}) == len(pods)
    assert all(ip_address(address) in POOL for _, address in pods)
    assert cni.held() == {address: pod.container for pod, address in pods}


def test_reference_ptp_with_our_addresses_reaches_everyone(serving: Runtime, deploy: Callable[..., Deployment]) -> None:
    pods = deploy({"type": "ptp", "mtu": 1500, "ipam": {"type": IPAM}}, name="theirs")
    attached = [pods.attach() for _ in range(3)]
    assert_of_pool(serving, attached)
    pods.check()
    for pod, own in attached:
        others = [address for _, address in attached if address != own]
        seen = {called: seen_as(pod.descriptor, called) for called in (VM, OTHER_VM, *others)}
        assert seen == dict.fromkeys(seen, own)
        assert seen_as(serving.lab.vm("vm2"), own) == OTHER_VM
    pods.close()
    assert serving.held() == {}


def test_reference_bridge_with_our_addresses_joins_pods(serving: Runtime, deploy: Callable[..., Deployment]) -> None:
    pods = deploy({"type": "bridge", "bridge": "cni0", "ipam": {"type": IPAM}}, name="theirs")
    attached = [pods.attach()]
    pods.check()  # later pods may change the bridge's MAC, which the plug-in takes for a fault
    attached += [pods.attach(), pods.attach()]
    assert_of_pool(serving, attached)
    for pod, own in attached:
        others = [address for _, address in attached if address != own]
        assert [seen_as(pod.descriptor, called) for called in others] == [own, own]
    pods.close()
    serving.run("ip", "link", "del", "cni0")
    assert serving.held() == {}


@pytest.mark.parametrize("kind", ["ptp", "bridge"])
def test_reference_plugins_pass_our_refusals_on(serving: Runtime, deploy: Callable[..., Deployment], kind: str) -> None:
    wrong = {"type": kind, "ipam": {"type": IPAM, "ipAddress": "192.0.2.1"}}
    with pytest.raises(ChainError, match=r"192\.0\.2\.1 is not an address of this VM's pool"):
        deploy(wrong, name="theirs").attach()
    assert serving.held() == {}
