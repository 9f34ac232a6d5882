"""What an internal load balancer costs: new connections, throughput and round trips, beside haproxy and the direct way.

    scripts/bench balancer [--quick] [--json FILE]

A client VM and two member VMs. The client goes straight to one member, through the fabric's load balancer, or through a
VM where haproxy balances TCP. The three take turns in every round, and each round starts with another, so that what
else the machine does falls on all alike. All of it runs on one core: a figure is what the whole way costs, the members'
and the client's work included. On a busy machine others have that core too, so rates are also given a second of CPU
that client and servers were given. Before anything is measured, each way is seen to lead to the members it should.
Nothing is asserted of times; a failed request ends the run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from balancer_site import WAYS, Site, serving
from rich import box
from rich.console import Console
from rich.table import Table

from podvnet import __version__
from podvnet.linux import sandbox
from podvnet.testing.lab import laboratory

_FILE = Path(__file__).with_name("balancer.yaml")
_OURS = "load balancer"
_SECONDS = 1
"""Of a turn: short, so that the ways of a round meet the same machine."""
_LONGEST = 120.0
"""Seconds after which no round begins."""
_FIGURES = {
    "connections": "new connections/s",
    "connectionsCpu": "new connections/s of CPU",
    "gbit": "Gbit/s, one connection",
    "gbitCpu": "Gbit/s of CPU",
    "roundTrip": "request on an open connection, µs p50",
}

Rounds = dict[str, dict[str, list[float]]]
"""By figure and way, the values of all rounds."""


def measure(site: Site, rounds: int, tell: Callable[[str], None]) -> Rounds:
    """Every figure of every way, by turns; fewer rounds where the machine is too busy for all of them."""
    end = time.monotonic() + _LONGEST
    found: Rounds = {figure: {name: [] for name in WAYS} for figure in _FIGURES}
    names = list(WAYS)
    for number in range(rounds):
        if time.monotonic() > end:
            break
        tell(f"round {number + 1} of {rounds}")
        first = number % len(names)
        turns = names[first:] + names[:first]
        for figure, load in (("connections", site.connections), ("gbit", site.throughput)):
            for name in turns:
                site.forget_flows()
                made = load(WAYS[name], _SECONDS)
                found[figure][name].append(made.rate)
                found[f"{figure}Cpu"][name].append(made.cpu_rate)
        for name in turns:
            found["roundTrip"][name].append(site.round_trip(WAYS[name], _SECONDS))
    return found


def document(found: Rounds) -> dict[str, Any]:
    """Each figure's median, least and most over the rounds, and those of our ratio to the others in each round."""
    return {
        figure: {
            "ways": {name: _spread(values) for name, values in ways.items()},
            "ratios": {
                name: _spread([ours / other for ours, other in zip(ways[_OURS], values, strict=True)])
                for name, values in ways.items()
                if name != _OURS
            },
        }
        for figure, ways in found.items()
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def _show(shown: dict[str, Any], console: Console) -> None:
    about, figures = shown["about"], shown["figures"]
    console.print(
        f"\n{about['rounds']} round(s), {about['seconds']} s a turn, all on one core, podvnet {about['podvnet']},"
        f" haproxy {about['haproxy']}; Linux {about['kernel']}, {about['processors']} processors, load"
        f" {about['loadBefore']:.1f} before and {about['loadAfter']:.1f} after; median (least to most) of the rounds",
        highlight=False,
    )
    table = Table(box=box.SIMPLE)
    peers = [name for name in WAYS if name != _OURS]
    for title in ("", *WAYS, *(f"{_OURS} ÷ {name}" for name in peers)):
        table.add_column(title, justify="right" if title else "left")
    for figure, title in _FIGURES.items():
        digits = 1 if figure.startswith("gbit") else 0
        values = [_three(figures[figure]["ways"][name], digits) for name in WAYS]
        table.add_row(title, *values, *(_three(figures[figure]["ratios"][name], 2) for name in peers))
    console.print(table)


def _three(spread: dict[str, float], digits: int) -> str:
    median, least, most = (f"{spread[key]:,.{digits}f}" for key in ("median", "least", "most"))
    return f"{median} ({least} to {most})"


def _haproxy_version() -> str:
    argv = ["dpkg-query", "--show", "--showformat", "${Version}", "haproxy"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, to see that it runs")
    parser.add_argument("--json", type=Path, default=Path(".cache/bench-balancer.json"), metavar="FILE")
    arguments = parser.parse_args()
    console = Console(width=200)
    if not sandbox.inside():
        raise SystemExit("run it in a bubble: podvnet sandbox -- python benchmarks/balancer.py")
    rounds = 1 if arguments.quick else 9
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory, laboratory(_FILE) as lab:
        # Not before: VMs may have to be booted on another processor, see podvnet.linux.mount_namespace.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        with serving(lab, Path(directory)) as site:
            found = measure(site, rounds, lambda text: console.print(f"[dim]{text}[/dim]"))
    about = {
        "rounds": len(found["gbit"][_OURS]),
        "seconds": _SECONDS,
        "podvnet": __version__,
        "haproxy": _haproxy_version(),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "loadBefore": load_before,
        "loadAfter": os.getloadavg()[0],
    }
    shown = {"about": about, "figures": document(found)}
    _show(shown, console)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(shown, indent=2) + "\n", encoding="utf-8")
    console.print(f"figures: {arguments.json}")


if __name__ == "__main__":
    main()
