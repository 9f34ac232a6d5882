"""What security rules cost an established flow: throughput and round trips with 0, 100 and 1,000 rules.

Two VMs of one subnet, whose group has so many rules that do not match before the one that allows; the flow is made
anew after each change, by turns, so that what else the machine does falls on all alike. Both ends run on one core: the
figure is what the way costs, not where the machine happens to wake a program.

    scripts/bench traffic [--quick] [--json]
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from podvnet.fabric.arm.network_security_groups import intent_of
from podvnet.linux import namespace
from podvnet.plan.address_space import collapsed
from podvnet.plan.security_program import compile_group
from podvnet.testing.rule import allow, deny
from podvnet.testing.stage import Stage, stage

COUNTS = (0, 100, 1000)
PORT = 7001
CHUNK = bytes(1 << 16)
_NETWORK = """
resources:
  - {type: Microsoft.Network/networkSecurityGroups, name: guard}
  - type: Microsoft.Network/virtualNetworks
    name: hub
    properties:
      addressSpace: {addressPrefixes: [10.1.0.0/16]}
      subnets:
        - name: front
          properties: {addressPrefix: 10.1.1.0/24, networkSecurityGroup: {id: networkSecurityGroups/guard}}
"""
_MACHINE = """
  - type: Microsoft.Network/networkInterfaces
    name: {name}-nic
    properties:
      ipConfigurations:
        - {{name: primary, properties: {{primary: true, subnet: {{id: virtualNetworks/hub/subnets/front}}}}}}
  - type: Microsoft.Compute/virtualMachines
    name: {name}
    properties: {{networkProfile: {{networkInterfaces: [{{id: networkInterfaces/{name}-nic}}]}}}}
"""


def rules(count: int) -> list[dict[str, Any]]:
    """So many rules for an inbound flow to be held against; the last one allows it."""
    others = [
        deny(f"r{i}", 100 + i, "Inbound", "Tcp", source=f"10.9.{i // 250}.{i % 250 + 1}", ports=str(20_000 + i))
        for i in range(count - 1)
    ]
    return [*others, allow("flow", 4096, "Inbound", "Tcp", ports=str(PORT))] if count else []


def established(net: Stage, work: Callable[[socket.socket], float], serve: Callable[[socket.socket], None]) -> float:
    """Make a connection from one VM to the other, whose end another process serves; return what ``work`` measures."""
    caller, called = net.places["one"], net.places["two"]
    listener = namespace.run_inside(called.descriptor, lambda: socket.create_server((called.addresses[4], PORT)))
    child = os.fork()
    if child == 0:
        near, _ = listener.accept()
        serve(near)
        os._exit(0)
    listener.close()
    end = namespace.run_inside(caller.descriptor, lambda: socket.create_connection((called.addresses[4], PORT), 5))
    try:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return work(end)
    finally:
        end.close()
        os.waitpid(child, 0)


def round_trips(end: socket.socket, seconds: float) -> float:
    """Round trips of one byte a second."""
    done, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        for _ in range(100):
            end.send(b"x")
            end.recv(1)
        done += 100
    return done / passed


def throughput(end: socket.socket, seconds: float) -> float:
    """Gigabits a second."""
    sent, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        sent += end.send(CHUNK)
    return sent * 8 / passed / 1e9


def echo(end: socket.socket) -> None:
    """Send back what comes until it ends."""
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := end.recv(1):
        end.send(data)


def swallow(end: socket.socket) -> None:
    """Take what comes until it ends."""
    buffer = bytearray(1 << 18)
    while end.recv_into(buffer):
        pass


def measure(rounds: int, seconds: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """Both figures for each count of rules, by turns."""
    found: dict[int, dict[str, list[float]]] = {count: {"rr": [], "gbit": []} for count in COUNTS}
    compiling: dict[int, list[float]] = {count: [] for count in COUNTS}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "network.yaml"
        file.write_text(_NETWORK + "".join(_MACHINE.format(name=name) for name in ("one", "two")), encoding="utf-8")
        with stage(file) as net:
            for number in range(rounds):
                for count in COUNTS:
                    tell(f"round {number + 1} of {rounds}, {count} rules")
                    resources = net.declared
                    resources["networkSecurityGroups/guard"]["properties"] = {"securityRules": rules(count)}
                    net.apply(resources)
                    compiling[count].append(_compile_time(net))
                    found[count]["rr"].append(established(net, lambda end: round_trips(end, seconds), echo))
                    found[count]["gbit"].append(established(net, lambda end: throughput(end, seconds), swallow))
    return {
        str(count): {
            **{name: round(statistics.median(values), 2) for name, values in found[count].items()},
            "compile_ms": round(statistics.median(compiling[count]), 2),
        }
        for count in COUNTS
    }


def _compile_time(net: Stage) -> float:
    """Milliseconds from the resource to the text of its chains."""
    shown = net.lab.status()["resources"]
    document = next(each for each in shown if each["type"].endswith("networkSecurityGroups"))
    start = time.perf_counter()
    compile_group(intent_of(document), collapsed([]))
    return (time.perf_counter() - start) * 1e3


@click.command()
@click.option("--quick", is_flag=True, help="One short round, to see that it runs.")
@click.option("--json", "as_json", is_flag=True, help="Figures for a program.")
def main(quick: bool, as_json: bool) -> None:
    """Measure and show."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    console = Console(stderr=True)
    rounds, seconds = (1, 0.3) if quick else (9, 1.0)
    figures = measure(rounds, seconds, lambda text: console.print(f"[dim]{text}[/dim]"))
    if as_json:
        json.dump(figures, sys.stdout, indent=1)
        return
    table = Table("rules", "round trips/s", "÷ none", "Gbit/s", "÷ none", "to compile, ms", box=None)
    none = figures["0"]
    for count, found in figures.items():
        shares = {name: f"{found[name] / none[name]:.2f}" for name in ("rr", "gbit")}
        table.add_row(
            count,
            f"{found['rr']:,.0f}",
            shares["rr"],
            f"{found['gbit']:.1f}",
            shares["gbit"],
            f"{found['compile_ms']:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
