"""Does the comparison notice a rule that is compiled wrongly? One branch at a time is spoilt in a copy of the sources.

Every mutant must be caught: packets go another way than the evaluator says, or the kernel refuses what is compiled.
What the evaluator shares with the compilers (effective routes, what service tags mean) cannot be caught by comparing
the two; tables of cases in tests/unit hold that. Left out as well are lines without which packets have the same fate by
another line (those tell counters apart), and which conntrack zone a leg beside an appliance has: first packets and
their replies pass as long as the legs to the internet are apart.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from podvnet.linux import sandbox

ROOT = Path(__file__).parents[2]
PACKAGE = "src/podvnet"
SURVIVED, BY_PACKETS, REFUSED = "SURVIVED", "packets", "refused"
_TIMEOUT = 900


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutant: in ``file``, ``before`` becomes ``after``."""

    file: str
    name: str
    before: str
    after: str

    def spoilt(self, package: Path) -> str:
        """The text of the file below ``package``, spoilt.

        Raises:
            ValueError: the file does not hold the text once; the mutant must follow the sources.
        """
        text = (package / self.file).read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise ValueError(f"mutant {self.name!r}: {self.file} holds its text {text.count(self.before)} times")
        return text.replace(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of some sources: whether and how they were caught, and what was said last."""

    how: str
    last_line: str


def read_mutants() -> Iterator[Mutant]:
    """Those of mutants.yaml."""
    content = yaml.safe_load(Path(__file__).with_name("mutants.yaml").read_text(encoding="utf-8"))
    for file, mutants in content.items():
        for name, texts in mutants.items():
            yield Mutant(file, name, texts["is"], texts["becomes"])


def try_mutant(mutant: Mutant | None, topologies: int, seed: int) -> Fate:
    """Compare with a copy of the sources, which ``mutant`` has spoilt."""
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(ROOT / "src", Path(directory) / "src")
        if mutant:
            package = Path(directory) / PACKAGE
            (package / mutant.file).write_text(mutant.spoilt(package), encoding="utf-8")
        program = [sys.executable, str(ROOT / "tests/differential/nightly.py"), "--as-drawn"]
        command = [sys.executable, "-m", "podvnet", "sandbox", "--", *program]
        done = subprocess.run(
            [*command, "--topologies", str(topologies), "--seed", str(seed)],
            env=os.environ | {"PYTHONPATH": str(Path(directory) / "src")},
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT,
        )
    said = done.stdout + done.stderr
    how = SURVIVED if done.returncode == 0 else BY_PACKETS if "go other ways than" in said else REFUSED
    return Fate(how, (said.strip().splitlines() or ["it said nothing"])[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topologies", type=int, default=300, help="with how many a mutant must be caught")
    parser.add_argument("--seed", type=int, default=100, help="with which")
    parser.add_argument("--only", default="", help="a part of the names of those to try")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="so many at a time")
    options = parser.parse_args()
    if obstacle := sandbox.obstacle():
        parser.error(obstacle)
    chosen = [each for each in read_mutants() if options.only in each.name]
    for each in chosen:
        each.spoilt(ROOT / PACKAGE)
    print_fate("the sources as they are", base := try_mutant(None, options.topologies, options.seed))
    if base.how != SURVIVED:
        parser.error("what is not spoilt must not be caught, or the rest says nothing")
    survivors = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        fates = pool.map(lambda each: try_mutant(each, options.topologies, options.seed), chosen)
        for mutant, fate in zip(chosen, fates, strict=True):
            survivors += fate.how == SURVIVED
            print_fate(f"{mutant.file}: {mutant.name}", fate)
    sys.stdout.write(f"{len(chosen)} mutants, {survivors} survived\n")
    sys.exit(1 if survivors else 0)


def print_fate(name: str, fate: Fate) -> None:
    detail = f": {fate.last_line}" if fate.how == REFUSED else ""
    sys.stdout.write(f"{fate.how:8} {name}{detail}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
