"""``podvnet plan`` goes on to take a file; ``podvnet plan subnets`` says sizes to people and programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from podvnet.cli.main import main

EXAMPLE = Path(__file__).parents[3] / "examples" / "two-subnets.yaml"


def podvnet(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    "words", [(str(EXAMPLE), "--json"), ("--json", str(EXAMPLE)), ("file", str(EXAMPLE), "--json")]
)
def test_a_file_is_planned_with_and_without_the_word(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODVNET_STATE", str(tmp_path))
    monkeypatch.setattr("podvnet.cli.client.RUN", tmp_path)
    answer = podvnet("plan", *words)
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["resources"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    answer = podvnet("plan", str(tmp_path / "subnet.yaml"))
    assert answer.exit_code == 1
    assert "subnet.yaml" in answer.output


def test_sizes_of_pools_as_a_table_and_as_json() -> None:
    words = ("plan", "subnets", "--nodes", "50", "--pods", "30", "--surge", "1", "--pool", "jobs=2x250")
    assert "1581        /21" in podvnet(*words).output
    pools = {each["name"]: each for each in json.loads(podvnet(*words, "--json").stdout)["pools"]}
    assert pools["nodes"] == {
        "name": "nodes", "nodes": 50, "surge": 1, "podsPerNode": 30, "addresses": 1581, "smallestSubnet": ["/21"],
        "configurationsPerNode": 31,
    }  # fmt: skip
    assert (pools["jobs"]["addresses"], pools["jobs"]["smallestSubnet"]) == (753, ["/22"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "there is nothing to plan"),
        (("--nodes", "3", "--pool", "web"), "not of the form NAME=NODESxPODS"),
        (("--nodes", "3", "--surge", "many"), "is no number of nodes, nor percent"),
        (("--nodes", "100", "--pods", "250"), "a virtual network has up to 16000"),
        (("--pool", "a=40x200", "--pool", "b=40x200", "--surge", "1"), "these are 16400 pods"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, ...], message: str) -> None:
    answer = podvnet("plan", "subnets", *words)
    assert answer.exit_code == 1
    assert message in answer.output
