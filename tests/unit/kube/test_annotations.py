"""The table of annotations of docs/services.md, executed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podvnet.kube.annotations import PORT_TABLE, PREFIX, TABLE, Standing
from podvnet.testing.memory_cluster import MemoryCluster
from podvnet.testing.service_stage import ServiceStage

TEXT = (Path(__file__).parents[3] / "docs" / "services.md").read_text(encoding="utf-8")
SECTION = TEXT.split("\n## Annotations\n", 1)[1].split("\n## ", 1)[0]
ROWS: list[tuple[str, str, str, str]] = re.findall(
    r"^\| `(\S+)` \| (.+?) \| (.+?) \| `(.+?)` \|$", SECTION, flags=re.MULTILINE
)
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/podvnet/providers/Microsoft.Network"
WORDS = {"prefix": f"{GROUP}/publicIPPrefixes/run", "prefix6": f"{GROUP}/publicIPPrefixes/run6"}


def prepared(stage: ServiceStage, examples: str) -> MemoryCluster:
    """A Service with the annotations of an example, served."""
    pairs = (each.partition(": ") for each in re.findall(r"`([^`]+)`", examples))
    annotations = {f"{PREFIX}{name}": value.format_map(WORDS) for name, _, value in pairs}
    ports = [
        {"name": "http", "port": 80},
        {"name": "https", "port": 443},
        {"name": "talk", "port": 53, "protocol": "UDP"},
    ]
    stage.cluster.put("web", ports, annotations, ipFamilies=["IPv4", "IPv6"])
    stage.cluster.serve("web", "10.1.0.11", "fd00:1::11")
    stage.settle()
    return stage.cluster


def found(stage: ServiceStage, kind: str) -> Iterator[Any]:
    """Everything of a kind that was made for the Service."""
    for internal in (False, True):
        balancer = stage.balancer(internal=internal)
        lists = {"rule": "loadBalancingRules", "probe": "probes", "frontend": "frontendIPConfigurations"}
        yield from (each["properties"] for each in balancer.get(lists.get(kind, ""), []))
    if kind == "security":
        yield from stage.security()
    if kind == "public":
        yield from (
            {**each["properties"], "tags": each.get("tags"), "id": each["id"]} for each in stage.publics().values()
        )


def has(document: Any, path: str, value: str) -> bool:
    for step in path.split("."):
        if isinstance(document, list):
            document = document[int(step)] if int(step) < len(document) else None
        elif isinstance(document, dict):
            document = document.get(step)
    parts = value.split("…")
    text = str(document)
    return text == value or (len(parts) > 1 and all(each in text for each in parts) and text.endswith(parts[-1]))


def test_the_table_has_every_annotation_and_says_what_becomes_of_it() -> None:
    listed = {name: said for name, said, _, _ in ROWS}
    known = {each.name.removeprefix(PREFIX): each for each in TABLE.values()}
    known |= {f"port_N_{each.name}": each for each in PORT_TABLE.values()}
    assert listed.keys() == known.keys()
    for name, said in listed.items():
        begin = "`true` is" if name == "azure-disable-load-balancer-floating-ip" else known[name].standing.value
        assert said.startswith(begin), name


@pytest.mark.parametrize(("name", "examples", "outcome"), [(row[0], *row[2:]) for row in ROWS], ids=lambda each: each)
def test_an_annotation_comes_to_what_the_table_says(
    stage: ServiceStage, name: str, examples: str, outcome: str
) -> None:
    cluster = prepared(stage, examples)
    if outcome.startswith("Event "):
        said = [each for each in cluster.events["web"] if each.reason == outcome.removeprefix("Event ")]
        assert len(said) == 1
        assert name in said[0].message
        refused = TABLE[f"{PREFIX}{name}"].standing is not Standing.NO_EFFECT
        assert said[0].warning is refused
        assert bool(stage.leftovers()) is not refused, "what is refused makes nothing"
        return
    expected = not outcome.startswith("no ")
    kind, path, value = re.fullmatch(r"(\S+) (\S+) = (.+)", outcome.removeprefix("no ")).groups()  # type: ignore[union-attr]
    assert any(has(each, path, value) for each in found(stage, kind)) is expected
    assert stage.reasons("web") == set()
    assert len(cluster.addresses("web")) == 2


@pytest.mark.parametrize(("name", "examples", "outcome"), [(row[0], *row[2:]) for row in ROWS], ids=lambda each: each)
def test_without_the_annotation_it_does_not(stage: ServiceStage, name: str, examples: str, outcome: str) -> None:
    rest = ", ".join(each for each in re.findall(r"`[^`]+`", examples) if not named(each, name))
    cluster = prepared(stage, rest)
    if outcome.startswith("Event "):
        assert outcome.removeprefix("Event ") not in {each.reason for each in cluster.events["web"]}
        return
    expected = outcome.startswith("no ")
    kind, path, value = re.fullmatch(r"(\S+) (\S+) = (.+)", outcome.removeprefix("no ")).groups()  # type: ignore[union-attr]
    assert any(has(each, path, value) for each in found(stage, kind)) is expected


def named(example: str, name: str) -> bool:
    return re.sub(r"port_\d+_", "port_N_", example.strip("`").partition(":")[0]) == name


def test_an_annotation_that_there_is_not_is_passed_over_and_said(stage: ServiceStage) -> None:
    cluster = prepared(stage, "`azure-load-balancer-internel: true`, `port_81_no_lb_rule: true`")
    said = [each.message for each in cluster.events["web"] if each.reason == "UnknownAnnotation"]
    assert len(said) == 2
    assert "internel" in said[0]
    assert "no such port" in said[1]
    assert cluster.addresses("web")
