"""The mutants of the differential runs follow the sources that they spoil."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MUTANTS = yaml.safe_load((ROOT / "tests/differential/mutants.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", MUTANTS)
def test_what_a_mutant_spoils_stands_once_in_its_file(file: str) -> None:
    text = (ROOT / "src/podvnet" / file).read_text(encoding="utf-8")
    counts = {name: text.count(mutant["is"]) for name, mutant in MUTANTS[file].items()}
    assert {name: count for name, count in counts.items() if count != 1} == {}
    assert all(mutant["is"] != mutant["becomes"] for mutant in MUTANTS[file].values())
