"""Who stands behind a port of a Service."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest

from podvnet.kube.endpoint_pool import members, read_slice
from podvnet.kube.service import Document, Port

READY: dict[str, Any] = {"ready": True}
STARTING: dict[str, Any] = {"ready": False, "serving": False}
LINGERING: dict[str, Any] = {"ready": False, "serving": True, "terminating": True}
GONE: dict[str, Any] = {"ready": False, "serving": False, "terminating": True}


def slice_of(
    port: int | None, *endpoints: tuple[str, dict[str, Any]], kind: str = "IPv4", name: str = "web"
) -> Document:
    return {
        "metadata": {"namespace": "default", "labels": {"kubernetes.io/service-name": "shop"}},
        "addressType": kind,
        "ports": [{"name": name, "protocol": "TCP", "port": port}],
        "endpoints": [
            {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "name": f"pod-{address}"}}
            for address, conditions in endpoints
        ],
    }


@dataclass(frozen=True)
class Row:
    sentence: str
    slices: list[Document]
    addresses: tuple[str, ...]
    number: int | None = 8080
    misfits: tuple[str, ...] = ()
    target: int | str = 8080
    version: int = 4


ROWS = [
    Row("ready ones", [slice_of(8080, ("10.0.0.1", READY), ("10.0.0.2", STARTING))], ("10.0.0.1",)),
    Row("no word on readiness is a yes", [slice_of(8080, ("10.0.0.1", {}))], ("10.0.0.1",)),
    Row(
        "an end is no reason while none is ready",
        [slice_of(8080, ("10.0.0.1", LINGERING), ("10.0.0.2", GONE))],
        ("10.0.0.1",),
    ),
    Row("while one is, it is", [slice_of(8080, ("10.0.0.1", LINGERING), ("10.0.0.2", READY))], ("10.0.0.2",)),
    Row(
        "of both slices, each once",
        [slice_of(8080, ("10.0.0.1", READY)), slice_of(8080, ("10.0.0.1", READY), ("10.0.0.2", READY))],
        ("10.0.0.1", "10.0.0.2"),
    ),
    Row("of the version that is asked for", [slice_of(8080, ("10.0.0.1", READY))], (), version=6),
    Row(
        "a name is what most mean by it",
        [slice_of(8080, ("10.0.0.1", READY), ("10.0.0.2", READY)), slice_of(9090, ("10.0.0.3", READY))],
        ("10.0.0.1", "10.0.0.2"),
        misfits=("pod-10.0.0.3",),
        target="web",
    ),
    Row(
        "of as many, the lower number",
        [slice_of(9090, ("10.0.0.3", READY)), slice_of(8080, ("10.0.0.1", READY))],
        ("10.0.0.1",),
        misfits=("pod-10.0.0.3",),
        target="web",
    ),
    Row("nobody says what a name means", [], (), number=None, target="web"),
    Row("a number needs nobody", [], ()),
    Row("a port of another name is another", [slice_of(7070, ("10.0.0.1", READY), name="more")], ()),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.sentence)
def test_the_members_of_a_port(row: Row) -> None:
    slices = [one for each in row.slices if (one := read_slice(each))]
    found = members(slices, Port("web", "TCP", 80, row.target), row.version)
    assert found.addresses == frozenset(map(ip_address, row.addresses))
    assert found.target == row.number
    assert found.misfits == row.misfits


def test_a_slice_of_names_or_of_no_service_is_passed_over() -> None:
    assert read_slice(slice_of(80, kind="FQDN")) is None
    assert read_slice({"metadata": {"namespace": "default"}, "addressType": "IPv4"}) is None
