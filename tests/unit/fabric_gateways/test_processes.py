"""What is refused where programs are missing, and what is said of what does not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podvnet.fabric.gateways import processes, program
from podvnet.fabric.gateways.processes import GatewayProcesses
from podvnet.fabric.reach_file import Reach
from podvnet.model.address import Address
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.gateway import ConnectionStatus, LearnedRoute
from podvnet.model.intent import Intent


def refused(intent: Intent, run: Path) -> dict[str, str]:
    with pytest.raises(ArmErrorsError) as refusal:
        GatewayProcesses(run).check(intent)
    assert {each.code for each in refusal.value.errors} == {"StandInUnavailable"}
    return {f"{each.target}".rpartition("/")[2]: each.message for each in refusal.value.errors}


def test_a_gateway_without_strongswan_is_refused_and_told_the_packages(
    intent: Intent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(program.CHARON, str(tmp_path / "charon"))
    found = refused(intent, tmp_path)
    assert {"vpn", "office"} <= found.keys()
    for package in program.STRONGSWAN_PACKAGES:
        assert package in found["vpn"]


def test_a_gateway_without_frr_is_refused_and_told_the_package(
    intent: Intent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(program.FRR, str(tmp_path))
    found = refused(intent, tmp_path)
    assert {"vpn", "er", "office"} <= found.keys()
    assert "Debian package frr" in found["er"]


def test_a_fabric_without_gateways_needs_no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(program.CHARON, "/nowhere")
    monkeypatch.setenv(program.FRR, "/nowhere")
    GatewayProcesses(tmp_path).check(Intent())
    assert GatewayProcesses(tmp_path).unawaited() is None


class Stub:
    """Keeps nothing, and may be lost."""

    def __init__(self, kept: Any, run: Path, changed: object) -> None:
        del run, changed
        self.end_of_tunnel = self.speaker = kept
        self.lost = False
        self.told: list[object] = []
        self.finished: list[bool] = []

    def tell(self, kept: object) -> None:
        self.told.append(kept)

    def finish(self, *, discard: bool) -> None:
        self.finished.append(discard)


def test_what_nobody_keeps_any_more_is_taken_over_and_ended_with_its_gateway(
    intent: Intent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Stub] = []
    strays: list[Path] = []

    def make(*args: Any) -> Stub:
        made.append(Stub(*args))
        return made[-1]

    for name in ("TunnelKeeper", "SpeakerKeeper"):
        monkeypatch.setattr(processes, name, make)
    monkeypatch.setattr(processes, "end_strays", lambda place, _: strays.append(place))
    gateways = GatewayProcesses(tmp_path)
    gateways.follow(intent)
    first, *others = made
    first.lost = True
    gateways.follow(intent)
    second = made[-1]
    assert len(made) == len(others) + 2
    assert second.end_of_tunnel == first.end_of_tunnel
    assert first.finished == [False]  # its program goes on, for the other one to find
    assert not [each for each in others if each.finished]
    second.lost = True
    gateways.follow(Intent())
    assert second.finished == [True]
    assert len(strays) == 1


def test_of_what_is_not_known_nothing_is_said(intent: Intent, tmp_path: Path) -> None:
    gateways = GatewayProcesses(tmp_path)
    for connection in intent.connections.values():
        assert gateways.connection_state(connection.id).status is ConnectionStatus.UNKNOWN
    for gateway in intent.gateways.values():
        assert gateways.bgp_peers(gateway.id) == ()
        assert gateways.learned(gateway.id) == ()
    peer: Address = next(iter(intent.gateways.values())).instances[0].address
    learned = LearnedRoute(next(iter(intent.gateways.values())).id, next(iter(intent.sites.values())).prefixes[0], peer)
    assert gateways.reach(Intent(learned=frozenset({learned}))) == Reach()
