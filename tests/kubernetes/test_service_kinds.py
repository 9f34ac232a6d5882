"""Every kind of Service, host ports and the host network: who is reached, and whose address is seen there.

A table for each way of attaching pods and each way of kube-proxy. ``caller`` in the column of what is seen: the
caller's own address; ``node1``: that VM's, as Kubernetes has it where an answer would not come back otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import BUSYBOX, Cluster, Object, pod

NAMESPACE = "kinds"
SPACE: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
HOST_PORT, HOST_NETWORK = 8088, 8090
BOTH = frozenset({"back-1", "back-2"})
ONE, OTHER = frozenset({"back-1"}), frozenset({"back-2"})
CALLER = "caller"
PATIENCE = 120.0
"""For what comes about by itself, on a machine that has much else to do."""


@dataclass(frozen=True)
class Row:
    """A question.

    Attributes:
        caller: ``front-N`` and ``back-N`` are pods of node N, ``host-1`` one of the host network of node1; ``client``
            is a VM of the virtual network, ``peer`` one of a peered network.
        called: a Service or an address, and the port.
        answered: which pods answer, sooner or later; always the same of them when ``sticky``.
        any_of_them: it is the caller that chooses among the addresses of a name.
        seen: whose address the called pod sees.
        bridged: what is other where pods are attached by a bridge: kube-proxy takes callers of the nodes' subnet for
            pods of the node there, and leads them to any pod.
    """

    caller: str
    called: str
    port: int
    answered: frozenset[str]
    seen: str
    protocol: str = "http"
    sticky: bool = False
    any_of_them: bool = False
    bridged: tuple[frozenset[str], frozenset[str]] | None = None

    def expected(self, mode: str) -> tuple[frozenset[str], frozenset[str]]:
        """Which pods answer, and whose addresses are seen."""
        return self.bridged if self.bridged and mode == "bridge" else (self.answered, frozenset({self.seen}))


ROWS = {
    "a cluster address": Row("front-1", "inner", 8000, BOTH, CALLER),
    "a cluster address, from the other node": Row("front-2", "inner", 8000, BOTH, CALLER),
    "a cluster address, from the host network": Row("host-1", "inner", 8000, BOTH, "node1"),
    "a cluster address, UDP": Row("front-1", "inner", 8001, BOTH, CALLER, "udp"),
    "a Service of the caller alone": Row("back-1", "myself", 8000, ONE, "node1"),
    "a Service with session affinity": Row("front-1", "sticky", 8000, BOTH, CALLER, sticky=True),
    "a Service for the caller's node": Row("front-1", "near", 8000, ONE, CALLER),
    "a Service for the caller's node, the other": Row("front-2", "near", 8000, OTHER, CALLER),
    "a headless Service": Row("front-1", "headless", 80, BOTH, CALLER, any_of_them=True),
    "a node port, from a VM": Row("client", "node1", 30080, BOTH, "node1"),
    "a node port, from a peered network": Row("peer", "node2", 30080, BOTH, "node2"),
    "a node port, from a pod of the node": Row("front-1", "node1", 30080, BOTH, "node1"),
    "a node port, from a pod of the other": Row("front-2", "node1", 30080, BOTH, "node1"),
    "a node port, UDP": Row("front-2", "node1", 30082, BOTH, "node1", "udp"),
    "a local node port, from a VM": Row("client", "node1", 30081, ONE, CALLER),
    "a local node port, from a peered network": Row("peer", "node2", 30081, OTHER, CALLER),
    "a local node port, from a pod of the node": Row("front-1", "node1", 30081, BOTH, CALLER),
    "a local node port, from a pod of the other": Row(
        "front-2", "node1", 30081, ONE, CALLER, bridged=(BOTH, frozenset({CALLER, "node1"}))
    ),
    "a host port, from a VM": Row("client", "node1", HOST_PORT, frozenset({"port-1"}), CALLER),
    # portmap translates callers of the called pod's own subnet, whichever VM they are on.
    "a host port, from a pod of the node": Row("front-1", "node1", HOST_PORT, frozenset({"port-1"}), "node1"),
    "a host port, from a pod of the other": Row("front-2", "node1", HOST_PORT, frozenset({"port-1"}), "node1"),
    "the host network, from a pod of the node": Row("front-1", "node1", HOST_NETWORK, frozenset(), CALLER),
    "the host network, from a pod of the other": Row("front-2", "node1", HOST_NETWORK, frozenset(), CALLER),
    "the host network, from a VM": Row("client", "node1", HOST_NETWORK, frozenset(), CALLER),
}


def service(name: str, ports: list[Object], **spec: object) -> Object:
    inner = {"selector": {"tier": "back"}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": inner}


def port(number: int, target: int = 80, protocol: str = "TCP", node_port: int = 0) -> Object:
    found = {"name": f"p{number}", "port": number, "targetPort": target, "protocol": protocol}
    return found | ({"nodePort": node_port} if node_port else {})


SERVICES = [
    service("inner", [port(8000), port(8001, 8081, "UDP")]),
    service("myself", [port(8000)], selector={"app": "back-1"}),
    service("sticky", [port(8000)], sessionAffinity="ClientIP"),
    service("near", [port(8000)], internalTrafficPolicy="Local"),
    service("headless", [port(80)], clusterIP="None"),
    service("outer", [port(8000, node_port=30080), port(8001, 8081, "UDP", 30082)], type="NodePort"),
    service("outer-local", [port(8000, node_port=30081)], type="NodePort", externalTrafficPolicy="Local"),
]
SERVE = ("netexec", "--http-port=80", "--udp-port=8081")
PODS = [
    *(pod(f"back-{number}", node=f"node{number}", args=SERVE, labels={"tier": "back"}) for number in (1, 2)),
    *(pod(f"front-{number}", node=f"node{number}") for number in (1, 2)),
    pod("resolver", image=BUSYBOX, args=("sleep", "3600"), port=0),
    pod("host-1", node="node1", args=("netexec", f"--http-port={HOST_NETWORK}"), port=HOST_NETWORK, hostNetwork=True,
        dnsPolicy="ClusterFirstWithHostNet"),
]  # fmt: skip
HOST_PORT_POD = pod("port-1", node="node1")
HOST_PORT_POD["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": HOST_PORT}]


class Questions:
    """A cluster with the pods and Services of the table."""

    def __init__(self, cluster: Cluster, mode: str) -> None:
        self.cluster = cluster
        self.mode = mode
        self.nodes = {node: cluster.node_address(node) for node in cluster.nodes}
        self.addresses: dict[str, str] = dict(self.nodes)
        self.addresses |= {vm: cluster.stage.places[vm].addresses[4] for vm in ("client", "peer")}

    def prepare(self) -> None:
        self.cluster.apply([SPACE])
        accounts = ("-n", NAMESPACE, "get", "serviceaccounts")
        assert eventually(lambda: "default" in self.cluster.kubectl(*accounts, check=False)), "pods wait for it"
        self.cluster.apply([*SERVICES, *PODS, HOST_PORT_POD], NAMESPACE)
        for each in (*PODS, HOST_PORT_POD):
            name = each["metadata"]["name"]
            self.addresses[name] = self.cluster.pod(name, NAMESPACE)

    def ask(self, row: Row, request: str) -> str:
        host = self.nodes.get(row.called, row.called)
        if row.caller in {"client", "peer"}:
            namespace = self.cluster.lab.vm(row.caller)
            return self.cluster.ask_from(namespace, host, f"/{request}", row.port, seconds=10.0)
        own = HOST_NETWORK if row.caller == "host-1" else 80
        return self.cluster.dial(
            row.caller, host, row.port, request, row.protocol, namespace=NAMESPACE, caller_port=own
        )


@pytest.fixture(scope="session", params=["iptables", "nftables"])
def questions(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Questions]:
    cluster.up("--proxy", request.param)
    made = Questions(cluster, cluster.options[cluster.options.index("--mode") + 1])
    made.prepare()
    yield made
    cluster.delete([SPACE])


EVERY = ["transparent", "bridge"]
"""Each is a cluster of its own; without the variable one is enough."""
modes = pytest.mark.parametrize(
    "cluster", EVERY if os.environ.get("PODVNET_KUBERNETES_ALL") else EVERY[:1], indirect=True, scope="session"
)


@modes
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_who_answers_and_whose_address_is_seen(questions: Questions, row: Row) -> None:
    answered, seen = row.expected(questions.mode)
    found: set[str] = set()

    def all_have_answered() -> bool:
        said = questions.ask(row, "hostname")
        found.update({said} if is_answer(said) else set())
        return found >= answered

    # The kernel is told of a new Service and a new endpoint, and names of them are known, in their own time.
    assert eventually(lambda: is_answer(questions.ask(row, "clientip")), PATIENCE), questions.ask(row, "clientip")
    if row.sticky or row.any_of_them:
        found |= {questions.ask(row, "hostname") for _ in range(12)}
        assert found <= answered
        assert len(found) == 1 or row.any_of_them
    elif answered:
        # Nobody else may answer for all that.
        assert eventually(all_have_answered, PATIENCE), f"only {found} answered"
        assert found == answered
    addresses = {questions.ask(row, "clientip").rpartition(":")[0] for _ in range(4)}
    assert addresses <= {questions.addresses[row.caller if each == CALLER else each] for each in seen}


def is_answer(said: str) -> bool:
    return said != "" and not said.startswith("error:")


@modes
def test_a_headless_service_is_the_addresses_of_its_pods(questions: Questions) -> None:
    def answered() -> bool:
        said = questions.cluster.execute(
            "resolver", "nslookup", "headless.kinds.svc.cluster.local", namespace=NAMESPACE, check=False
        )
        return all(f"Address: {questions.addresses[name]}" in said for name in BOTH)

    assert eventually(answered, PATIENCE)  # an earlier answer is kept for half a minute


@modes
def test_a_service_that_is_a_name_elsewhere_leads_there(questions: Questions) -> None:
    cluster = questions.cluster
    suffix = cluster.lab.inside("client", "sed", "-n", "s/^search //p", "/etc/resolv.conf").stdout.strip()
    named = service("named", [], type="ExternalName", externalName=f"client.{suffix}")
    del named["spec"]["selector"], named["spec"]["ports"]
    cluster.apply([named], NAMESPACE)

    def answered() -> bool:
        said = cluster.execute(
            "resolver", "nslookup", f"named.{NAMESPACE}.svc.cluster.local", namespace=NAMESPACE, check=False
        )
        return questions.addresses["client"] in said

    assert eventually(answered, PATIENCE)


@modes
def test_a_pod_reaches_the_api_by_its_service(questions: Questions) -> None:
    def said() -> str:
        return questions.cluster.dial("front-1", "kubernetes.default", 443, namespace=NAMESPACE).strip()

    assert eventually(lambda: said() == "Client sent an HTTP request to an HTTPS server.", PATIENCE), said()
