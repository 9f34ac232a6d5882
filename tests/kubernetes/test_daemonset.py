"""podvnet shipped as manifests and as a Helm chart, on nodes that have nothing of it: installed, rolled, removed."""

from __future__ import annotations

import json
import re
import shlex
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from podvnet.cluster import image as images
from podvnet.cluster.control_plane import ADMIN_CONFIG
from podvnet.cluster.fabric_vm import PODVNET, agent_unit
from podvnet.cluster.unit import UNITS
from podvnet.fabric.machine import CERTIFICATE
from podvnet.linux import namespace
from podvnet.plan import names
from podvnet.runtime import probe
from podvnet.testing import agent_image, helm
from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import CONTROL, Cluster, pod
from podvnet.testing.kubernetes_program import program
from podvnet.testing.lab import execute

AGENT, CONTROLLER = "daemonset/podvnet-agent", "deployment/podvnet-controller"
SPACE = "kube-system"
AGENTS = "app.kubernetes.io/component=agent"
FOLDERS = ("/opt/cni/bin", "/etc/cni/net.d", "/run/podvnet", "/var/lib/podvnet", "/etc/sysctl.d/90-podvnet.conf")
LONGEST = 30.0
"""For an answer; what is lost is not sent again."""
PATIENCE = 120.0
"""For what comes about by itself, on a machine that has much else to do."""
LONGEST_BLOCK = 600.0
"""For what Helm and kubectl do, which are told themselves how long to wait."""
POD, SERVICE = "10.1.1.5", "20.0.0.5"
"""The examples of the page."""
HELM_HOMES = "HELM_CACHE_HOME=/tmp HELM_CONFIG_HOME=/tmp HELM_DATA_HOME=/tmp"


@pytest.fixture(scope="module")
def bare(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with nodes that have no agent, and the image; what was there before is put back afterwards."""
    cluster.load(f"{agent_image.NAME}:{agent_image.tag()}", lambda name, target: agent_image.write(target, name))
    coredns = cluster.get("deployment", "coredns", SPACE)["spec"]["replicas"]
    cluster.kubectl("-n", SPACE, "scale", "deployment/coredns", "--replicas=0")
    cluster.kubectl("delete", "pods", "--all", "--grace-period=1")
    unit = UNITS / f"{agent_unit().name}.json"
    units, conflists = {}, {}
    for node in cluster.nodes:
        assert eventually(lambda node=node: attached(cluster, node) == [], PATIENCE)  # type: ignore[misc]
        units[node] = cluster.lab.inside(node, "cat", str(unit)).stdout
        conflists[node] = cluster.lab.inside(node, "cat", "/etc/cni/net.d/10-azure.conflist").stdout
        cluster.lab.inside(node, "rm", str(unit))
        cluster.lab.inside(node, *PODVNET, "cluster", "keep", "--background")
        cluster.lab.inside(node, "flock", "--timeout=60", "/run/podvnet/agent.lock", "true")
        cluster.lab.inside(node, *PODVNET, "uninstall")
    assert eventually(lambda: not ready_nodes(cluster), PATIENCE)
    yield cluster
    for node in cluster.nodes:
        cluster.lab.inside(node, "tee", str(unit), stdin=units[node])
        cluster.lab.inside(node, *PODVNET, "cluster", "keep", "--background")
        cluster.lab.inside(node, *PODVNET, "install", "--no-agent", "--plugins-from", "/usr/lib/cni")
        cluster.lab.inside(node, "tee", "/etc/cni/net.d/10-azure.conflist", stdin=conflists[node])
    cluster.kubectl("-n", SPACE, "scale", "deployment/coredns", f"--replicas={coredns}")
    assert eventually(lambda: ready_nodes(cluster) == {*cluster.nodes}, PATIENCE)
    cluster.rollout("deployment/coredns", SPACE)


@pytest.fixture
def shipped(bare: Cluster) -> Iterator[Cluster]:
    """The plain manifests applied, as they are in the tree but for the controller, which is not for this fabric."""
    applied = [each for each in manifest("podvnet.yaml") if "controller" not in each["metadata"]["name"]]
    bare.apply(applied, SPACE)
    bare.rollout(AGENT, SPACE)
    yield bare
    bare.kubectl("delete", "pods", "--all", "--grace-period=1")
    bare.delete(applied, SPACE)
    remove(bare)


def test_the_manifests_alone_make_nodes_ready_and_pods_reach_one_another(shipped: Cluster) -> None:
    assert eventually(lambda: ready_nodes(shipped) == {*shipped.nodes}, PATIENCE)
    addresses = {node: shipped.run(f"web-{node}", node=node) for node in shipped.nodes}
    for node, address in addresses.items():
        assert [each["addresses"] for each in attached_in_pod(shipped, node)] == [[address]]
        assert eventually(partial(answered, shipped, shipped.lab.vm("client"), address), PATIENCE)
    here, there = (addresses[node] for node in shipped.nodes)
    caller = pod_namespace(shipped, shipped.nodes[0], here)
    assert eventually(lambda: shipped.ask_from(caller, there, "/clientip").startswith(f"{here}:"), PATIENCE)


def test_the_agents_container_has_two_capabilities_and_no_more(shipped: Cluster) -> None:
    said = shipped.execute(agent_pod(shipped, shipped.nodes[0]), "cat", "/proc/1/status", namespace=SPACE)
    bits = next(int(line.split()[1], 16) for line in said.splitlines() if line.startswith("CapEff"))
    net_admin, sys_admin = 12, 21
    assert bits == 1 << net_admin | 1 << sys_admin


def test_agents_are_replaced_under_live_pods_without_a_lost_packet(shipped: Cluster) -> None:
    addresses = {node: shipped.run(f"web-{node}", node=node, **serving_udp()) for node in shipped.nodes}
    here, there = (addresses[node] for node in shipped.nodes)
    client = shipped.lab.vm("client")
    callers = [Caller(client, here), Caller(client, there), Caller(pod_namespace(shipped, "node1", here), there)]
    before = {node: agent_pod(shipped, node) for node in shipped.nodes}
    for caller in callers:
        caller.start()
    shipped.kubectl("-n", SPACE, "rollout", "restart", AGENT)
    during = shipped.run("during", node="node1")
    shipped.rollout(AGENT, SPACE)
    after = shipped.run("after", node="node2")
    counts = [caller.end() for caller in callers]
    assert all(asked == answered > 100 for asked, answered in counts), counts
    assert {node: agent_pod(shipped, node) for node in shipped.nodes}.items().isdisjoint(before.items())
    held = {node: {a for each in attached_in_pod(shipped, node) for a in each["addresses"]} for node in shipped.nodes}
    assert held == {"node1": {here, during}, "node2": {there, after}}


def test_a_pod_that_comes_while_its_agent_is_away_starts_when_it_is_back(shipped: Cluster) -> None:
    away = {"spec": {"template": {"spec": {"nodeSelector": {"podvnet.io/nowhere": "yes"}}}}}
    shipped.run("first", node="node1")  # with a pod attached the conflist stays, and the node is ready
    shipped.kubectl("-n", SPACE, "patch", AGENT, "-p", json.dumps(away))
    assert eventually(lambda: shipped.list("pods", SPACE, AGENTS) == [], PATIENCE)
    shipped.apply(pod("late", node="node1"))
    assert eventually(lambda: "the podvnet agent at /run/podvnet/agent.sock" in str(shipped.events("late")), PATIENCE)
    back = {"spec": {"template": {"spec": {"nodeSelector": {"podvnet.io/nowhere": None}}}}}
    shipped.kubectl("-n", SPACE, "patch", AGENT, "-p", json.dumps(back))
    shipped.rollout(AGENT, SPACE)
    assert shipped.pod("late")


def test_what_is_removed_leaves_nothing_on_nodes(bare: Cluster) -> None:
    applied = [each for each in manifest("podvnet.yaml") if "controller" not in each["metadata"]["name"]]
    bare.apply(applied, SPACE)
    bare.rollout(AGENT, SPACE)
    bare.run("left-behind", node="node1")
    assert left(bare, "node1")
    bare.delete(applied, SPACE)
    remove(bare)
    assert eventually(lambda: remains(bare) == [], PATIENCE), remains(bare)
    assert eventually(lambda: not ready_nodes(bare), PATIENCE)
    bare.kubectl("delete", "pods", "--all", "--grace-period=0", "--force")


def test_helm_installs_changes_and_uninstalls(bare: Cluster) -> None:
    run_helm(bare, "install", "--wait", "--set", "network.mode=bridge")
    assert eventually(lambda: ready_nodes(bare) == {*bare.nodes}, PATIENCE)
    assert eventually(lambda: lease_holder(bare) != "", PATIENCE), bare.kubectl("-n", SPACE, "logs", CONTROLLER)
    addresses = {node: bare.run(f"web-{node}", node=node) for node in bare.nodes}
    run_helm(bare, "upgrade", "--wait", "--set", "network.mode=bridge,network.nonMasquerade={203.0.113.0/24}")
    bare.rollout(AGENT, SPACE)
    conflist = json.loads(bare.lab.inside("node1", "cat", "/etc/cni/net.d/10-azure.conflist").stdout)
    assert {key: conflist["plugins"][0][key] for key in ("mode", "nonMasquerade")} == {
        "mode": "bridge",
        "nonMasquerade": ["203.0.113.0/24"],
    }
    client = bare.lab.vm("client")
    assert all(eventually(partial(answered, bare, client, each), PATIENCE) for each in addresses.values())
    bare.kubectl("delete", "pods", "--all", "--grace-period=1")
    run_helm(bare, "uninstall")
    assert eventually(lambda: remains(bare) == [], PATIENCE), remains(bare)
    assert eventually(lambda: bare.list("all", SPACE, "app.kubernetes.io/name=podvnet") == [], PATIENCE)


def test_a_reader_of_the_page_ends_with_a_pod_that_the_internet_reaches_and_with_clean_nodes(bare: Cluster) -> None:
    image = next(word for block in blocks() for word in block[1].split() if word.startswith("--image="))
    bare.load(
        image.removeprefix("--image="), lambda name, target: images.program(name, target, program("agnhost"), "agnhost")
    )
    addresses, answers = {POD: POD, SERVICE: SERVICE}, []
    for where, block in blocks():
        text = block
        for example, address in addresses.items():
            text = text.replace(example, address)
        answers.append((where, read(bare, where, text)))
        if "kubectl run" in block:
            addresses[POD] = bare.get("pod", "web")["status"]["podIP"]
            addresses[SERVICE] = bare.get("service", "front")["status"]["loadBalancer"]["ingress"][0]["ip"]
    said = {where: words for where, words in answers if where}
    assert said["another VM"].startswith("10.1.1.4:")
    assert said["the internet"].startswith("198.51.100.")
    assert eventually(lambda: remains(bare) == [], PATIENCE), remains(bare)


# -- what is asked and done


def blocks() -> list[tuple[str, str]]:
    """The blocks of the page, in order, and where each is for: empty is where the administrator is."""
    text = (helm.DEPLOY.parent / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    found = re.findall(r"^```sh(?: on ([a-zA-Z ]+))?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [(where, block) for where, block in found if not block.startswith("docker build")]


def read(cluster: Cluster, where: str, block: str) -> str:
    """Do what a block of the page says; return what is said."""
    if where:
        return asked(cluster, where, block)
    # The fabric's resource manager has a certificate of its own authority.
    text = block.replace("helm install podvnet", f"helm install podvnet --set-file arm.ca={CERTIFICATE}")
    settings = f"export KUBECONFIG={ADMIN_CONFIG} PATH={Path(helm.program()).parent}:$PATH {HELM_HOMES}"
    shell = f"{settings}; cd {helm.DEPLOY.parent}; {text}"
    return cluster.lab.inside(CONTROL, "sh", "-euc", shell, seconds=LONGEST_BLOCK).stdout


def asked(cluster: Cluster, where: str, block: str) -> str:
    """What is answered to who asks from elsewhere, and asks again as a person does."""
    internet = ["nsenter", f"--net={namespace.path(names.INTERNET)}", "--"]
    enter = internet if where == "the internet" else cluster.lab.command("client")
    said: list[str] = []

    def succeeds() -> bool:
        done = execute(*enter, "sh", "-euc", block, check=False)
        said[:] = [done.stdout, done.stderr]
        return done.returncode == 0

    assert eventually(succeeds, PATIENCE), said
    return said[0]


class Caller:
    """Asks a pod by UDP, one question after another, so that every packet that is lost is a question without answer."""

    def __init__(self, descriptor: int, address: str, port: int = 81) -> None:
        self._socket = namespace.run_inside(descriptor, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._socket.settimeout(LONGEST)
        self._socket.connect((address, port))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._asked = self._answered = 0

    def start(self) -> None:
        self._thread.start()

    def end(self) -> tuple[int, int]:
        self._ended.set()
        self._thread.join()
        self._socket.close()
        return self._asked, self._answered

    def _ask(self) -> None:
        while not self._ended.wait(0.02):
            self._asked += 1
            self._socket.send(f"echo {self._asked}".encode())
            try:
                while self._socket.recv(100) != str(self._asked).encode():
                    pass
                self._answered += 1
            except OSError:
                continue


def answered(cluster: Cluster, descriptor: int, address: str) -> bool:
    """Whether a pod answers a namespace."""
    return cluster.ask_from(descriptor, address, "/clientip") != ""


def serving_udp() -> dict[str, Any]:
    return {"args": ("netexec", "--http-port=80", "--udp-port=81")}


def manifest(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((helm.DEPLOY / name).read_text(encoding="utf-8")))


def remove(cluster: Cluster) -> None:
    """As docs/kubernetes.md has it."""
    removal = manifest("podvnet-removal.yaml")
    cluster.apply(removal, SPACE)
    cluster.rollout("daemonset/podvnet-removal", SPACE)
    cluster.delete(removal, SPACE)


def run_helm(cluster: Cluster, verb: str, *options: str) -> None:
    authority = cluster.lab.inside("node1", "cat", "/etc/podvnet/ca.pem").stdout
    values = json.dumps({"arm": {"ca": authority}})
    where = ("podvnet", *((str(helm.CHART), "--values", "-") if verb != "uninstall" else ()))
    argv = (helm.program(), verb, *where, "-n", SPACE, "--timeout", "4m", *options)
    shell = f"KUBECONFIG={ADMIN_CONFIG} {HELM_HOMES} {shlex.join(argv)}"
    cluster.lab.inside(CONTROL, "sh", "-c", shell, stdin=values, seconds=LONGEST_BLOCK)


def lease_holder(cluster: Cluster) -> str:
    """Which controller is at work."""
    leases = cluster.list("leases", SPACE)
    return next(
        (each["spec"].get("holderIdentity", "") for each in leases if "podvnet" in each["metadata"]["name"]), ""
    )


def ready_nodes(cluster: Cluster) -> set[str]:
    return {
        each["metadata"]["name"]
        for each in cluster.list("nodes")
        for condition in each["status"]["conditions"]
        if condition["type"] == "Ready" and condition["status"] == "True"
    }


def agent_pods(cluster: Cluster) -> dict[str, str]:
    """The agents' pods, by node, but for those that end."""
    listed = [each for each in cluster.list("pods", SPACE, AGENTS) if "deletionTimestamp" not in each["metadata"]]
    return {each["spec"]["nodeName"]: each["metadata"]["name"] for each in listed}


def agent_pod(cluster: Cluster, node: str) -> str:
    return agent_pods(cluster)[node]


def attached(cluster: Cluster, node: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.lab.agent_status(node)["attachments"]
    return found


def attached_in_pod(cluster: Cluster, node: str) -> list[dict[str, Any]]:
    said = cluster.execute(agent_pod(cluster, node), "podvnet", "status", "--json", namespace=SPACE)
    found: list[dict[str, Any]] = json.loads(said)["attachments"]
    return found


def pod_namespace(cluster: Cluster, node: str, address: str) -> int:
    """The open network namespace of a pod of a node."""
    for path in cluster.lab.inside(node, "sh", "-c", "ls -d /run/netns/cni-*").stdout.split():
        said = cluster.lab.inside(node, "nsenter", f"--net={path}", "ip", "-4", "addr", check=False).stdout
        if f"inet {address}/" in said:
            return probe.open_inside(cluster.lab.pin(node), path)
    raise AssertionError(f"no namespace of {node} has {address}")


def remains(cluster: Cluster) -> list[str]:
    """What there is of podvnet on any node."""
    return [f"{node}: {line}" for node in cluster.nodes for line in left(cluster, node)]


def left(cluster: Cluster, node: str) -> list[str]:
    """What there is of podvnet on a node: files, tables, links."""
    files = "find $@ ! -type d 2>/dev/null | grep -v -e keeper -e units.json -e tunables"  # those are the cluster's
    look = f"{files}; nft list tables | grep podvnet; ip -br link | grep ^azv"
    return cluster.lab.inside(node, "sh", "-c", look, "sh", *FOLDERS, check=False).stdout.splitlines()
