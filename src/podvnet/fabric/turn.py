"""One call of the engine at a time, outside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Turn:
    """The engine is for one thread; everybody who wants it waits for their turn."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self, action: Callable[[], T]) -> T:
        """Run an action when it is its turn; return what it returns."""
        async with self._lock:
            return await asyncio.to_thread(action)
