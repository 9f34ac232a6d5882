"""``podvnet cluster keep``: what a VM of the fabric has in the place of an init."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from podvnet.cli import left_running
from podvnet.cli.output import FailureError

_LOG = Path("/var/log/keeper.log")
_SECONDS_TO_START = 60.0


@click.command(hidden=True)
@click.option("--background", is_flag=True, help="Return once all is started; one that runs is told to look again.")
@click.option("--ready-descriptor", type=int, default=-1, hidden=True)
def keep(background: bool, ready_descriptor: int) -> None:
    """Keep this VM's programs running, as an init does."""
    from podvnet.cluster import keeper

    if not background:
        from podvnet.cli.log import configure

        configure()
        try:
            keeper.keep(ready_descriptor)
        except keeper.AlreadyRunningError as error:
            raise FailureError(str(error)) from None
        return
    running = keeper.holder(keeper.LOCK)
    if running is not None:
        os.kill(running, signal.SIGHUP)
        return
    try:
        left_running.start(["cluster", "keep"], _LOG, _SECONDS_TO_START)
    except left_running.NotReadyError as error:
        raise FailureError(f"the keeper did not start: {error}", f"see {_LOG}") from None
