"""What dies of a gateway, a site and the fabric comes back by itself, in the time that documents say, and says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.cli import client
from podvnet.testing.cni import eventually
from podvnet.testing.gateway_stage import GATEWAY_RUN, GatewayStage, gateway_stage
from podvnet.testing.outage import kill, kill_fabric, start_fabric

FILE = Path(__file__).parent / "gateway-vpn.yaml"
SECONDS = 60
DEAD_TIME = 9
"""Of the file's connections; a machine that others use is given as much again."""


@pytest.fixture(scope="module")
def stage() -> Iterator[GatewayStage]:
    hosts = (("paris", "paris..desk", "192.168.10.10"), ("lyon", "lyon..desk", "192.168.20.10"))
    with gateway_stage(FILE, hosts, (("pod", "hub"),)) as made:
        assert eventually(lambda: made.reaches("lyon", "pod") and made.reaches("paris", "pod"), SECONDS)
        yield made


@pytest.mark.parametrize(
    ("place", "program"),
    [
        ("tunnel-gateway-vpn..to-lyon", "charon"),
        ("tunnel-site-lyon..to-192.0.2.1", "charon"),
        ("speaker-gateway-vpn", "bgpd"),
        ("speaker-site-lyon", "bgpd"),
        ("speaker-gateway-vpn", "zebra"),
        ("speaker-gateway-vpn", "staticd"),
    ],
)
def test_a_program_that_is_killed_begins_again_and_a_transfer_goes_on(
    stage: GatewayStage, place: str, program: str
) -> None:
    with stage.transfer("pod", "lyon") as transfer:
        assert eventually(lambda: transfer.rounds > 0, SECONDS)
        before = stage.program(place, program)
        kill(before)
        began = time.monotonic()
        assert eventually(lambda: stage.reaches("paris", "pod"), 5)  # the other tunnel does not notice
        rounds = transfer.rounds
        assert eventually(lambda: stage.reaches("lyon", "pod") and transfer.rounds > rounds, SECONDS)
        assert time.monotonic() - began < 4 * DEAD_TIME
        assert eventually(lambda: stage.program(place, program) not in {0, before}, SECONDS)
    assert eventually(lambda: stage.is_connected("to-lyon"), SECONDS)


def test_the_fabric_is_killed_and_packets_do_not_notice(stage: GatewayStage) -> None:
    programs = {path: path.read_text(encoding="ascii") for path in GATEWAY_RUN.glob("*/*.process")}
    assert len(programs) == 12
    with stage.transfer("pod", "lyon") as transfer:
        kill_fabric()
        for _ in range(5):
            assert stage.reaches("lyon", "pod")
            assert stage.reaches("pod", "paris")
        start_fabric()
        rounds = transfer.rounds
        assert eventually(lambda: transfer.rounds > rounds, SECONDS)
        assert eventually(lambda: stage.is_connected("to-lyon") and stage.is_connected("to-paris"), SECONDS)
    # what ran is found, not begun anew, and not ended by what the new life has found so far
    assert {path: path.read_text(encoding="ascii") for path in programs} == programs
    assert client.ask("GET", "/agreement")["steps"] == []


def test_what_died_while_the_fabric_was_dead_is_begun_by_the_next_one(stage: GatewayStage) -> None:
    place = "tunnel-site-lyon..to-192.0.2.1"
    before = stage.program(place, "charon")
    kill_fabric()
    kill(before)
    start_fabric()
    assert eventually(lambda: stage.reaches("lyon", "pod"), SECONDS)
    assert stage.program(place, "charon") != before
    assert eventually(lambda: stage.is_connected("to-lyon"), SECONDS)


def test_a_site_that_is_gone_is_missed_in_the_dead_time_and_its_routes_with_it(stage: GatewayStage) -> None:
    stage.remove_site("lyon")
    began = time.monotonic()
    assert eventually(lambda: not stage.is_connected("to-lyon"), SECONDS)
    assert time.monotonic() - began < 3 * DEAD_TIME
    assert eventually(lambda: not stage.learned("192.168.20.0/24"), SECONDS)
    assert "TIMEOUT" in stage.connection("to-lyon")["connectionStatusReason"]
    assert not stage.reaches("pod", "lyon", timeout=0.5)
    assert stage.reaches("pod", "paris")
