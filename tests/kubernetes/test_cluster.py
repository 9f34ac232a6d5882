"""The cluster by itself: nodes, names, from outside; a VM rebooted; killed half-way; taken down and made again."""

from __future__ import annotations

import os
import select
import subprocess
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path

from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import AGNHOST, BUSYBOX, CONTROL, Cluster, pod
from podvnet.testing.kubernetes_program import program
from podvnet.testing.lab import PODVNET, podvnet

RECORD = "/run/podvnet/units.json"


def test_pods_of_two_nodes_reach_one_another_with_their_own_addresses(cluster: Cluster) -> None:
    addresses = {node: cluster.run(f"web-{node}", node=node) for node in cluster.nodes}
    assert all(ip_address(address) in ip_network("10.1.16.0/20") for address in addresses.values())
    for caller in cluster.nodes:
        for called in addresses.values():
            assert eventually(partial(sees, cluster, f"web-{caller}", called, addresses[caller]))


def sees(cluster: Cluster, caller: str, called: str, address: str) -> bool:
    """Whether a pod answers another, and sees it with this address."""
    return cluster.dial(caller, called).rpartition(":")[0] == address


def test_the_clusters_dns_answers_for_services_and_for_the_vms_of_the_network(cluster: Cluster) -> None:
    cluster.run("resolver", image=BUSYBOX, args=("sleep", "3600"), port=0)
    assert eventually(partial(resolves, cluster, "kubernetes.default.svc.cluster.local", "10.96.0.1"))
    suffix = cluster.lab.inside("client", "sed", "-n", "s/^search //p", "/etc/resolv.conf").stdout.strip()
    address = cluster.stage.places["client"].addresses[4]
    assert eventually(partial(resolves, cluster, f"client.{suffix}", address))


def resolves(cluster: Cluster, name: str, address: str) -> bool:
    """Whether a pod is told an address when it asks for a name."""
    return address in cluster.execute("resolver", "nslookup", name, check=False)


def test_a_node_says_which_vm_it_is_and_how_many_pods_it_has_addresses_for(cluster: Cluster) -> None:
    node = cluster.get("node", "node2")
    assert node["spec"]["providerID"].startswith("azure:///subscriptions/")
    assert node["spec"]["providerID"].endswith("/providers/Microsoft.Compute/virtualMachines/node2")
    labels = node["metadata"]["labels"]
    assert labels["topology.kubernetes.io/zone"] == f"{labels['topology.kubernetes.io/region']}-2"
    assert labels["node.kubernetes.io/instance-type"] == "Standard_D2s_v5"
    assert node["status"]["capacity"]["pods"] == "150"


def test_the_machines_own_settings_are_left_alone(cluster: Cluster) -> None:
    inside = cluster.lab.inside("node1", "cat", "/proc/sys/vm/overcommit_memory").stdout
    assert inside.strip() == "1"
    outside = cluster.lab.inside("client", "cat", "/proc/sys/vm/overcommit_memory").stdout
    assert outside == Path("/proc/sys/vm/overcommit_memory").read_text(encoding="ascii")


def test_a_kubeconfig_works_on_this_machine_by_the_forwarder(cluster: Cluster, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*PODVNET, "cluster", "forward", "--port", "0"], stdout=subprocess.PIPE, env=os.environ, text=True
    ) as forwarder:
        try:
            assert forwarder.stdout is not None
            assert select.select([forwarder.stdout], [], [], 60.0)[0]
            server = forwarder.stdout.readline().strip()
            config = tmp_path / "config"
            config.write_text(podvnet("cluster", "kubeconfig", "--server", server).stdout)
            argv = [str(program("kubectl")), "--kubeconfig", str(config), "get", "nodes", "-o", "name"]
            said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=180).stdout
        finally:
            forwarder.terminate()
    assert said.split() == [f"node/{name}" for name in cluster.nodes]


def test_what_a_vm_keeps_running_is_begun_again_when_it_is_killed(cluster: Cluster) -> None:
    units = {"containerd", "kubelet", "kube-proxy", "podvnet-agent"}
    assert eventually(lambda: set(cluster.processes("node1")) == units), cluster.processes("node1")
    before = cluster.processes("node1")
    os.kill(before["kube-proxy"], 9)
    assert eventually(lambda: cluster.processes("node1").get("kube-proxy", 0) not in {0, before["kube-proxy"]}, 120.0)


def test_a_rebooted_vm_is_a_node_again_and_runs_its_pods(cluster: Cluster) -> None:
    deployed = pod("lasting", node="node2", image=AGNHOST)
    template = {"metadata": deployed["metadata"], "spec": deployed["spec"] | {"terminationGracePeriodSeconds": 1}}
    chosen = {"matchLabels": {"app": "lasting"}}
    spec = {"replicas": 2, "selector": chosen, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "lasting"}, "spec": spec}
    cluster.apply([deployment])
    cluster.rollout("deployment/lasting")
    boot = cluster.get("node", "node2")["status"]["nodeInfo"]["bootID"]
    podvnet("vm", "reboot", "node2")
    cluster.lab.reopen()
    # The API is told by kubelet, which knows the VM's new life by its boot id.
    assert eventually(lambda: cluster.get("node", "node2")["status"]["nodeInfo"]["bootID"] != boot, 180.0)
    cluster.kubectl("wait", "--for=condition=Ready", "node/node2", "--timeout=180s")

    def both_answer() -> bool:
        pods = cluster.list("pods", "default", "app=lasting")
        living = [each["status"].get("podIP", "") for each in pods if not each["metadata"].get("deletionTimestamp")]
        client = cluster.lab.vm("client")
        return len(living) == 2 and all(cluster.ask_from(client, each, "/hostname") for each in living if each)

    assert eventually(both_answer, 180.0)
    cluster.delete([deployment])


def test_one_that_was_killed_half_way_goes_on(cluster: Cluster) -> None:
    argv = cluster.up_command("--proxy", "nftables")
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as upward:
        assert upward.stderr is not None
        assert any(line.startswith("starting node1") for line in upward.stderr), "it came to its end"
        upward.kill()
    cluster.up("--proxy", "nftables")
    assert eventually(is_faultless), podvnet("cluster", "status", check=False).stdout
    # kube-proxy writes its tables once it has heard of Services.
    tables = ("nft", "list", "tables")
    assert eventually(lambda: "table ip kube-proxy" in cluster.lab.inside("node1", *tables).stdout)


def is_faultless() -> bool:
    return '"faults": []' in podvnet("cluster", "status", "--json", check=False).stdout


def test_down_gives_the_vms_back_and_up_makes_it_again(cluster: Cluster) -> None:
    cluster.down()
    for vm in (CONTROL, *cluster.nodes):
        left = cluster.lab.inside(vm, "sh", "-c", "ls -A /var/lib/kubelet /var/lib/etcd /var/lib/containerd")
        assert [line for line in left.stdout.splitlines() if line and not line.endswith(":")] == []
        assert cluster.lab.inside(vm, "sh", "-c", "ls -d /etc/kubernetes", check=False).returncode != 0
        assert "kube" not in cluster.lab.inside(vm, "nft", "list", "tables").stdout
        assert cluster.lab.inside(vm, "cat", RECORD, check=False).returncode != 0
        assert eventually(partial(holds_nothing, cluster, vm)), cluster.lab.agent_status(vm)
    assert podvnet("cluster", "down").stdout.strip() == "there is no cluster"
    cluster.up()
    assert eventually(is_faultless), podvnet("cluster", "status", check=False).stdout


def holds_nothing(cluster: Cluster, vm: str) -> bool:
    return bool(cluster.lab.agent_status(vm)["pool"]["held"] == 0)
