"""Security groups hold for Services: a pod that a rule closes gets nothing, whichever way it is called by.

Rules name the pod's application security group, or hold for the subnet of all pods. Nodes enforce groups themselves
(``--enforce-groups``), for what stays on a node, or goes to a node's port, the network does not see as the pod's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from podvnet.cluster.fabric_vm import PODVNET, agent_unit
from podvnet.cluster.node import KUBELET_KUBECONFIG
from podvnet.cluster.unit import UNITS
from podvnet.kube.node_rbac import NAMESPACES
from podvnet.testing.application import HOST, INGRESS, Site, ask, ingress
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import Cluster, Object, pod
from podvnet.testing.service_controller import service_controller

GROUP, SECURITY_GROUP, MEMBERS, RULE = "podvnet", "nodes", "guarded", "closes-guarded"
OUTSIDE = "198.51.100.10"
GUARDED, NEAR, FAR = "guarded", "near", "far"
HOST_PORT = 8088
CALLERS_PORT = 8081
"""Where callers that are pods are told whom to ask: no port that a rule closes."""
ANNOTATIONS = {"application-security-groups": MEMBERS, "fixed-ip": "10.1.30.10"}
"""Of the guarded pod. With an address of its own: those that the NIC has from the file are not an agent's to change."""
SECONDS = 2.0
"""For an answer."""
PATIENCE = 120.0
"""For what comes about by itself, on a machine that has much else to do."""
NAMESPACE_READER = "podvnet-namespaces"
RBAC: list[Object] = [
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAMESPACE_READER},
        "rules": [NAMESPACES],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAMESPACE_READER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAMESPACE_READER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
    },
]


class Row(NamedTuple):
    """Who calls, by which way. ``near`` is a pod of the guarded pod's node, ``far`` one of the other."""

    caller: str
    way: str


ROWS = [
    *(Row("internet", way) for way in ("public Service", "public Ingress")),
    *(
        Row(caller, way)
        for caller in ("client", "peer")
        for way in (
            "internal Service",
            "internal Ingress",
            "pod",
            "node port",
            "node port of the other node",
            "local node port",
            "host port",
        )
    ),
    *(
        Row(caller, way)
        for caller in (NEAR, FAR)
        for way in ("cluster address", "pod", "internal Service", "node port", "local node port", "host port")
    ),
]


def service(name: str, **spec: object) -> Object:
    """A Service that leads to the guarded pod."""
    held = {"selector": {"app": GUARDED}, "ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": held}


def balancer(name: str, **annotations: str) -> Object:
    """A Service of type LoadBalancer, with annotations of Azure's."""
    made = service(name, type="LoadBalancer", loadBalancerClass="podvnet.io/pods", allocateLoadBalancerNodePorts=False)
    known = {f"service.beta.kubernetes.io/azure-{key.replace('_', '-')}": text for key, text in annotations.items()}
    made["metadata"]["annotations"] = known
    return made


def guarded_pod() -> Object:
    """The pod, in its application security group, with a port of its node."""
    made = pod(GUARDED, node="node1", annotations={f"podvnet.io/{key}": text for key, text in ANNOTATIONS.items()})
    made["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": HOST_PORT}]
    return made


OBJECTS: list[Object] = [
    service("guarded"),
    service("guarded-port", type="NodePort"),
    service("guarded-port-local", type="NodePort", externalTrafficPolicy="Local"),
    balancer("guarded-public"),
    balancer("guarded-internal", load_balancer_internal="true"),
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "guarded"},
        "spec": {
            "rules": [
                {
                    "host": HOST,
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "guarded", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ]
        },
    },
    guarded_pod(),
    *(
        pod(name, node=node, args=("netexec", f"--http-port={CALLERS_PORT}"), port=CALLERS_PORT)
        for name, node in ((NEAR, "node1"), (FAR, "node2"))
    ),
]


class Guard:
    """The guarded pod, the ways to it, and the rule that closes it."""

    def __init__(self, site: Site, cloud: Cloud) -> None:
        self.cluster = site.cluster
        self.cloud = cloud
        address = self.cluster.pod(GUARDED)
        node1, node2 = (self.cluster.node_address(node) for node in ("node1", "node2"))
        port, local = (self._node_port(name) for name in ("guarded-port", "guarded-port-local"))
        cluster_address = self.cluster.get("service", "guarded")["spec"]["clusterIP"]
        self.ways = {
            "public Service": (site.address("guarded-public"), 80),
            "public Ingress": (site.address("envoy", INGRESS), 80),
            "internal Service": (site.address("guarded-internal"), 80),
            "internal Ingress": (site.address("envoy-internal", INGRESS), 80),
            "pod": (address, 80),
            "cluster address": (cluster_address, 80),
            "node port": (node1, port),
            "node port of the other node": (node2, port),
            "local node port": (node1, local),
            "host port": (node1, HOST_PORT),
        }

    def reaches(self, row: Row) -> bool:
        """Ask the guarded pod once; tell whether it has answered."""
        address, port = self.ways[row.way]
        if row.caller in {NEAR, FAR}:
            return self.cluster.dial(row.caller, address, port, "hostname", caller_port=CALLERS_PORT) == GUARDED
        lab = self.cluster.lab
        descriptor = lab.internet() if row.caller == "internet" else lab.vm(row.caller)
        source = OUTSIDE if row.caller == "internet" else ""
        came = ask(descriptor, address, "/hostname", port=port, source=source, seconds=SECONDS)
        return came.status == HTTPStatus.OK and came.text == GUARDED

    def heard(self) -> int:
        """How often the guarded pod was asked."""
        return self.cluster.kubectl("logs", GUARDED).count("GET /hostname")

    def close(self, destination: Object) -> None:
        """Have the subnet's security group close a destination; return once nodes know."""
        rule = {"priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "Tcp"}
        source = {"sourceAddressPrefix": "*", "sourcePortRange": "*"}
        body: Any = {"properties": rule | source | destination}
        self.cloud.network.security_rules.begin_create_or_update(GROUP, SECURITY_GROUP, RULE, body).result()
        # By several callers: one of them may have gone without an answer because the machine is busy.
        callers = [Row(caller, "pod") for caller in (NEAR, FAR, "client")]
        assert eventually(lambda: not any(map(self.reaches, callers)), PATIENCE)

    def open(self) -> None:
        """Take the rule away; return once nodes know."""
        self.cloud.network.security_rules.begin_delete(GROUP, SECURITY_GROUP, RULE).result()
        assert eventually(lambda: self.reaches(Row(NEAR, "pod")), PATIENCE)

    def _node_port(self, name: str) -> int:
        return int(self.cluster.get("service", name)["spec"]["ports"][0]["nodePort"])


def enforce(cluster: Cluster) -> None:
    """Have nodes' agents carry out what pods' annotations ask for, and enforce groups."""
    for node in cluster.nodes:
        pool = ("--pool-source", "arm", "--pool-max-free", "100000", "--pool-interval", "2")
        asks = ("--kubeconfig", KUBELET_KUBECONFIG, "--node-name", node)
        groups = ("--enforce-groups", "--groups-interval", "1")
        run(cluster, node, *pool, *asks, *groups)


def run(cluster: Cluster, node: str, *options: str) -> None:
    """Run a node's agent with further options."""
    unit = agent_unit()
    unit = replace(unit, argv=(*unit.argv, *options))
    cluster.lab.inside(node, "tee", f"{UNITS}/{unit.name}.json", stdin=json.dumps(unit.document()))
    cluster.lab.inside(node, *PODVNET, "cluster", "keep", "--background")
    assert eventually(lambda: answers(cluster, node, enforcing=bool(options)), PATIENCE)


def answers(cluster: Cluster, node: str, *, enforcing: bool) -> bool:
    """Whether a node's agent serves, and knows the groups if it is to enforce them."""
    said = cluster.lab.inside(node, *PODVNET, "status", "--json", check=False).stdout
    if not said:
        return False
    groups = json.loads(said).get("groups")
    return (groups is not None and not groups["closed"]) if enforcing else groups is None


@pytest.fixture(scope="module")
def guard(cluster: Cluster) -> Iterator[Guard]:
    cloud = cloud_for(cluster.lab, access_for())
    members: Any = {"location": "local"}
    cloud.network.application_security_groups.begin_create_or_update(GROUP, MEMBERS, members).result()
    cluster.apply(RBAC)
    allowed = [f"allow.podvnet.io/{key}" for key in ANNOTATIONS]
    cluster.kubectl("label", "namespace", "default", *(f"{label}=true" for label in allowed), "--overwrite")
    enforce(cluster)
    with service_controller(cluster), ingress(cluster, Path(__file__).with_name("contour.yaml")) as site:
        cluster.apply(OBJECTS)
        for name in (GUARDED, NEAR, FAR):
            cluster.pod(name)
        yield Guard(site, cloud)
        cluster.delete(OBJECTS)
    for node in cluster.nodes:
        run(cluster, node)
    cluster.kubectl("label", "namespace", "default", *(f"{label}-" for label in allowed))
    cluster.delete(RBAC)
    cloud.network.application_security_groups.begin_delete(GROUP, MEMBERS).result()


@dataclass(frozen=True)
class Closed:
    """What came of asking by all ways at once while a rule denied it: who was answered, how often the pod was asked."""

    answered: frozenset[Row]
    heard: int


@pytest.fixture(scope="module", params=["its group", "its subnet's port"])
def closed(request: pytest.FixtureRequest, guard: Guard) -> Iterator[Closed]:
    scope = f"/subscriptions/{guard.cloud.access.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Network"
    members = [{"id": f"{scope}/applicationSecurityGroups/{MEMBERS}"}]
    assert eventually(lambda: guard.reaches(Row(NEAR, "pod")), PATIENCE)
    if request.param == "its group":
        guard.close({"destinationApplicationSecurityGroups": members, "destinationPortRange": "*"})
    else:
        guard.close({"destinationAddressPrefix": "*", "destinationPortRange": "80"})
    # What was asked before the rule held is in the log when that says the same twice.
    assert eventually(lambda: guard.heard() == guard.heard(), PATIENCE)
    before = guard.heard()
    assert before > 0, "the pod does not say that it is asked"
    with ThreadPoolExecutor(len(ROWS)) as pool:
        found = dict(zip(ROWS, pool.map(guard.reaches, ROWS), strict=True))
    yield Closed(frozenset(row for row, answered in found.items() if answered), guard.heard() - before)
    guard.open()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.caller}, {row.way}")
def test_without_a_rule_the_pod_answers(row: Row, guard: Guard) -> None:
    assert eventually(lambda: guard.reaches(row), PATIENCE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.caller}, {row.way}")
def test_under_a_rule_that_denies_the_pod_does_not_answer(row: Row, closed: Closed) -> None:
    assert row not in closed.answered


def test_under_a_rule_that_denies_the_pod_hears_nothing(closed: Closed) -> None:
    assert closed.heard == 0


def test_without_the_rule_the_pod_answers_again(guard: Guard) -> None:
    guard.open()
    assert [row for row in ROWS if not eventually(partial(guard.reaches, row), PATIENCE)] == []
