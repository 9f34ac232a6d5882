"""What dies of a gateway, a site and the fabric comes back by itself, in the time that documents say, and says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podvnet.cli import client
from podvnet.testing.cni import eventually
from podvnet.testing.gateway_stage import GATEWAY_RUN, GROUP, GatewayStage, gateway_stage
from podvnet.testing.outage import kill, kill_fabric, start_fabric

FILE = Path(__file__).parent / "gateway-vpn.yaml"
SECONDS = 120
"""For what takes seconds on a quiet machine, and a transfer longer: TCP tries again after twice the time each time."""
DEAD_TIME = 9
"""Of the file's connections; a machine that others use is given as much again."""
PROGRAMS = 12
"""Four charons, and four daemons of FRR for each of the gateway and the site that speak BGP."""


@pytest.fixture(scope="module")
def stage() -> Iterator[GatewayStage]:
    hosts = (("paris", "paris..desk", "192.168.10.10"), ("lyon", "lyon..desk", "192.168.20.10"))
    with gateway_stage(FILE, hosts, (("pod", "hub"),)) as made:
        assert eventually(lambda: is_whole(made), SECONDS)
        yield made


def programs() -> dict[Path, str]:
    """The process of every program, by the file that tells it."""
    return {path: path.read_text(encoding="ascii") for path in GATEWAY_RUN.glob("*/*.process")}


def runs(process: str) -> bool:
    try:
        return bool(process) and bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_whole(stage: GatewayStage) -> bool:
    """Whether nothing is on its way down or back: one that ends may take others with it, which begin anew as well."""
    found = programs()  # without those that have ended and are to begin anew
    gateways: Any = stage.cloud.network.virtual_network_gateways
    peers = gateways.begin_get_bgp_peer_status(GROUP, "vpn").result().value or []
    return (
        len(found) == PROGRAMS
        and all(map(runs, found.values()))
        and [each.state for each in peers] == ["Connected"]
        and all(stage.is_connected(f"to-{site}") and stage.reaches(site, "pod") for site in ("lyon", "paris"))
        and stage.learned("192.168.20.0/24")
    )


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
    other = stage.program("tunnel-gateway-vpn..to-paris", "charon")
    with stage.transfer("pod", "lyon") as transfer:
        assert eventually(lambda: transfer.rounds > 0, SECONDS)
        before = stage.program(place, program)
        kill(before)
        began = time.monotonic()
        # The other tunnel does not notice.
        assert stage.waits_to_reach("paris", "pod", DEAD_TIME)
        assert stage.program("tunnel-gateway-vpn..to-paris", "charon") == other
        rounds = transfer.rounds
        assert stage.waits_to_reach("lyon", "pod", SECONDS)
        assert time.monotonic() - began < 4 * DEAD_TIME
        assert eventually(lambda: transfer.rounds > rounds, SECONDS)
        assert eventually(lambda: stage.program(place, program) not in {0, before}, SECONDS)
    assert eventually(lambda: is_whole(stage), SECONDS)


def test_the_fabric_is_killed_and_packets_do_not_notice(stage: GatewayStage) -> None:
    assert eventually(lambda: is_whole(stage), SECONDS)
    before = programs()
    with stage.transfer("pod", "lyon") as transfer:
        kill_fabric()
        for _ in range(5):
            assert stage.reaches("lyon", "pod", timeout=10)
            assert stage.reaches("pod", "paris", timeout=10)
        start_fabric()
        rounds = transfer.rounds
        assert eventually(lambda: transfer.rounds > rounds, SECONDS)
        assert eventually(lambda: is_whole(stage), SECONDS)
    # what ran is found, not begun anew, and not ended by what the new life has found so far
    assert programs() == before
    assert eventually(lambda: client.ask("GET", "/agreement")["steps"] == [], SECONDS), client.ask("GET", "/agreement")


def test_what_died_while_the_fabric_was_dead_is_begun_by_the_next_one(stage: GatewayStage) -> None:
    place = "tunnel-site-lyon..to-192.0.2.1"
    before = stage.program(place, "charon")
    kill_fabric()
    kill(before)
    start_fabric()
    assert stage.waits_to_reach("lyon", "pod", SECONDS)
    assert stage.program(place, "charon") not in {0, before}
    assert eventually(lambda: is_whole(stage), SECONDS)


def test_a_site_that_is_gone_is_missed_in_the_dead_time_and_its_routes_with_it(stage: GatewayStage) -> None:
    stage.remove_site("lyon")
    began = time.monotonic()
    assert stage.waits_for("to-lyon", SECONDS, connected=False)
    assert time.monotonic() - began < 3 * DEAD_TIME
    assert eventually(lambda: not stage.learned("192.168.20.0/24"), SECONDS)
    # The reason is found in what is written a moment after the tunnel has gone.
    assert eventually(lambda: "TIMEOUT" in stage.connection("to-lyon").get("connectionStatusReason", ""), SECONDS)
    assert not stage.reaches("pod", "lyon", timeout=0.5)
    assert stage.waits_to_reach("pod", "paris", SECONDS)
