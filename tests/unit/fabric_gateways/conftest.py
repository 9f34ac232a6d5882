"""Gateways as values: the hub with a VPN and an ExpressRoute gateway, its spoke and their office."""

from __future__ import annotations

import pytest

from podvnet.fabric.arm.world import World
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle_all
from podvnet.model.intent import Intent
from podvnet.testing.gateway_file import gateway_resources


@pytest.fixture
def intent() -> Intent:
    return IntentReader().read(settle_all(gateway_resources(), World(), set()).world)
