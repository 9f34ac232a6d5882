"""What was measured, for people and for programs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from case import Case
from node import Block
from rich import box
from rich.console import Console
from rich.table import Table

_FLATNESS_SHARE = 10


@dataclass
class Figures:
    """Everything measured of one case. The lists of blocks hold a block of each part of each round."""

    case: Case
    add: list[list[Block]] = field(default_factory=list)
    delete: list[list[Block]] = field(default_factory=list)
    add_at_once: list[Block] = field(default_factory=list)
    delete_at_once: list[Block] = field(default_factory=list)
    memory: int = 0

    def document(self) -> dict[str, Any]:
        """The figures; milliseconds, except where a name says otherwise."""
        add = [block for part in self.add for block in part]
        delete = [block for part in self.delete for block in part]
        found: dict[str, Any] = {
            "ipMasq": self.case.masquerade,
            "add": _spread(add),
            "delete": _spread(delete),
            "addAtOnce": _spread(self.add_at_once) | {"perSecond": _rate(self.add_at_once)},
            "deleteAtOnce": _spread(self.delete_at_once) | {"perSecond": _rate(self.delete_at_once)},
            "lastOverFirst": _flatness(self.add),
        }
        if self.memory:
            found["agentBytes"] = self.memory
        return found


def _spread(blocks: Sequence[Block]) -> dict[str, float]:
    samples = [sample for block in blocks for sample in block.samples]
    walls = sorted(sample.wall for sample in samples)
    return {
        "p50": _rounded(statistics.median(walls)),
        "p95": _rounded(percentile(walls, 95)),
        "p99": _rounded(percentile(walls, 99)),
        "cpu": _rounded(sum(sample.cpu for sample in samples) / len(samples)),
        "agentCpu": _rounded(sum(block.agent for block in blocks) / len(samples)),
        "count": len(samples),
    }


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that ``percent`` of the values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _rate(blocks: Sequence[Block]) -> float:
    return round(sum(len(block.samples) for block in blocks) / sum(block.elapsed for block in blocks), 1)


def _flatness(rounds: list[list[Block]]) -> float:
    """Median of the last tenth of the pods over the median of the first tenth."""
    first: list[float] = []
    last: list[float] = []
    for blocks in rounds:
        walls = [sample.wall for block in blocks for sample in block.samples]
        share = max(1, len(walls) // _FLATNESS_SHARE)
        first += walls[:share]
        last += walls[-share:]
    return round(statistics.median(last) / statistics.median(first), 2)


def _rounded(seconds: float) -> float:
    return round(seconds * 1000, 3)


def floor_document(floors: dict[str, list[float]]) -> dict[str, Any]:
    """Median and 95th percentile of each floor."""
    return {
        name: {"p50": _rounded(statistics.median(walls)), "p95": _rounded(percentile(sorted(walls), 95))}
        for name, walls in floors.items()
    }


def ratios(cases: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Ours over each peer; of rates the same way round, so less is better only for the times."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for ours in (title for title in cases if title.startswith("podvnet")):
        for peer in (title for title in cases if not title.startswith("podvnet")):
            one, other = cases[ours], cases[peer]
            found.setdefault(ours, {})[peer] = {
                "addP50": round(one["add"]["p50"] / other["add"]["p50"], 4),
                "addP99": round(one["add"]["p99"] / other["add"]["p99"], 4),
                "addCpu": round(_cpu(one["add"]) / _cpu(other["add"]), 4),
                "deleteP50": round(one["delete"]["p50"] / other["delete"]["p50"], 4),
                "addPerSecond": round(one["addAtOnce"]["perSecond"] / other["addAtOnce"]["perSecond"], 1),
                "deletePerSecond": round(one["deleteAtOnce"]["perSecond"] / other["deleteAtOnce"]["perSecond"], 1),
            }
    return found


def _cpu(spread: dict[str, float]) -> float:
    return spread["cpu"] + spread["agentCpu"]


def show(document: dict[str, Any], console: Console) -> None:
    """Print everything."""
    about = document["about"]
    console.print(
        f"\n{about['pods']} pods a node, {about['rounds']} round(s), one after another and {about['width']} at once;"
        f" containernetworking-plugins {about['peers']}, podvnet {about['podvnet']} ({about['shim']} shim);"
        f" Linux {about['kernel']}, {about['processors']} processors, load {about['loadBefore']:.1f} before"
        f" and {about['loadAfter']:.1f} after",
        highlight=False,
    )
    _show_cases(document, console)
    if document["ratios"]:
        _show_ratios(document, console)
    floors = " · ".join(f"{name} {value['p50']:.2f}" for name, value in document["floors"].items())
    console.print(f"floors, ms p50: {floors}", highlight=False)


def _show_cases(document: dict[str, Any], console: Console) -> None:
    table = Table(
        title="Attach and detach, ms: p50 / p95 / p99; mean CPU of plug-in + agent; MiB: the agent's memory",
        box=box.SIMPLE_HEAD,
    )
    for name in ("", "ipMasq", "ADD", "CPU", "DEL", "CPU", "last/first", "x8 ADD/s", "x8 DEL/s", "MiB"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for title, found in document["cases"].items():
        memory = f"{found['agentBytes'] / 2**20:.0f}" if "agentBytes" in found else ""
        table.add_row(
            title,
            "yes" if found["ipMasq"] else "no",
            _three(found["add"]),
            _two(found["add"]),
            _three(found["delete"]),
            _two(found["delete"]),
            f"{found['lastOverFirst']:.2f}",
            f"{found['addAtOnce']['perSecond']:.0f}",
            f"{found['deleteAtOnce']['perSecond']:.0f}",
            memory,
        )
    console.print(table)


def _show_ratios(document: dict[str, Any], console: Console) -> None:
    table = Table(title="Ours ÷ theirs", box=box.SIMPLE_HEAD)
    names = ("", "ADD p50", "ADD p99", "ADD CPU", "DEL p50", "x8 ADD/s", "x8 DEL/s")
    for name in names:
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for ours, peers in document["ratios"].items():
        for peer, ratio in peers.items():
            times = (f"1/{1 / ratio[key]:.1f}" for key in ("addP50", "addP99", "addCpu", "deleteP50"))
            rates = (f"{ratio[key]:.0f}x" for key in ("addPerSecond", "deletePerSecond"))
            table.add_row(f"{ours} ÷ {peer}", *times, *rates)
    console.print(table)


def _three(spread: dict[str, float]) -> str:
    return " / ".join(_short(spread[key]) for key in ("p50", "p95", "p99"))


def _two(spread: dict[str, float]) -> str:
    own = _short(spread["cpu"])
    return f"{own} + {_short(spread['agentCpu'])}" if spread["agentCpu"] else own


def _short(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:.1f}"
