"""Where the time of one ADD and one DEL goes: the agent's own parts, run in this process and timed from outside.

Nothing of the product is changed for it: the parts' methods are wrapped here, and each is charged with the time it spends
itself, without that of wrapped methods it calls. The wrapping costs a microsecond or two a call.
"""

from __future__ import annotations

import gc
import inspect
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from case import CASES, FLOORS, Call
from execution import Sample, execute
from rich import box
from rich.console import Console
from rich.table import Table

from podvnet.agent import server, verbs
from podvnet.agent.egress import Egress
from podvnet.agent.ledger import Ledger, PoolAddress
from podvnet.agent.wiring import Wiring
from podvnet.linux import namespace
from podvnet.linux.executor import Door, Executor
from podvnet.linux.netlink import NetlinkSocket
from podvnet.linux.nfnetlink import SetSocket
from podvnet.linux.reaper import Reaper
from podvnet.model.address import Mac
from podvnet.model.attachment import Node
from podvnet.plan.attachment_program import HOST
from podvnet.plugin.shim import best_shim

Spans = dict[str, list[float]]
"""By part, the seconds spent in it by each operation."""


class Stopwatch:
    """Charges parts with time. For one thread."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def time(self, owner: Any, name: str, part: str | Callable[..., str]) -> None:
        """Wrap a method or function; ``part`` is what to charge, or tells it from the arguments."""
        original = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            charged = part if isinstance(part, str) else part(*args, **kwargs)
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                took = time.perf_counter() - start
                self._spent[charged] += took - self._inner.pop()
                self._inner[-1] += took

        static = isinstance(inspect.getattr_static(owner, name), staticmethod)
        setattr(owner, name, staticmethod(timed) if static else timed)

    def take(self) -> dict[str, float]:
        """What has been spent since the last time."""
        taken, self._spent = dict(self._spent), defaultdict(float)
        return taken


def _wrap(watch: Stopwatch, host: NetlinkSocket) -> None:
    watch.time(server, "decode_request", "parse")
    watch.time(server, "parse_request", "parse")
    watch.time(server.Server, "_accept", "server: loop, read, answer")
    watch.time(server.Server, "_begin", "server: loop, read, answer")
    watch.time(server.Server, "_answer", "server: loop, read, answer")
    watch.time(verbs.Verbs, "serve", "verbs, the rest")
    watch.time(verbs, "render", "result")
    watch.time(verbs, "_result", "result")
    watch.time(verbs, "_merged", "result")
    watch.time(verbs.Result, "to_json", "result")
    watch.time(Ledger, "find", "ledger: find")
    watch.time(Ledger, "begin", "ledger: begin")
    watch.time(Ledger, "publish", "ledger: publish")
    watch.time(Ledger, "leave", "ledger: leave")
    watch.time(Ledger, "release", "ledger: release")
    watch.time(Ledger, "versions", "ledger: begin")
    watch.time(Executor, "lend", "pod's door")
    watch.time(Executor, "forget", "pod's door")
    watch.time(Executor, "apply", "plan and pack")
    watch.time(Wiring, "build", "plan and pack")
    watch.time(Wiring, "take_down", "plan and pack")
    watch.time(Wiring, "_free_name", "pod's door")
    watch.time(NetlinkSocket, "transact", lambda who, _: "host batch" if who is host else "pod batch")
    watch.time(SetSocket, "_change", "sets")


class _Bench:
    """The agent's parts in this process, in a fresh namespace; its server in a thread."""

    def __init__(self, addresses: int) -> None:
        self._directory = tempfile.TemporaryDirectory(dir="/run")
        run = Path(self._directory.name)
        self.socket = run / "agent.sock"
        namespace.create("where")
        with namespace.opened("where") as descriptor:
            executor = Executor()
            executor.lend(HOST, descriptor)
            self._reaper = Reaper(descriptor)
        self._reaper.start()
        ledger = Ledger(run / "ledger.db", "bench")
        subnet = IPv4Network("10.1.0.0/20")
        ledger.fill(
            PoolAddress(IPv4Interface(f"{subnet[number + 5]}/20"), IPv4Address(subnet[1])) for number in range(addresses)
        )
        node = Node("eth0", 2, Mac("00:0d:3a:00:00:01"), (IPv4Address(subnet[4]),), (subnet,), 1500)
        egress = Egress(executor, ledger, pods_may_ask_platform=False)
        egress.ensure(node, "azure0")
        standing = verbs.Standing(node=node)
        serving = verbs.Verbs(
            executor, ledger, Wiring(executor, self._reaper), egress, standing, rest=0.0, refresh=lambda: None
        )
        self.server = server.Server(self.socket, serving, lambda: b"")
        self.door: Door = executor.door(HOST)
        self._thread = threading.Thread(target=self.server.run, name="agent", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.server.stop()
        self._thread.join()
        self._reaper.stop()


def measure(pods: int) -> dict[str, Spans]:
    """Attach and detach pods one after another; return the spans of ADD and of DEL."""
    bench = _Bench(pods)
    watch = Stopwatch()
    _wrap(watch, bench.door.route)
    bench.start()
    gc.collect()
    gc.freeze()
    gc.disable()
    case = CASES[0]
    sandboxes = []
    for number in range(pods):
        namespace.create(f"where-{number}")
        sandboxes.append(str(namespace.path(f"where-{number}")))
    found: dict[str, Spans] = {"ADD": defaultdict(list), "DEL": defaultdict(list)}
    results = [b""] * pods
    shim = str(best_shim())
    for warm, (verb, spans) in ((warm, each) for warm in (True, False) for each in found.items()):
        start = [_once(shim, FLOORS["azure-vnet VERSION"]) for _ in range(pods)]
        for number, sandbox in enumerate(sandboxes):
            call = case.call(verb, f"{number:064x}", sandbox, results[number] if verb == "DEL" else b"")
            sample = _once(shim, call, PODVNET_SOCKET=str(bench.socket))
            results[number] = sample.output
            parts = watch.take()
            if not warm:
                parts["shim: start and end"] = start[number].wall
                parts["socket, wake-ups"] = sample.wall - sum(parts.values())
                parts["all of it"] = sample.wall
                for part, seconds in parts.items():
                    spans[part].append(seconds)
    bench.stop()
    return found


def _once(shim: str, call: Call, **environment: str) -> Sample:
    # Under its own name: the agent wants to know what it was executed as.
    return execute([call._replace(program=shim, environment=call.environment | environment)])[0]


def show(found: dict[str, Spans], console: Console) -> None:
    """Print the medians, the largest first."""
    table = Table(title="Where the time goes, ms p50", box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("ADD", justify="right")
    table.add_column("DEL", justify="right")
    medians = {verb: {part: statistics.median(spans) for part, spans in each.items()} for verb, each in found.items()}
    parts = sorted({*medians["ADD"], *medians["DEL"]}, key=lambda part: -medians["ADD"].get(part, 0.0))
    for part in parts:
        table.add_row(part, *(f"{medians[verb][part] * 1e3:.3f}" if part in medians[verb] else "" for verb in medians))
    console.print(table)
