"""A gateway of two instances with a tunnel each, under an IPsec policy of its own: one dies, the other carries on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from podvnet.linux import namespace
from podvnet.plan import names
from podvnet.testing.cni import eventually
from podvnet.testing.gateway_stage import GatewayStage, gateway_stage

FILES = ("gateway-active-active.yaml", "gateway-active-active-bgp.yaml")
SECONDS = 120
"""For what takes seconds on a quiet machine, and a transfer longer: TCP tries again after twice the time each time."""


@pytest.fixture(scope="module", params=FILES)
def stage(request: pytest.FixtureRequest) -> Iterator[GatewayStage]:
    """With static routes, and with BGP."""
    file = Path(__file__).parent / request.param
    with gateway_stage(file, (("desk", "office..desk", "192.168.10.10"),), (("pod", "hub"),)) as made:
        assert eventually(lambda: tunnels(made) == ["Connected", "Connected"], SECONDS), made.connection("to-office")
        assert made.waits_to_reach("desk", "pod", SECONDS)
        yield made


def tunnels(stage: GatewayStage) -> list[str]:
    """What is said of each tunnel."""
    return [each["connectionStatus"] for each in stage.connection("to-office")["tunnelConnectionStatus"]]


@contextmanager
def silent(position: int) -> Iterator[None]:
    """An instance of the gateway whose tunnel hears nothing any more."""
    suffix = f"..{position}" if position else ""
    inside = ["nsenter", f"--net={namespace.path(f'{names.PREFIX}gateway-vpn..to-office{suffix}')}", "--", "nft"]
    hook = "type filter hook ingress device outer priority 0; policy drop;"
    text = f"table netdev silence {{\n chain cut {{\n {hook}\n }}\n}}\n"
    subprocess.run([*inside, "-f", "-"], input=text, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*inside, "delete", "table", "netdev", "silence"], check=True)


def test_both_instances_have_a_tunnel_and_places_reach_each_other(stage: GatewayStage) -> None:
    assert stage.waits_to_reach("desk", "pod", SECONDS), stage.call("desk", "pod")
    assert stage.waits_to_reach("pod", "desk", SECONDS), stage.call("pod", "desk")
    assert stage.waits_for("to-office", SECONDS)


@pytest.mark.parametrize("position", [0, 1])
def test_when_an_instance_is_lost_the_other_carries_all(stage: GatewayStage, position: int) -> None:
    with stage.transfer("pod", "desk") as transfer:
        with silent(position):
            assert eventually(lambda: sorted(tunnels(stage)) == ["Connected", "NotConnected"], SECONDS)
            assert stage.waits_for("to-office", SECONDS)
            before = transfer.rounds
            assert eventually(lambda: transfer.rounds > before, SECONDS)
            assert eventually(lambda: stage.reaches("desk", "pod") and stage.reaches("pod", "desk"), SECONDS)
        assert eventually(lambda: tunnels(stage) == ["Connected", "Connected"], SECONDS)
    assert stage.waits_to_reach("desk", "pod", SECONDS)
