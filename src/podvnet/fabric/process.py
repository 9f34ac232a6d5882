"""The fabric process: recovers the network, then serves the control socket and the platform addresses.

The network does not need it: packets flow by what is in the kernel, whether or not this process lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import os
import resource
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import structlog

from podvnet.fabric import control
from podvnet.fabric.engine import Fabric
from podvnet.fabric.flow_log import FlowLogFiles
from podvnet.fabric.flow_log_collector import FlowLogCollector
from podvnet.fabric.gate import PORT, Gate
from podvnet.fabric.gateways.processes import GatewayProcesses
from podvnet.fabric.gateways.reach_teller import ReachTeller
from podvnet.fabric.metrics.sampler import Sampler
from podvnet.fabric.platform_server import PlatformServer, quiet_server
from podvnet.fabric.probes.prober import Health, Prober
from podvnet.fabric.services.processes import ServiceProcesses
from podvnet.fabric.services.responders import Responders
from podvnet.fabric.turn import Turn
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.intent import Intent

_log = structlog.get_logger()

SOCKET = "fabric.sock"
STORAGE = "storage"
"""Below the state's directory, what stands for storage accounts: a directory for each."""
_SECONDS_FOR_GOODBYES = 1.0


class AlreadyRunningError(Exception):
    """Another process holds the same directory, or the port of the resource manager."""


def serve(run: Path, state: Path, guest_command: tuple[str, ...], ready: Callable[[], None], port: int = PORT) -> None:
    """Serve until SIGTERM, SIGINT or ``down``; ``ready`` is called once the network is up and the socket answers.

    Raises:
        AlreadyRunningError: another process serves from ``run``.
    """
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A write makes thousands of objects that stay. Looked through every 700, as Python does of itself, they take a
    # third of the time of filling a network, with pauses of a quarter of a second at 16,000 addresses.
    gc.set_threshold(10_000)
    # Every network has open files, and every question of a probe.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    with _only_one(run / "fabric.lock"):
        asyncio.run(_serve(run, state, guest_command, ready, port))


async def _serve(run: Path, state: Path, guest_command: tuple[str, ...], ready: Callable[[], None], port: int) -> None:
    loop = asyncio.get_running_loop()
    changed, stop = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def noticed(_: Intent) -> None:
        loop.call_soon_threadsafe(changed.set)

    gate = Gate(state / "identity", port)
    try:
        door = gate.listen()
    except OSError as error:
        msg = f"127.0.0.1:{port} cannot be listened on: {os.strerror(error.errno or 0)}"
        raise AlreadyRunningError(msg) from None

    async def tell_reach() -> None:
        await turn.take(lambda: fabric.set_reach(gateways.reach(fabric.intent)))

    teller = ReachTeller(tell_reach)
    gateways = GatewayProcesses(run, teller.ring)
    fabric = Fabric(run, state, guest_command, noticed, services=ServiceProcesses(state), gateways=gateways)
    turn = Turn(fabric.unawaited)
    sampler = Sampler(lambda: fabric.intent)
    manager = gate.application(fabric, turn, sampler)
    platform = PlatformServer(
        lambda: fabric.intent, gate.tokens(lambda: fabric.world).mint, lambda: gate.server(manager)
    )
    flows = FlowLogCollector(lambda: fabric.intent, FlowLogFiles(state / STORAGE))

    async def tell(healthy: Health) -> None:
        await turn.take(lambda: fabric.set_health(healthy))

    prober = Prober(lambda: fabric.intent, tell)
    responders = Responders(lambda: fabric.intent, state)
    following = (
        _follow(platform, flows, prober, responders, changed),
        flows.write(),
        prober.ask(),
        prober.tell(),
        teller.run(),
    )
    followers = [_begun(each) for each in (*following, sampler.run())]
    try:
        # VMs ask the platform and the resource manager while they boot, so recovery runs beside the servers.
        await turn.take(fabric.recover)
    except ArmErrorsError as refusal:
        _log.error("guest_not_started", reason=str(refusal))
    servers = [
        (quiet_server(control.application(fabric, gate, turn, stop.set)), _unix_socket(run / SOCKET)),
        (gate.server(manager), door),
    ]
    tasks = [asyncio.create_task(server.serve(sockets=[own])) for server, own in servers]
    ready()
    _log.info("ready", socket=str(run / SOCKET))
    await stop.wait()
    for server, _ in servers:
        server.should_exit = True
    await turn.take(lambda: None)  # whoever waits for the engine is served
    # A client that keeps its TLS connection open answers no goodbye; TLS would wait half a minute for one.
    await asyncio.wait(tasks, timeout=_SECONDS_FOR_GOODBYES)
    for server, _ in servers:
        server.force_exit = True
    await asyncio.gather(*tasks)
    for follower in followers:
        follower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await follower
    flows.close()
    await platform.close()
    await responders.close()
    gate.close()
    fabric.close()
    (run / SOCKET).unlink(missing_ok=True)


async def _follow(
    platform: PlatformServer, flows: FlowLogCollector, prober: Prober, responders: Responders, changed: asyncio.Event
) -> None:
    while True:
        await changed.wait()
        changed.clear()
        await platform.follow()
        await responders.follow()
        flows.follow()
        prober.follow()


def _begun(following: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that says at once of what it ends: it is awaited only when the fabric stops."""

    def say(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()):
            _log.error("follower_ended", follower=str(task.get_coro()), exc_info=bug)

    task = asyncio.create_task(following)
    task.add_done_callback(say)
    return task


def _unix_socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    previous = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)
    listener.listen(64)
    listener.setblocking(False)
    return listener


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"another fabric process holds {path}"
            raise AlreadyRunningError(msg) from None
        yield
