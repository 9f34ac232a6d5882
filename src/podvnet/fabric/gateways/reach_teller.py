"""Tells the engine what gateways are found to reach, whenever that may have changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from podvnet.model.arm_error import ArmErrorsError

_log = structlog.get_logger()

_SECONDS_TO_ANOTHER_TRY = 10.0


class ReachTeller:
    """Rung from any thread; tells from the event loop's. To be made while the loop runs.

    Args:
        tell: asks what there is and tells it.
    """

    def __init__(self, tell: Callable[[], Awaitable[None]]) -> None:
        self._tell = tell
        self._rung = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def ring(self) -> None:
        """Say that there may be something new."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: another life will ask
            self._loop.call_soon_threadsafe(self._rung.set)

    async def run(self) -> None:
        """Tell, until cancelled. What changes while the engine is busy is told at once."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                await self._tell()
            except (ArmErrorsError, OSError) as refusal:
                _log.error("reach_not_carried_out", reason=str(refusal))
                # What was refused is still so, and nobody may ever ring for it again.
                self._loop.call_later(_SECONDS_TO_ANOTHER_TRY, self._rung.set)
