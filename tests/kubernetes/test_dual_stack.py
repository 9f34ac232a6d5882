"""A cluster of both IP versions, for each way of attaching pods and of kube-proxy: all is asked by IPv4 and by IPv6."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest

from podvnet.runtime.probe import PORT as LISTENING
from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import BUSYBOX, Cluster, Object, pod
from podvnet.testing.kubernetes import cluster as made_cluster
from podvnet.testing.lab import PODVNET
from podvnet.testing.service_controller import service_controller

FILE = Path(__file__).with_name("dual-stack.yaml")
VERSIONS = (4, 6)
BOTH, ONE = frozenset({"back-1", "back-2"}), frozenset({"back-1"})
CALLER = "caller"
NODE_PORT, LOCAL_PORT = 30080, 30081


def service(name: str, selector: dict[str, str] | None = None, node_port: int = 0, **spec: object) -> Object:
    """A Service of both IP versions that leads to the pods behind it, unless a selector names others."""
    ports = [{"port": 80} | ({"nodePort": node_port} if node_port else {})]
    held = {"selector": selector or {"tier": "back"}, "ports": ports, "ipFamilyPolicy": "RequireDualStack", **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": held}


def balancer(mode: str) -> Object:
    """One that a load balancer of the virtual network serves, at addresses of its own there.

    Pods that are routed to answer no probe by IPv6, which comes from a link-local address.
    """
    found = service(
        "balanced", type="LoadBalancer", loadBalancerClass="podvnet.io/pods", allocateLoadBalancerNodePorts=False
    )
    unprobed = {"port_80_no_probe_rule": "true"} if mode == "transparent" else {}
    found["metadata"]["annotations"] = {
        f"service.beta.kubernetes.io/{key}": text
        for key, text in ({"azure-load-balancer-internal": "true"} | unprobed).items()
    }
    return found


OBJECTS = [
    service("inner"),
    service("myself", {"app": "back-1"}),
    service("headless", clusterIP="None"),
    service("outer", node_port=NODE_PORT, type="NodePort"),
    service("outer-local", node_port=LOCAL_PORT, type="NodePort", externalTrafficPolicy="Local"),
    *(pod(f"back-{number}", node=f"node{number}", labels={"tier": "back"}) for number in (1, 2)),
    *(pod(f"front-{number}", node=f"node{number}") for number in (1, 2)),
    pod("resolver", image=BUSYBOX, args=("sleep", "3600"), port=0),
]
PODS = [each["metadata"]["name"] for each in OBJECTS if each["kind"] == "Pod"]


class Row(NamedTuple):
    """A question.

    Attributes:
        caller: a pod, or a VM.
        called: a pod, a node or a Service, and the port.
        answered: which pods answer, sooner or later.
        seen: whose address they see: the caller's own, or a node's.
    """

    caller: str
    called: str
    port: int
    answered: frozenset[str]
    seen: str


ROWS = {
    "a pod, from a pod of its node": Row("front-1", "back-1", 80, ONE, CALLER),
    "a pod, from a pod of the other": Row("front-2", "back-1", 80, ONE, CALLER),
    "a pod, from a VM": Row("client", "back-1", 80, ONE, CALLER),
    "a cluster address": Row("front-1", "inner", 80, BOTH, CALLER),
    "a cluster address, from the other node": Row("front-2", "inner", 80, BOTH, CALLER),
    "a cluster address, from the VM of a node": Row("node1", "inner", 80, BOTH, CALLER),
    "a Service of the caller alone": Row("back-1", "myself", 80, ONE, "node1"),
    "a node port, from a VM": Row("client", "node1", NODE_PORT, BOTH, "node1"),
    "a node port, from a pod of the node": Row("front-1", "node1", NODE_PORT, BOTH, "node1"),
    "a node port, from a pod of the other": Row("front-2", "node1", NODE_PORT, BOTH, "node1"),
    "a local node port, from a VM": Row("client", "node1", LOCAL_PORT, ONE, CALLER),
    "a local node port, from a pod of the node": Row("front-1", "node1", LOCAL_PORT, BOTH, CALLER),
    "a load balancer, from a VM": Row("client", "balanced", 80, BOTH, CALLER),
}


class Site:
    """The cluster, its pods and Services.

    Attributes:
        addresses: of pods, VMs and Services, by name and IP version.
    """

    def __init__(self, cluster: Cluster, mode: str) -> None:
        self.cluster = cluster
        self.mode = mode
        self.addresses = {name: place.addresses for name, place in cluster.stage.places.items()}

    def prepare(self) -> None:
        """Make pods and Services, and know their addresses."""
        self.cluster.apply([*OBJECTS, balancer(self.mode)])
        for name in PODS:
            self.cluster.pod(name)
            self.addresses[name] = by_version(pod_addresses(self.cluster.get("pod", name)))
        for each in self.cluster.list("service", "default"):
            self.addresses[each["metadata"]["name"]] = by_version(each["spec"]["clusterIPs"])
        assert eventually(lambda: len(self.balanced()) == len(VERSIONS)), self.cluster.events("balanced")
        self.addresses["balanced"] = by_version(self.balanced())

    def balanced(self) -> list[str]:
        """The addresses that the load balancer has for its Service."""
        ingress = self.cluster.get("service", "balanced")["status"]["loadBalancer"].get("ingress", [])
        return [each["ip"] for each in ingress]

    def ask(self, row: Row, version: int, page: str) -> str:
        """What is answered; empty, or what went wrong, when nothing is."""
        host = self.addresses[row.called][version]
        if row.caller in self.cluster.stage.places:
            return self.cluster.ask_from(self.cluster.lab.vm(row.caller), host, f"/{page}", row.port, seconds=10.0)
        return self.cluster.dial(row.caller, host, row.port, page)


def by_version(addresses: list[str]) -> dict[int, str]:
    return {ip_address(each).version: each for each in addresses if each != "None"}


def pod_addresses(document: Object) -> list[str]:
    return [each["ip"] for each in document["status"]["podIPs"]]


WAYS = [("transparent", "iptables"), ("bridge", "nftables"), ("transparent", "nftables"), ("bridge", "iptables")]
"""Each is a cluster of its own; without the variable two are enough, which have each way once."""


@pytest.fixture(scope="module", params=WAYS if os.environ.get("PODVNET_KUBERNETES_ALL") else WAYS[:2], ids=" ".join)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    mode, proxy = request.param
    with made_cluster(FILE, "--mode", mode, "--proxy", proxy) as cluster, service_controller(cluster):
        made = Site(cluster, mode)
        made.prepare()
        yield made
        cluster.delete(balancer(made.mode))


def test_nodes_and_pods_have_the_virtual_networks_addresses_of_both_versions(site: Site) -> None:
    machines = {each["name"]: each["nics"][0] for each in site.cluster.lab.status()["virtualMachines"]}
    for node in site.cluster.nodes:
        said = site.cluster.get("node", node)["status"]["addresses"]
        own = [each["address"] for each in said if each["type"] == "InternalIP"]
        assert own == [site.addresses[node][version] for version in VERSIONS]
    # Also those of the cluster's DNS.
    for each in site.cluster.list("pods"):
        found = pod_addresses(each)
        assert [ip_address(address).version for address in found] == [*VERSIONS]
        node = each["spec"]["nodeName"]
        assert set(found) <= {*machines[node]["secondary"]} - {*site.addresses[node].values()}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_who_answers_and_whose_address_is_seen(site: Site, row: Row, version: int) -> None:
    found: set[str] = set()

    def all_have_answered() -> bool:
        said = site.ask(row, version, "hostname")
        found.update({said} if said and not said.startswith("error:") else ())
        return found >= row.answered

    assert eventually(all_have_answered), f"only {found} answered"
    assert found == row.answered
    address = site.addresses[row.caller if row.seen == CALLER else row.seen][version]
    host = f"[{address}]" if version == 6 else address
    assert {site.ask(row, version, "clientip").rpartition(":")[0] for _ in range(4)} == {host}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_vm_is_reached_by_a_pod_with_its_own_address(site: Site, version: int) -> None:
    servers, address = site.cluster.lab.servers, site.addresses["client"][version]
    host = f"[{address}]" if version == 6 else address
    servers.listen(site.cluster.lab.vm("client"), address)
    try:
        site.cluster.execute("front-1", "/agnhost", "connect", "--timeout=20s", f"{host}:{LISTENING}")
        assert eventually(lambda: (address, site.addresses["front-1"][version]) in servers.callers)
    finally:
        servers.forget(address)


@pytest.mark.parametrize("server", VERSIONS)
@pytest.mark.parametrize("name", ["headless", "inner"])
def test_the_clusters_dns_has_both_kinds_of_addresses_and_is_asked_by_both(site: Site, name: str, server: int) -> None:
    dns = by_version(site.cluster.get("service", "kube-dns", "kube-system")["spec"]["clusterIPs"])
    names = BOTH if name == "headless" else {name}
    wanted = {site.addresses[each][version] for each in names for version in VERSIONS}

    def answered() -> set[str]:
        asked = ("nslookup", f"{name}.default.svc.cluster.local", dns[server])
        said = site.cluster.execute("resolver", *asked, check=False)
        # What comes before an empty line is of the server.
        return {
            line.removeprefix("Address: ") for line in said.partition("\n\n")[2].splitlines() if "Address: " in line
        }

    assert eventually(lambda: answered() == wanted), (answered(), wanted)


def test_doctor_finds_that_nodes_forward_both_versions(site: Site) -> None:
    for node in site.cluster.nodes:
        found = json.loads(site.cluster.lab.inside(node, *PODVNET, "doctor", "--json", check=False).stdout)
        states = {each["subject"]: each["state"] for each in found}
        assert states["ip_forward"] == states["ipv6 forwarding"] == "ok"
