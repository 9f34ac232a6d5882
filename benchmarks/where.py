"""Where the time of one ADD and one DEL goes: the agent's own parts, run in this process and timed from outside.

Nothing of the product is changed for it: the parts' methods are wrapped here, and each is charged with the time it
spends itself, without that of wrapped methods it calls. The wrapping costs a microsecond or two a call.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import socket
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from case import CASES, FLOORS
from execution import Call, Sample, execute
from rich import box
from rich.console import Console
from rich.table import Table

from podvnet.agent import server, verbs
from podvnet.agent.ledger import Ledger
from podvnet.agent.process import Agent, Settings
from podvnet.agent.source import Source, SourceKind
from podvnet.agent.wiring import Wiring
from podvnet.linux import namespace
from podvnet.linux.executor import Executor
from podvnet.linux.netlink import NetlinkSocket
from podvnet.linux.nfnetlink import SetSocket
from podvnet.model.address import Mac, platform_mac
from podvnet.model.kernel import Step, VethPair
from podvnet.plan.attachment_program import HOST, POD
from podvnet.plugin.result import Result
from podvnet.plugin.shim import best_shim

_NODE = "where"
_NIC = VethPair("eth0", 2, Mac("00:0d:3a:00:00:01"), _NODE, "far", 3, Mac("00:0d:3a:00:00:02"))
_ANSWER = "answer"

Spans = dict[str, list[float]]
"""By part, the seconds spent in it by each operation."""


class Stopwatch:
    """Charges parts with the time of the thread that makes it."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._spent: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def time(self, owner: Any, name: str, part: str | Callable[..., str]) -> None:
        """Wrap a method or function; ``part`` is what to charge, or tells it from the arguments."""
        original = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                return original(*args, **kwargs)
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


def _wrap(watch: Stopwatch) -> None:
    place = [HOST]

    def going_to(label: str, part: str) -> str:
        place[0] = label
        return part

    watch.time(server, "decode_request", "parse")
    watch.time(server, "parse_request", "parse")
    watch.time(server.Server, "_accept", "server: accept, read")
    watch.time(server.Server, "_begin", "server: accept, read")
    watch.time(server.Server, "_answer", _ANSWER)
    watch.time(verbs.Verbs, "serve", "verbs, the rest")
    watch.time(verbs, "render", "result")
    watch.time(verbs, "_result", "result")
    watch.time(verbs, "_merged", "result")
    watch.time(Result, "to_json", "result")
    for method in ("find", "begin", "versions", "publish", "leave", "release"):
        watch.time(Ledger, method, f"ledger: {'begin' if method == 'versions' else method}")
    watch.time(Executor, "lend", "pod's door")
    watch.time(Executor, "forget", "pod's door")
    watch.time(Executor, "apply", "plan and pack")
    watch.time(Executor, "_route", lambda _, label, *__, **___: going_to(label, "plan and pack"))
    watch.time(Wiring, "build", "plan and pack")
    watch.time(Wiring, "take_down", lambda *_: going_to(HOST, "plan and pack"))
    watch.time(Wiring, "_free_name", lambda *_: going_to(POD, "pod's door"))
    watch.time(NetlinkSocket, "transact", lambda *_: f"{place[0]} batch")
    watch.time(SetSocket, "_change", "sets")


def _interfaces(addresses: int) -> str:
    """What the agent reads in place of the platform's answer: a NIC with addresses for pods."""
    listed = [
        {"Address": f"10.1.{number >> 8}.{number & 255}", "IsPrimary": number == 4}
        for number in range(4, addresses + 5)
    ]
    subnets = [{"Prefix": "10.1.0.0/20", "IPAddresses": listed}]
    return json.dumps({"Interfaces": [{"MacAddress": platform_mac(_NIC.mac), "IsPrimary": True, "IPSubnets": subnets}]})


def measure(pods: int) -> dict[str, Spans]:
    """Attach and detach pods one after another; return the spans of ADD and of DEL.

    The agent serves in this thread, as it does in its own process; another thread is the runtime.
    """
    namespace.create(_NODE)
    executor = Executor()
    executor.apply([Step(True, _NODE, _NIC)])
    namespace.set_namespace(executor.door(_NODE).descriptor)
    found: dict[str, Spans] = {"ADD": defaultdict(list), "DEL": defaultdict(list)}
    failures: list[Exception] = []
    with (
        tempfile.TemporaryDirectory(dir="/run") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
    ):
        ready.bind("")
        os.environ["NOTIFY_SOCKET"] = "@" + ready.getsockname()[1:].decode()
        run = Path(directory)
        (run / "interfaces.json").write_text(_interfaces(pods), encoding="ascii")
        source = Source(SourceKind.FILE, run / "interfaces.json")
        agent = Agent(Settings(run=run, source=source, interval=3600.0, rest=0.0))
        watch = Stopwatch()
        _wrap(watch)

        def runtime() -> None:
            try:
                ready.recv(64)
                _attach_and_detach(pods, str(run / "agent.sock"), watch, found)
            except Exception as error:  # noqa: BLE001 - raised below, in the thread that can
                failures.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=runtime, name="runtime", daemon=True).start()
        agent.serve()
    if failures:
        raise failures[0]
    return found


def _attach_and_detach(pods: int, path: str, watch: Stopwatch, found: dict[str, Spans]) -> None:
    case = CASES[0]
    sandboxes = []
    for number in range(pods):
        namespace.create(f"where-{number}")
        sandboxes.append(str(namespace.path(f"where-{number}")))
    results = [b""] * pods
    for warm, (verb, spans) in ((warm, each) for warm in (True, False) for each in found.items()):
        starts = [_once(FLOORS["azure-vnet VERSION"]).wall for _ in range(pods)]
        for number, sandbox in enumerate(sandboxes):
            call = case.call(verb, f"{number:064x}", sandbox, results[number] if verb == "DEL" else b"")
            watch.take()
            sample = _once(call, PODVNET_SOCKET=path)
            results[number] = sample.output
            parts = watch.take()
            parts.pop(_ANSWER, None)  # what follows its first system call is not waited for by the shim
            parts["shim: start and end"] = starts[number]
            parts["sockets, wake-ups, answer"] = sample.wall - sum(parts.values())
            parts["all of it"] = sample.wall
            for part, seconds in parts.items() if not warm else ():
                spans[part].append(seconds)


def _once(call: Call, **environment: str) -> Sample:
    return execute([call._replace(program=str(best_shim()), environment=call.environment | environment)])[0]


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
