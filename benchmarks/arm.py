"""What the resource manager costs at the size of a whole virtual network, beside moto's EC2 in the same run.

    podvnet sandbox -- python benchmarks/arm.py [--quick] [--ours]

64 VMs, each with a NIC of 250 secondary ip-configurations: 16,000 in one virtual network. Both sides take turns. Calls
go by the standard library's HTTP connection: ours by TLS with a token, moto's in the clear without one. moto keeps
objects and moves no packet; our answers come when the kernel holds what was asked for. Nothing is asserted of times; a
call that is refused, or a network that is not recovered whole, ends the run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import arm_report as report
from api_client import Block, Call, Reply, at_once, one_after_another
from azure_side import AzureSide
from moto_side import PROGRAM, MotoSide
from rich.console import Console

from podvnet import __version__
from podvnet.linux import sandbox

_WIDTH = 8
_PARTS = 8
_READS = 24
_SECONDARIES = 250
_BIG, _SMALL = "big", "small"


@dataclass
class _Turns:
    """The calls of one side as they were made, a part each turn, and the seconds of CPU its server spent on each."""

    side: AzureSide | MotoSide
    calls: list[Call]
    parts: list[Block] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def replies(self) -> list[Reply]:
        return [reply for part in self.parts for reply in part.replies]

    def take(self, number: int, width: int) -> None:
        """Make the calls of a turn."""
        share = self.calls[number * len(self.calls) // _PARTS : (number + 1) * len(self.calls) // _PARTS]
        before = self.side.service.cpu()
        made = at_once(self.side.client, share, width) if width > 1 else one_after_another(self.side.client, share)
        self.cpu.append(self.side.service.cpu() - before)
        self.parts.append(made)


@dataclass
class _Bench:
    """Both sides, and what was measured of each. Without the peer there is one side."""

    ours: AzureSide
    moto: MotoSide | None
    nics: int
    small: int
    console: Console
    figures: dict[str, dict[str, Any]] = field(default_factory=lambda: {"podvnet": {}, "moto": {}})

    def measure(self) -> dict[str, Any]:
        """Measure everything; return the figures by side."""
        self._memory("empty")
        self._small_nics()
        self._full_nics()
        self._memory("full")
        self._beside()
        self.console.print("restarts …")
        ours = self.figures["podvnet"]
        ours["restart"] = {"kernelKept": self.ours.restart(), "afterReboot": self.ours.restart_after_reboot()}
        ours["memory"]["restarted"] = self.ours.service.memory()
        ours["firstRead"] = self.ours.client.call(self.ours.get_nic("nic0")).wall
        return self.figures if self.moto else {"podvnet": ours}

    def _small_nics(self) -> None:
        self.console.print(f"{self.small} NICs of one address, one after another and {_WIDTH} at once …")
        self.ours.make_network(_SMALL, "10.2.0.0/16")
        if self.moto:
            self.moto.make_network(_SMALL, "10.2.0.0/16")
        for key, prefix, width in (("small", "one", 1), ("smallAtOnce", "many", _WIDTH)):
            calls = [self.ours.make_nic(_SMALL, f"{prefix}{number}") for number in range(self.small)]
            blocks = self._both(key, calls, [self.moto.make_nic(_SMALL)] * self.small if self.moto else None, width)
            gone = [self.ours.delete_nic(f"{prefix}{number}") for number in range(self.small)]
            moto_gone = [self.moto.delete_nic(reply.body) for reply in blocks[1].replies] if self.moto else None
            self._both("delete", gone, moto_gone)

    def _full_nics(self) -> None:
        ours, moto = self.ours, self.moto
        self.console.print(f"{self.nics} VMs, then {_SECONDARIES} secondary addresses on each NIC …")
        ours.make_network(_BIG, "10.1.0.0/16")
        self._both("bare", [ours.make_nic(_BIG, f"nic{number}") for number in range(self.nics)])
        self._both("machines", [ours.make_machine(f"vm{number}", f"nic{number}") for number in range(self.nics)])
        if moto:
            moto.make_network(_BIG, "10.1.0.0/16")
        before = len(ours.changes())
        calls = [ours.make_nic(_BIG, f"nic{number}", _SECONDARIES) for number in range(self.nics)]
        blocks = self._both("full", calls, [moto.make_nic(_BIG, _SECONDARIES)] * self.nics if moto else None)
        changes = ours.changes()[before:]
        self.figures["podvnet"]["parts"] = {
            part: round(statistics.median(change[part] for change in changes), 3) for part in changes[0]
        }
        if moto:
            self.figures["moto"]["addresses"] = sum(moto.addresses(reply.body) for reply in blocks[1].replies)
        moto_reads = [moto.get_nic(blocks[1].replies[0].body)] * _READS if moto else None
        self._both("getNic", [ours.get_nic("nic0")] * _READS, moto_reads)
        network = self._both("getNetwork", [ours.get_network(_BIG)] * _READS)
        subnet = json.loads(network[0].replies[0].body)["properties"]["subnets"][0]["properties"]
        self.figures["podvnet"]["addresses"] = len(subnet["ipConfigurations"])

    def _beside(self) -> None:
        calls = [self.ours.make_nic(_BIG, f"beside{number}") for number in range(self.small // 2)]
        self._both("smallBeside", calls, [self.moto.make_nic(_BIG)] * len(calls) if self.moto else None)

    def _both(self, key: str, ours: list[Call], moto: list[Call] | None = None, width: int = 1) -> list[_Turns]:
        """Both sides make their calls, by turns, so that whatever else the machine does hits both alike."""
        sides = [_Turns(self.ours, ours)]
        if self.moto and moto:
            sides.append(_Turns(self.moto, moto))
        for number in range(_PARTS):
            for side in sides:
                side.take(number, width)
        for name, made in zip(self.figures, sides, strict=False):
            self.figures[name][key] = report.figures(made.parts, made.cpu)
        return sides

    def _memory(self, when: str) -> None:
        for side, found in (("podvnet", self.ours), ("moto", self.moto)):
            if found:
                self.figures[side].setdefault("memory", {})[when] = found.service.memory()


def _about(nics: int, small: int, load_before: float) -> dict[str, Any]:
    return {
        "nics": nics,
        "secondaries": _SECONDARIES,
        "small": small,
        "width": _WIDTH,
        "podvnet": __version__,
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "loadBefore": load_before,
        "loadAfter": os.getloadavg()[0],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nics", type=int, default=64, help="VMs with a NIC of 250 secondary addresses (8 to 64)")
    parser.add_argument("--small", type=int, default=400, help="NICs of one address, in each way")
    parser.add_argument("--quick", action="store_true", help="8 VMs and 50 NICs of one address")
    parser.add_argument("--ours", action="store_true", help="without the peer")
    parser.add_argument("--json", type=Path, default=Path(".cache/bench-arm.json"), metavar="FILE")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    console = Console(width=160)
    if not sandbox.inside():
        raise SystemExit("run it in a bubble: podvnet sandbox -- python benchmarks/arm.py")
    nics, small = (8, 50) if arguments.quick else (arguments.nics, arguments.small)
    load_before = os.getloadavg()[0]
    if not arguments.ours and not PROGRAM.exists():
        raise SystemExit(f"{PROGRAM} is not there: scripts/bench installs it; --ours does without")
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        ours = AzureSide(Path(directory) / "fabric.log")
        stack.callback(ours.close)
        moto = None if arguments.ours else MotoSide(Path(directory) / "moto.log")
        if moto:
            stack.callback(moto.service.kill)
        figures = _Bench(ours, moto, nics, small, console).measure()
    document = {"about": _about(nics, small, load_before), **figures}
    report.show(document, console)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    console.print(f"figures: {arguments.json}")


if __name__ == "__main__":
    main()
