"""What serves Docker, put together. Imported only by an agent that does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from podvnet.agent.docker import forwarding
from podvnet.agent.docker.driver import Driver
from podvnet.agent.docker.flows import Flows
from podvnet.agent.docker.front import Front
from podvnet.agent.docker.living_addresses import living_addresses
from podvnet.agent.docker.networks import FILE, Networks
from podvnet.agent.docker.parts import Parts
from podvnet.agent.ledger import Ledger
from podvnet.agent.pool_growth import Prospect
from podvnet.agent.standing import Standing
from podvnet.agent.wiring import Wiring

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Plugin:
    """What serves, and the socket that it is asked at."""

    driver: Driver
    front: Front


def plugin(
    socket: Path,
    state: Path,
    ledger: Ledger,
    wiring: Wiring,
    standing: Standing,
    *,
    rest: float,
    prospect: Callable[[], Prospect],
    submit: Callable[[Callable[[], None]], None],
    ask_platform: Callable[[], None],
) -> Plugin | None:
    """Make it; None when the file of Docker's networks cannot be had, which is logged: CNI is served all the same.

    Args:
        socket: where Docker looks for it.
        state: directory on disk for what outlives a reboot.
        ledger: of the agent.
        wiring: of the agent.
        standing: what the agent knows of the VM.
        rest: seconds that a released address is left alone.
        prospect: tells whether the pool may grow by itself.
        submit: runs a task in the agent's thread.
        ask_platform: asks for the list of addresses as soon as possible.
    """
    parts = Parts(ledger, wiring, Flows(), forwarding.admit, prospect, living_addresses)
    try:
        networks = Networks(state / FILE)
    except (OSError, sqlite3.Error) as error:
        _log.error(
            "docker_not_served",
            file=str(state / FILE),
            reason=str(error),
            remedy="see to the file and its disk, and start the agent anew",
        )
        return None
    driver = Driver(parts, networks, standing, rest)
    return Plugin(driver, Front(socket, driver, submit, ask_platform))
