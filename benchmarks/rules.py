"""What the change of one security rule costs in a small virtual network and in a whole one.

    podvnet sandbox -- python benchmarks/rules.py [--quick]

64 VMs with a NIC each, all under one security group: at first with 100 addresses, then with 16,000. A rule is changed
by PUT, over and over; an answer comes when the kernel holds what was asked for, so its time is that to enforcement.
Nothing is asserted of times; a call that is refused ends the run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api_client import Call, one_after_another
from azure_side import AzureSide
from report import percentile
from rich import box
from rich.console import Console
from rich.table import Table

from podvnet import __version__
from podvnet.linux import sandbox

_NETWORK, _GROUP = "network", "guard"
_SMALL = 100
_SECONDARIES = 250


class _Bench:
    def __init__(self, side: AzureSide, nics: int, changes: int, console: Console) -> None:
        self._side = side
        self._nics = nics
        self._changes = changes
        self._console = console

    def measure(self, sizes: Sequence[int]) -> list[dict[str, Any]]:
        """The figures, of groups with so many rules, in the small network and in the large one."""
        side = self._side
        side.make_network(_NETWORK, "10.0.0.0/16")
        self._call(side.make_security_group(_GROUP, sizes[0]))
        spare = _SMALL - self._nics
        self._console.print(f"{self._nics} VMs with {_SMALL} addresses …")
        shares = [spare // self._nics + (number < spare % self._nics) for number in range(self._nics)]
        self._call(*(side.make_nic(_NETWORK, f"nic{n}", share, _GROUP) for n, share in enumerate(shares)))
        self._call(*(side.make_machine(f"vm{n}", f"nic{n}") for n in range(self._nics)))
        found = [self._one(size, _SMALL) for size in sizes]
        self._console.print(f"{self._nics} VMs with {self._nics * _SECONDARIES} addresses …")
        full = _SECONDARIES - 1
        self._call(*(side.make_nic(_NETWORK, f"nic{n}", full, _GROUP) for n in range(self._nics)))
        return found + [self._one(size, self._nics * _SECONDARIES) for size in sizes]

    def _one(self, rules: int, addresses: int) -> dict[str, Any]:
        side = self._side
        self._call(side.make_security_group(_GROUP, rules))
        before, cpu = len(side.changes()), side.service.cpu()
        calls = [side.make_rule(_GROUP, rules // 2, allow=number % 2 == 0) for number in range(self._changes)]
        walls = sorted(one_after_another(side.client, calls).walls)
        changes = side.changes()[before:]
        return {
            "rules": rules,
            "addresses": addresses,
            "p50": round(statistics.median(walls) * 1000, 3),
            "p95": round(percentile(walls, 95) * 1000, 3),
            "cpu": round((side.service.cpu() - cpu) / len(walls) * 1000, 3),
            "parts": {part: round(statistics.median(each[part] for each in changes), 3) for part in changes[0]},
        }

    def _call(self, *calls: Call) -> None:
        one_after_another(self._side.client, calls)


def _show(document: dict[str, Any], console: Console) -> None:
    about, found = document["about"], document["figures"]
    console.print(
        f"\nOne rule changed, {about['nics']} NICs under the group, podvnet {about['podvnet']}; Linux"
        f" {about['kernel']}, {about['processors']} processors, load {about['loadBefore']:.1f} before and"
        f" {about['loadAfter']:.1f} after",
        highlight=False,
    )
    table = Table(box=box.SIMPLE)
    parts = list(found[0]["parts"])
    for title in ("rules", "addresses", "p50 ms", "p95 ms", "CPU ms", *(f"{part} ms" for part in parts), "ratio"):
        table.add_column(title, justify="right")
    first = {each["rules"]: each["p50"] for each in reversed(found)}
    for each in sorted(found, key=lambda one: one["rules"]):
        figures = [f"{each[key]:.2f}" for key in ("p50", "p95", "cpu")]
        split = [f"{each['parts'][part]:.2f}" for part in parts]
        ratio = f"{each['p50'] / first[each['rules']]:.2f}"
        table.add_row(str(each["rules"]), f"{each['addresses']:,}", *figures, *split, ratio)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=200, help="changes of a rule in each case")
    parser.add_argument("--nics", type=int, default=64, help="VMs with a NIC (8 to 64)")
    parser.add_argument("--quick", action="store_true", help="8 VMs and 40 changes in each case")
    parser.add_argument("--json", type=Path, default=Path(".cache/bench-rules.json"), metavar="FILE")
    arguments = parser.parse_args()
    console = Console(width=160)
    if not sandbox.inside():
        raise SystemExit("run it in a bubble: podvnet sandbox -- python benchmarks/rules.py")
    nics, changes = (8, 40) if arguments.quick else (arguments.nics, arguments.changes)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory:
        side = AzureSide(Path(directory) / "fabric.log")
        try:
            figures = _Bench(side, nics, changes, console).measure((10, 1000))
        finally:
            side.close()
    about = {
        "nics": nics,
        "changes": changes,
        "podvnet": __version__,
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "loadBefore": load_before,
        "loadAfter": os.getloadavg()[0],
    }
    document = {"about": about, "figures": figures}
    _show(document, console)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    console.print(f"figures: {arguments.json}")


if __name__ == "__main__":
    main()
