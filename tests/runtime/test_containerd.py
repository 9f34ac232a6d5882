"""containerd over the CRI, as kubelet drives it: what only pods have, and when a node's network is ready."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator

import grpc
import pytest
from cri_api.v1 import api_pb2 as cri

from podvnet.testing.cni import POOL, Runtime, eventually
from podvnet.testing.containerd import Containerd
from podvnet.testing.engine import whoami
from podvnet.testing.lab import podvnet
from podvnet.testing.site import Site, settled
from podvnet.testing.stage import Stage


@pytest.fixture(scope="module")
def node(fabric: Stage) -> Iterator[Containerd]:
    """containerd on vm1. A boot afterwards takes what it keeps for the next pod: chains, control groups."""
    engine = Containerd(fabric.lab, "vm1")
    engine.start()
    yield engine
    engine.end()
    podvnet("vm", "reboot", "vm1")
    fabric.lab.reopen()


@pytest.fixture
def pods(node: Containerd, fabric: Stage) -> Iterator[Containerd]:
    """The same; pods end with the test and leave nothing."""
    site = Site(fabric, {"vm1": node}, {"vm1": settled(fabric.lab, "vm1", node)})
    yield node
    node.remove_all()
    site.assert_clean()


def test_a_pods_resolver_is_what_kubelet_says(pods: Containerd) -> None:
    dns = cri.DNSConfig(servers=["10.0.0.10"], searches=["default.svc.cluster.local"], options=["ndots:5"])
    pods.run_pod("resolving", dns=dns)
    resolver = pods.execute("resolving", "cat", "/etc/resolv.conf").splitlines()
    assert sorted(resolver) == ["nameserver 10.0.0.10", "options ndots:5", "search default.svc.cluster.local"]


def test_bandwidth_annotations_shape_the_link_and_packets_pass(pods: Containerd) -> None:
    limits = {"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "20M"}
    shaped = pods.run_pod("shaped", annotations=limits)
    free = pods.run_pod("free")
    links = {each["container"]: each["link"] for each in pods.lab.agent_status("vm1")["attachments"]}
    queues = {
        name: pods.lab.inside("vm1", "tc", "qdisc", "show", "dev", links[pod.identity]).stdout
        for name, pod in (("shaped", shaped), ("free", free))
    }
    assert "qdisc tbf" in queues["shaped"]
    assert "rate 10Mbit" in queues["shaped"]
    assert "tbf" not in queues["free"]
    assert "rate 20Mbit" in pods.lab.inside("vm1", "tc", "qdisc", "show").stdout
    assert whoami(pods, "shaped", free.address) == shaped.address


def test_pods_have_an_address_of_each_family_and_kubelet_is_told_both(pods: Containerd) -> None:
    pod = pods.run_pod("dual")
    assert [":" in address for address in pod.addresses] == [False, True]


def test_a_pod_of_the_hosts_network_is_the_vm_and_takes_no_address(pods: Containerd) -> None:
    pods.run_pod("host", host_network=True)
    assert " 10.1.1.4/24 " in pods.execute("host", "ip", "addr", "show", "eth0")
    assert pods.lab.agent_status("vm1")["attachments"] == []


def test_a_pod_runs_and_its_container_is_restarted_with_the_same_address(pods: Containerd) -> None:
    before = pods.run_pod("lasting")
    pods.restart_container("lasting")
    assert pods.inspect("lasting") == before
    assert before.address in pods.execute("lasting", "ip", "addr")


def test_a_pod_that_cannot_be_attached_says_why_in_kubelets_words(pods: Containerd) -> None:
    with contextlib.closing(Runtime(pods.lab, "vm1")) as vm:
        vm.end_agent(signal.SIGKILL)
        with pytest.raises(grpc.RpcError, match=r"agent at /run/podvnet/agent\.sock does not answer.*podvnet doctor"):
            pods.run_pod("refused")
    pods.lab.install("vm1", "--plugins-from", "/usr/lib/cni")


def test_the_nodes_network_is_ready_while_pods_can_be_attached(pods: Containerd) -> None:
    lab = pods.lab
    assert pods.network_ready() == (True, "")
    with contextlib.closing(Runtime(lab, "vm1")) as vm:
        vm.end_agent(signal.SIGTERM)
        assert eventually(lambda: not pods.network_ready()[0])
        assert "cni plugin not initialized" in pods.network_ready()[1]
        vm.lose_ledger()
        vm.write_pool(())  # the NIC has no address for a pod: STATUS fails
        options = ("--pool-source", "file", "--pool-file", str(POOL), "--pool-interval", "0.1")
        vm.start_agent(*options, "--conflist", "/etc/cni/net.d/10-azure.conflist")
        assert json.loads(vm.call("STATUS").stdout)["code"] == 50
        assert not pods.network_ready()[0]
        vm.write_pool((9,))
        assert eventually(lambda: pods.network_ready()[0])
        assert vm.call("STATUS").silent
        # With a pod attached the conflist stays, for without it containerd could not take the pod down.
        pods.run_pod("last")
        vm.write_pool(())
        assert eventually(lambda: not vm.call("STATUS").silent)
        assert pods.network_ready() == (True, "")
        pods.stop("last")
        assert eventually(lambda: not pods.network_ready()[0])
        # Nor can it remove a pod that is stopped; kubelet tries again until the conflist is back.
        with pytest.raises(grpc.RpcError, match="cni plugin not initialized"):
            pods.remove("last")
        vm.end_agent(signal.SIGTERM)
        vm.lose_ledger()
    lab.install("vm1", "--plugins-from", "/usr/lib/cni")
    assert eventually(lambda: pods.network_ready()[0])
