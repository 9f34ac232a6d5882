"""What gateways reach is told again after a refusal, though nobody rings."""

from __future__ import annotations

import asyncio

import pytest

from podvnet.fabric.gateways import reach_teller
from podvnet.fabric.gateways.reach_teller import ReachTeller


def test_what_was_refused_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach_teller, "_SECONDS_TO_ANOTHER_TRY", 0.01)
    told = asyncio.Event()
    tries = 0

    async def tell() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError
        told.set()

    async def life() -> None:
        teller = ReachTeller(tell)
        task = asyncio.create_task(teller.run())
        teller.ring()
        async with asyncio.timeout(30):
            await told.wait()
        task.cancel()

    asyncio.run(life())
    assert tries == 3
