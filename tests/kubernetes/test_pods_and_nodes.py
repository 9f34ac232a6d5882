"""Asks by annotations, and what the Node says, with real kubelets and containerd: nothing is called by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from podvnet.kube.node_rbac import NAMESPACES
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import Runtime, eventually
from podvnet.testing.kubernetes import Cluster, pod

KUBELETS = "/etc/kubernetes/kubelet.conf"
DEAF = "/etc/kubernetes/deaf.conf"
ENVIRONMENT = "/etc/podvnet/agent.env"
CONFLIST = "/etc/cni/net.d/10-azure.conflist"
SECONDS = 150.0


@pytest.fixture(scope="module")
def cloud(cluster: Cluster) -> Cloud:
    return cloud_for(cluster.lab, access_for())


@pytest.fixture(scope="module", autouse=True)
def shop(cluster: Cluster) -> None:
    """A namespace whose pods may ask for public addresses, and nodes that can see that."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "namespaces"}}
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "namespaces"}
    labels = {f"allow.podvnet.io/{kind}": "true" for kind in ("public-ip", "fixed-ip", "egress")}
    cluster.apply(
        [
            role | {"rules": [NAMESPACES]},
            role | {"kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [group]},
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}},
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "greedy"}},
        ]
    )
    for name in ("shop", "greedy"):
        assert eventually(lambda name=name: "default" in cluster.kubectl("-n", name, "get", "sa", check=False), SECONDS)  # type: ignore[misc]


@contextmanager
def agent_with(cluster: Cluster, node: str, **variables: str) -> Iterator[None]:
    """An agent with other options for the block."""
    with closing(Runtime(cluster.lab, node)) as vm:
        path = Path(ENVIRONMENT)
        before = vm.do(lambda: path.read_text(encoding="utf-8") if path.exists() else "")
        text = before + "".join(f"{name}={value}\n" for name, value in variables.items())
        vm.do(lambda: path.write_text(text, encoding="utf-8"))
        renew(vm)
        try:
            yield
        finally:
            vm.do(lambda: path.write_text(before, encoding="utf-8"))
            renew(vm)


def renew(vm: Runtime) -> None:
    """Let the VM's keeper start the agent anew."""
    process = agent_process(vm)
    vm.run("kill", str(process))
    assert eventually(lambda: agent_process(vm) not in {0, process} and answers(vm), SECONDS)


def agent_process(vm: Runtime) -> int:
    """The id of the agent's process; 0 while one is starting."""
    try:
        return vm.agent_process()
    except ValueError:
        return 0


def answers(vm: Runtime) -> bool:
    try:
        vm.connect().close()
    except OSError:
        return False
    return True


def start(cluster: Cluster, name: str, namespace: str = "shop", **annotations: str) -> str:
    """Run a pod on the first node; return its address once it is ready."""
    wishes = {f"podvnet.io/{key.replace('_', '-')}": text for key, text in annotations.items()}
    cluster.apply(pod(name, node="node1", annotations=wishes), namespace)
    return ready(cluster, name, namespace)


def ready(cluster: Cluster, name: str, namespace: str) -> str:
    wait = ("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={SECONDS:g}s")
    done = cluster.kubectl("-n", namespace, *wait, check=False)
    log = cluster.lab.inside("node1", "tail", "-n", "20", "/var/log/podvnet-agent.log").stdout
    assert "met" in done, cluster.kubectl("-n", namespace, "describe", "pod", name) + log
    return str(cluster.get("pod", name, namespace)["status"]["podIP"])


def told(cluster: Cluster, name: str, namespace: str) -> str:
    """Reasons and messages of the events of a pod."""
    chosen = ("get", "events", "--field-selector", f"involvedObject.name={name}")
    return cluster.kubectl("-n", namespace, *chosen, "-o", "custom-columns=:reason,:message")


def publics(cloud: Cloud) -> dict[str, str]:
    """By pod, the public addresses that were made."""
    every = cloud.network.public_ip_addresses.list("podvnet")
    return {each.tags["podvnet-pod"]: str(each.ip_address) for each in every if each.tags}


def granted(cluster: Cluster, name: str) -> dict[str, str]:
    meta = cluster.get("pod", name, "shop")["metadata"]
    found: dict[str, str] = json.loads(meta.get("annotations", {}).get("podvnet.io/granted", "{}"))
    return found


def test_pods_ask_and_are_told_and_what_they_had_goes_with_them(cluster: Cluster, cloud: Cloud) -> None:
    options = {"PODVNET_KUBECONFIG": KUBELETS, "PODVNET_NODE_NAME": "node1", "PODVNET_POOL_SOURCE": "arm"}
    with agent_with(cluster, "node1", **options):
        assert eventually(lambda: capacity(cluster, "node1") == "250", SECONDS)
        # The ip-configurations that are there are an administrator's: what is asked for is put on one of its own.
        address = start(cluster, "asking", public_ip="new", fixed_ip="10.1.20.10")
        assert address == "10.1.20.10"
        assert list(publics(cloud)) == ["shop/asking"]
        expected = {"address": address, "publicAddress": publics(cloud)["shop/asking"]}
        assert eventually(lambda: granted(cluster, "asking") == expected, SECONDS), granted(cluster, "asking")
        assert eventually(lambda: "NetworkGranted" in told(cluster, "asking", "shop"))
        start(cluster, "plain")

        wishes = {"podvnet.io/public-ip": "new", "podvnet.io/fixed-ip": "10.1.20.11"}
        # A pod that may not waits, and starts once its namespace may: nobody makes it anew.
        cluster.apply(pod("greedy", node="node1", annotations=wishes), "greedy")
        assert eventually(lambda: "NetworkAskRefused" in told(cluster, "greedy", "greedy"), SECONDS)
        assert list(publics(cloud)) == ["shop/asking"]
        cluster.kubectl(
            "label", "namespace", "greedy", "allow.podvnet.io/public-ip=true", "allow.podvnet.io/fixed-ip=true"
        )
        ready(cluster, "greedy", "greedy")
        assert sorted(publics(cloud)) == ["greedy/greedy", "shop/asking"]

        cluster.kubectl("-n", "greedy", "delete", "pod", "greedy", "--grace-period=1")
        cluster.kubectl("-n", "shop", "delete", "pod", "asking", "plain", "--grace-period=1")
        assert eventually(lambda: publics(cloud) == {}, SECONDS)


def test_a_stateful_sets_pod_takes_its_fixed_address_with_it_to_another_node(cluster: Cluster) -> None:
    options = {"PODVNET_KUBECONFIG": KUBELETS, "PODVNET_POOL_SOURCE": "arm"}
    first, second = (f"node{number}" for number in (1, 2))
    with (
        agent_with(cluster, first, PODVNET_NODE_NAME=first, **options),
        agent_with(cluster, second, PODVNET_NODE_NAME=second, **options),
    ):
        assert eventually(lambda: {capacity(cluster, each) for each in (first, second)} == {"250"}, SECONDS)
        template = pod("db", annotations={"podvnet.io/fixed-ip": "10.1.20.31, 10.1.20.32"}, labels={"app": "db"})
        try:
            cluster.kubectl("cordon", second)
            cluster.apply(stateful_set("db", template), "shop")
            assert eventually(lambda: node_of(cluster, "db-0") == first, SECONDS)
            assert ready(cluster, "db-0", "shop") == "10.1.20.31"
            cluster.kubectl("uncordon", second)
            cluster.kubectl("cordon", first)
            cluster.kubectl("-n", "shop", "delete", "pod", "db-0", "--grace-period=1")
            assert eventually(lambda: node_of(cluster, "db-0") == second, SECONDS)
            assert ready(cluster, "db-0", "shop") == "10.1.20.31"
        finally:
            cluster.kubectl("uncordon", first, second)
        cluster.kubectl("-n", "shop", "delete", "statefulset", "db")
        assert eventually(lambda: node_of(cluster, "db-0") == "", SECONDS)


def stateful_set(name: str, template: dict[str, Any]) -> dict[str, Any]:
    """A StatefulSet of one pod."""
    meta = template["metadata"]
    spec = {
        "serviceName": name,
        "replicas": 1,
        "selector": {"matchLabels": meta["labels"]},
        "template": {
            "metadata": {"labels": meta["labels"], "annotations": meta["annotations"]},
            "spec": template["spec"],
        },
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}


def node_of(cluster: Cluster, name: str) -> str:
    """The node that a pod of the shop is on; empty while it is on none."""
    chosen = ("get", "pod", name, "--ignore-not-found", "-o", "jsonpath={.spec.nodeName}")
    return cluster.kubectl("-n", "shop", *chosen).strip()


def capacity(cluster: Cluster, node: str) -> str:
    found = cluster.get("node", node)["status"]["capacity"]
    return str(found.get("podvnet.io/addresses", ""))


def test_containerd_hands_annotations_over_so_that_pods_without_any_start_while_the_agent_hears_nothing(
    cluster: Cluster,
) -> None:
    with closing(Runtime(cluster.lab, "node1")) as vm:
        original = vm.do(lambda: Path(CONFLIST).read_text(encoding="utf-8"))
        document = json.loads(original)
        document["plugins"][0]["capabilities"] = {"io.kubernetes.cri.pod-annotations": True}
        config = yaml.safe_load(vm.do(lambda: Path(KUBELETS).read_text(encoding="utf-8")))
        config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
        vm.do(lambda: Path(DEAF).write_text(json.dumps(config), encoding="utf-8"))
        with agent_with(cluster, "node1", PODVNET_KUBECONFIG=DEAF, PODVNET_NODE_NAME="node1"):
            vm.do(lambda: Path(CONFLIST).write_text(json.dumps(document), encoding="utf-8"))
            try:
                # containerd reads the folder anew by itself; until then kubelet tries again.
                start(cluster, "quiet")
                cluster.apply(pod("unheard", node="node1", annotations={"podvnet.io/egress": "pod"}), "shop")
                words = "the Kubernetes API at https://127.0.0.1:1 does not answer"
                assert eventually(lambda: words in told(cluster, "unheard", "shop"), SECONDS)
            finally:
                vm.do(lambda: Path(CONFLIST).write_text(original, encoding="utf-8"))
                cluster.kubectl("-n", "shop", "delete", "pod", "quiet", "unheard", "--grace-period=1")


def unreadiness(cluster: Cluster, node: str) -> str:
    """Why a node is not ready."""
    conditions = {each["type"]: each for each in cluster.get("node", node)["status"]["conditions"]}
    return str(conditions["Ready"]["message"])


def test_a_node_without_addresses_is_not_ready_until_it_has_some(cluster: Cluster) -> None:
    with closing(Runtime(cluster.lab, "node2")) as vm:
        vm.write_pool([], Path("/etc/kubernetes/interfaces.json"))
        drain = ("drain", "node2", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--grace-period=1")
        cluster.kubectl(*drain, f"--timeout={SECONDS:g}s")
        try:
            vm.lose_ledger()
            with agent_with(cluster, "node2", PODVNET_POOL_SOURCE="file"):
                cluster.kubectl("wait", "--for=condition=Ready=false", "node/node2", f"--timeout={SECONDS:g}s")
                # A node that is not ready may say something else first, while its agent begins.
                assert eventually(lambda: "cni plugin not initialized" in unreadiness(cluster, "node2"), SECONDS)
                status = vm.call("STATUS").error
                assert (status["code"], "has no secondary address" in status["msg"]) == (50, True)
            cluster.kubectl("wait", "--for=condition=Ready", "node/node2", f"--timeout={SECONDS:g}s")
        finally:
            cluster.kubectl("uncordon", "node2")
