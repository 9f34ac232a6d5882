"""A cluster of IPv4 becomes one of both IP versions when it is brought up again, and back; its pods run on."""

from __future__ import annotations

from pathlib import Path

from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import Cluster, Object, cluster

FILE = Path(__file__).with_name("dual-stack.yaml")
IPV4_ALONE = ("--service-range", "10.96.0.0/16")


def service(name: str, **spec: str) -> Object:
    inner = {"selector": {"app": "called"}, "ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": inner}


def addresses(made: Cluster, name: str, namespace: str = "default") -> list[str]:
    found: list[str] = made.get("service", name, namespace)["spec"]["clusterIPs"]
    return found


def versions(made: Cluster, node: str) -> int:
    """How many IP versions the API knows a node by."""
    return sum(each["type"] == "InternalIP" for each in made.get("node", node)["status"]["addresses"])


def answers(made: Cluster, address: str) -> bool:
    return eventually(lambda: made.dial("caller", address, request="hostname") == "called")


def test_a_cluster_gets_the_other_ip_version_and_loses_it_again() -> None:
    with cluster(FILE) as made:
        made.up(*IPV4_ALONE)
        pods = [made.run("called", node="node1"), made.run("caller", node="node2")]
        made.apply(service("before", ipFamilyPolicy="PreferDualStack"))
        assert len(addresses(made, "before")) == 1

        made.up()
        assert eventually(lambda: [versions(made, node) for node in made.nodes] == [2, 2])
        assert len(addresses(made, "kube-dns", "kube-system")) == 2
        made.apply(service("after", ipFamilyPolicy="RequireDualStack"))
        four, six = addresses(made, "after")
        assert all(answers(made, each) for each in (*addresses(made, "before"), four, six))
        made.delete(service("after"))

        made.up(*IPV4_ALONE)
        assert eventually(lambda: [versions(made, node) for node in made.nodes] == [1, 1])
        assert len(addresses(made, "kube-dns", "kube-system")) == 1
        assert answers(made, addresses(made, "before")[0])
        assert [made.pod(name) for name in ("called", "caller")] == pods
