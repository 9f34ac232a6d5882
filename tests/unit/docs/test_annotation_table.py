"""The tables of docs/plugin.md about annotations and metrics, and of docs/subnets.md about sizes, executed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from podvnet.agent.ledger_record import PoolCount
from podvnet.agent.metrics import Readings, render
from podvnet.agent.request_tally import RequestTally
from podvnet.cli.main import main
from podvnet.kube.pod_annotations import ask_of, refusal
from podvnet.plan.address_pressure import AddressFigures
from podvnet.plugin.error import CniError

DOCS = Path(__file__).parents[3] / "docs"


def table(document: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    text = (DOCS / document).read_text(encoding="utf-8").split(heading, 1)[1]
    found = re.search(r"^\|(?:.*\n\|)+.*$", text, flags=re.MULTILINE)
    assert found is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()[2:]]


ANNOTATIONS = table("plugin.md", "## Asks by annotations")
SIZES = table("subnets.md", "# How large")


@pytest.mark.parametrize(("annotation", "ask", "label"), ANNOTATIONS, ids=[row[0] for row in ANNOTATIONS])
def test_an_annotation_asks_for_what_the_table_says_and_needs_the_label(annotation: str, ask: str, label: str) -> None:
    annotations = dict(word.split(": ", 1) for word in re.findall("`([^`]+)`", annotation))
    if ask == "refused 7":
        with pytest.raises(CniError) as refused:
            ask_of(annotations, 1)
        assert int(refused.value.code) == 7
        return
    found = ask_of(annotations, 1)
    assert found is not None
    assert found.values() == json.loads(ask.strip("`"))
    assert refusal(annotations, "shop", {}, {}) is not None
    assert refusal(annotations, "shop", {label.strip("`"): "true"}, {}) is None


def test_the_table_of_metrics_has_every_metric() -> None:
    pools = {4: PoolCount(1, 0, 0, 0, 0)}
    every = Readings(True, pools, AddressFigures(1, 0), False, {}, RequestTally(), writes=0, asks={}, cluster=True)
    measured = re.findall(r"^# TYPE (\w+)", render(every), flags=re.MULTILINE)
    assert [row[0].strip("`") for row in table("plugin.md", "## Metrics")] == measured


@pytest.mark.parametrize(("options", "addresses", "subnet"), SIZES, ids=[row[0] for row in SIZES])
def test_a_size_is_what_the_table_says(options: str, addresses: str, subnet: str) -> None:
    words = ["plan", "subnets", *options.strip("`").split(), "--json"]
    answer = CliRunner().invoke(main, words)
    (pool,) = json.loads(answer.stdout)["pools"]
    assert (str(pool["addresses"]), " ".join(pool["smallestSubnet"])) == (addresses, subnet)
