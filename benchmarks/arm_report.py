"""What the resource manager's bench measured, for people and for programs."""

from __future__ import annotations

import statistics
from typing import Any

from api_client import Block
from report import percentile
from rich import box
from rich.console import Console
from rich.table import Table

_ROWS = {
    "small": "NIC, one address",
    "smallAtOnce": "NIC, one address, 8 at once",
    "smallBeside": "NIC, one address, beside the full ones",
    "bare": "NIC, one address, for a VM to come",
    "machines": "VM on a NIC: programmed and booted",
    "full": "NIC of a running VM to 251 addresses",
    "getNic": "read a NIC of 251 addresses",
    "getNetwork": "read the virtual network",
    "delete": "delete a NIC",
}


def figures(parts: list[Block], cpu: list[float]) -> dict[str, float]:
    """Milliseconds of calls, how many a second, and how the last eighth compares with the first.

    Args:
        parts: the calls, an eighth each.
        cpu: seconds of CPU that the server spent on each part.
    """
    walls = [wall for part in parts for wall in part.walls]
    ordered = sorted(walls)
    first, last = (statistics.median(part.walls) for part in (parts[0], parts[-1]))
    each = [seconds / len(part.walls) for seconds, part in zip(cpu, parts, strict=True)]
    elapsed = sum(part.elapsed for part in parts)
    return {
        "p50": round(statistics.median(walls) * 1000, 3),
        "p95": round(percentile(ordered, 95) * 1000, 3),
        "p99": round(percentile(ordered, 99) * 1000, 3),
        "perSecond": round(len(walls) / elapsed, 1),
        "seconds": round(elapsed, 3),
        "lastOverFirst": round(last / first, 2),
        "cpu": round(sum(cpu) / len(walls) * 1000, 3),
        "cpuLastOverFirst": round(each[-1] / each[0], 2),
        "count": len(walls),
    }


def show(document: dict[str, Any], console: Console) -> None:
    """Print everything."""
    about, ours, moto = document["about"], document["podvnet"], document.get("moto")
    console.print(
        f"\n{about['nics']} NICs of 1 + {about['secondaries']} addresses, podvnet {about['podvnet']}; Linux"
        f" {about['kernel']}, {about['processors']} processors, load {about['loadBefore']:.1f} before and"
        f" {about['loadAfter']:.1f} after",
        highlight=False,
    )
    _show_calls(ours, moto, console)
    parts = " · ".join(f"{part} {milliseconds:.1f}" for part, milliseconds in ours["parts"].items())
    console.print(f"within the fabric, a NIC to 251 addresses, ms p50: {parts}", highlight=False)
    restart = ours["restart"]
    console.print(
        f"accepted and programmed: {ours['addresses']} addresses in {ours['full']['seconds']:.1f} s; the answer comes"
        f" after the kernel\nafter kill -9, start to ready: {restart['kernelKept']:.2f} s with all in the kernel,"
        f" {restart['afterReboot']:.2f} s with nothing there, as after a reboot; first read then"
        f" {ours['firstRead'] * 1000:.1f} ms",
        highlight=False,
    )
    for title, found in (("podvnet", ours), ("moto", moto)):
        if found:
            sizes = ", ".join(f"{when} {size / 2**20:.0f}" for when, size in found["memory"].items())
            console.print(f"memory of {title}, MiB: {sizes}", highlight=False)
    if moto:
        console.print(
            f"moto holds {moto['addresses']} addresses. It moves no packet, keeps nothing over a restart, has no VMs"
            " here, speaks without TLS or token",
            highlight=False,
        )


def _show_calls(ours: dict[str, Any], moto: dict[str, Any] | None, console: Console) -> None:
    table = Table(
        title="Calls, ms: p50 / p95 / p99; CPU of the server a call; l/f: the last eighth over the first, time and CPU",
        box=box.SIMPLE_HEAD,
    )
    names = ("", "podvnet", "CPU", "/s", "l/f", "moto (no packets)", "CPU", "/s", "l/f", "ours ÷ moto")
    for name in names:
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for key, title in _ROWS.items():
        peer = (moto or {}).get(key)
        ratio = f"{ours[key]['p50'] / peer['p50']:.2f}" if peer else ""
        table.add_row(title, *_cells(ours[key]), *(_cells(peer) if peer else ("", "", "", "")), ratio)
    console.print(table)


def _cells(found: dict[str, float]) -> tuple[str, str, str, str]:
    three = " / ".join(f"{found[key]:.2f}" if found[key] < 10 else f"{found[key]:.1f}" for key in ("p50", "p95", "p99"))
    flatness = f"{found['lastOverFirst']:.2f} {found['cpuLastOverFirst']:.2f}"
    return three, f"{found['cpu']:.1f}", f"{found['perSecond']:.0f}", flatness
