"""An application of three tiers from its plain manifest, reached from everywhere, and whose address each tier sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from podvnet.testing.application import INGRESS, PYTHON, Site, ask, ingress, page, python
from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import Cluster, Object
from podvnet.testing.service_controller import service_controller

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "examples" / "kubernetes" / "three-tier.yaml"
PAGE = ROOT / "docs" / "client-addresses.md"
OUTSIDE = "198.51.100.10"
CALLER = "caller"


class Row(NamedTuple):
    """One of the page's."""

    caller: str
    way: str
    ingress_sees: str
    web_sees: str
    forwarded: str


ROWS = [
    Row(*cells)
    for line in PAGE.read_text("utf-8").splitlines()
    if len(cells := re.findall(r"(?<=\| )[^|]+(?= \|)", line)) == len(Row._fields) and cells[0] != "caller"
]


@dataclass(frozen=True)
class Application:
    """The application, and the addresses that lead to it by the names of ways."""

    site: Site
    ways: dict[str, tuple[str, int]]

    @property
    def cluster(self) -> Cluster:
        return self.site.cluster


@pytest.fixture(scope="module")
def application(cluster: Cluster) -> Iterator[Application]:
    """The manifest as it is, and further Services that lead to its web tier: a node port each way, a local one."""
    cluster.load(PYTHON, python)
    with service_controller(cluster), ingress(cluster, Path(__file__).with_name("contour.yaml")) as site:
        text = MANIFEST.read_text("utf-8")
        more = [
            service("ports", type="NodePort"),
            service("ports-local", type="NodePort", externalTrafficPolicy="Local"),
            local_internal(text),
        ]
        cluster.apply(text)
        cluster.apply(more)
        for what in ("statefulset/data", "deployment/web"):
            cluster.rollout(what)
        cluster.run(CALLER, node="node1")
        yield Application(site, ways(site))
        cluster.delete(text)
        cluster.delete(more)
        cluster.kubectl("delete", "pod", CALLER, "--grace-period=1")


def service(name: str, **spec: object) -> Object:
    """A Service that leads to the web tier."""
    held = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": held}


def local_internal(text: str) -> Object:
    """The manifest's internal Service once more, with the policy that leaves the caller's address alone."""
    objects: list[Any] = list(yaml.safe_load_all(text))
    found: Object = next(each for each in objects if each["metadata"]["name"] == "web-internal")
    return {
        **found,
        "metadata": {**found["metadata"], "name": "web-internal-local"},
        "spec": {**found["spec"], "externalTrafficPolicy": "Local"},
    }


def ways(site: Site) -> dict[str, tuple[str, int]]:
    """Addresses and ports by the names that the page has for them."""

    def node_port(name: str) -> int:
        return int(site.cluster.get("service", name)["spec"]["ports"][0]["nodePort"])

    web = next(iter(site.pods("web").values()))
    return {
        "public Service": (site.address("web-public"), 80),
        "public Ingress": (site.address("envoy", INGRESS), 80),
        "internal Service": (site.address("web-internal"), 80),
        "internal Service, local": (site.address("web-internal-local"), 80),
        "internal Ingress": (site.address("envoy-internal", INGRESS), 80),
        "node port": (str(site.cluster.get("node", "node1")["status"]["addresses"][0]["address"]), node_port("ports")),
        "node port, local": (node_of(site, web), node_port("ports-local")),
        "cluster address": (str(site.cluster.get("service", "web")["spec"]["clusterIP"]), 80),
        "pod": (web, 8080),
    }


def node_of(site: Site, address: str) -> str:
    """The address of the node that has a pod."""
    found = next(each for each in site.cluster.list("pods", "default") if each["status"].get("podIP") == address)
    return str(found["status"]["hostIP"])


def test_the_page_has_every_caller() -> None:
    assert {row.caller for row in ROWS} == {"internet", "peered network", "VM", "pod"}


def test_the_page_of_the_application_is_made_of_all_tiers(application: Application) -> None:
    count, web, caller, *data = answer(application, "internet", "public Service", page()).split()
    assert web in application.site.pods("web")
    assert (int(count) > 0, caller) == (True, OUTSIDE)
    assert {"data-0", "data-1"} <= set(data)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.caller}, {row.way}")
def test_each_tiers_log_tells_who_called(row: Row, application: Application) -> None:
    site, path = application.site, page()
    answer(application, row.caller, row.way, path)
    own = application.cluster.pod(CALLER) if row.caller == "pod" else place(application, row.caller)[1]
    meant = meanings(site, own)
    # Each tier says who has asked before it answers, and the node puts that into its log a moment later.
    assert eventually(lambda: bool(site.log("data", path) and site.log("web", path)), 60.0)
    web = site.log("web", path)
    assert {each.peer for each in web} <= meant[row.web_sees]
    assert {each.forwarded for each in web} <= meant[row.forwarded]
    assert {each.peer for each in site.log("data", path)} <= meant["web"]
    if row.ingress_sees != "-":
        # Envoy writes its log every ten seconds at the latest.
        assert eventually(lambda: bool(site.ingress_log(path)), 90.0)
        assert {each.peer for each in site.ingress_log(path)} <= meant[row.ingress_sees]


def answer(application: Application, caller: str, way: str, path: str) -> str:
    """The page that a caller gets, by a way."""
    address, port = application.ways[way]
    found: list[str] = []

    def answered() -> bool:
        if caller == "pod":
            said = application.cluster.dial(CALLER, address, port, path[1:])
            got = "data-1" in said
        else:
            descriptor, own = place(application, caller)
            came = ask(descriptor, address, path, port=port, source=own)
            said, got = came.text, came.status == HTTPStatus.OK
        found[:] = [said]
        return got

    assert eventually(answered, 120.0), f"{address}:{port}: {found}"
    return found[0]


def place(application: Application, caller: str) -> tuple[int, str]:
    """The namespace and the address of a caller that is no pod."""
    lab = application.cluster.lab
    if caller == "internet":
        return lab.internet(), OUTSIDE
    name = {"peered network": "peer", "VM": "client"}[caller]
    return lab.vm(name), application.cluster.stage.places[name].addresses[4]


def meanings(site: Site, own: str) -> dict[str, set[str]]:
    """The addresses that the words of the page stand for."""
    nodes = {each["address"] for node in site.cluster.list("node") for each in node["status"]["addresses"]}
    return {
        "itself": {own},
        "node": nodes,
        "ingress": {*site.pods("envoy", INGRESS).values()},
        "web": {*site.pods("web").values()},
        "outbound": {outbound(site)},
        "-": {"-"},
    }


def outbound(site: Site) -> str:
    """The public address that the VM ``client`` calls others with."""
    shown = next(each for each in site.cluster.lab.status()["virtualMachines"] if each["name"] == "client")
    return str(shown["nics"][0]["outbound"])
