"""One call of the engine at a time, outside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Turn:
    """The engine is for one thread; everybody who wants it waits for their turn, in the order of asking.

    Args:
        rest: asked at the end of each turn, within it: what is left to wait for once others have theirs, or None.
    """

    def __init__(self, rest: Callable[[], Callable[[], None] | None] = lambda: None) -> None:
        self._lock = asyncio.Lock()
        self._rest = rest

    async def take(self, action: Callable[[], T]) -> T:
        """Run an action when it is its turn, and then the rest of it; return what the action returns.

        Who stops waiting loses the turn. Who is cancelled while the action runs keeps it until the action has ended: a
        thread cannot be stopped, and the next one must not run beside it.
        """
        async with self._lock:
            running = asyncio.ensure_future(asyncio.to_thread(action))
            try:
                outcome = await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.wait({running})
                raise
            finally:
                # Taken also when the action failed: it is nobody else's.
                rest = self._rest()
        if rest:
            await asyncio.to_thread(rest)
        return outcome
