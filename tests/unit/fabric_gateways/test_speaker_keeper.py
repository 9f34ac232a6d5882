"""Who keeps a BGP speaker: what is told to daemons that refuse it, and what is said when they are gone."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from podvnet.fabric.gateways import frr_settings, kept_process, program, speaker_keeper
from podvnet.fabric.gateways.speaker_keeper import SpeakerKeeper
from podvnet.fabric.gateways.states import BgpState
from podvnet.linux import namespace
from podvnet.linux.readable import is_readable
from podvnet.model.intent import Intent
from podvnet.plan.speakers import Speaker, speakers
from podvnet.testing.cni import eventually

SECONDS = 60
ROUTES = {"routes": {"192.168.0.0/16": [{"bestpath": True, "valid": True, "peerId": "192.168.255.1", "path": "65010"}]}}


@pytest.fixture
def speaker(intent: Intent) -> Speaker:
    return next(each for each in speakers(intent) if each.namespace == "podvnet-gateway-vpn")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    found = tmp_path / "speaker"
    found.mkdir()
    return found


@pytest.fixture
def keeper(speaker: Speaker, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SpeakerKeeper]:
    """Keeps the speaker, whose daemons are stand-ins."""
    (tmp_path / "netns").mkdir()
    (tmp_path / "netns" / speaker.namespace).symlink_to("/proc/self/ns/net")
    monkeypatch.setattr(namespace, "DIRECTORY", tmp_path / "netns")
    monkeypatch.setattr(kept_process.Place, "command", property(lambda _: ()))
    monkeypatch.setattr(program, "frr_user", lambda: (os.getuid(), os.getgid()))
    monkeypatch.setattr(speaker_keeper, "_SECONDS_BETWEEN_STARTS", 0.05)
    monkeypatch.setattr(speaker_keeper, "_SECONDS_BETWEEN_LOOKS", 0.05)
    stand_in = Path(__file__).with_name("fake_frr.py")

    def frr(name: str) -> Path:
        file = tmp_path / name
        if not file.exists():
            file.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n', encoding="utf-8")
            file.chmod(0o700)
        return file

    monkeypatch.setattr(program, "frr", frr)
    made = SpeakerKeeper(speaker, run, lambda: None)
    made.wait()
    assert made.failure == ""
    yield made
    made.finish(discard=True)


def process(run: Path, name: str) -> int:
    return int((run / f"{name}.process").read_text(encoding="ascii"))


def test_what_was_half_told_is_told_anew_from_the_file(keeper: SpeakerKeeper, speaker: Speaker, run: Path) -> None:
    before = process(run, "bgpd")
    (run / "refused").write_text("network 192.168.77.0/24", encoding="utf-8")
    after = replace(speaker, networks=(*speaker.networks, ip_network("192.168.77.0/24")))
    keeper.tell(after)
    assert eventually(lambda: (run / "bgpd.process").exists() and process(run, "bgpd") != before, SECONDS)
    assert (run / "frr.conf").read_text(encoding="utf-8") == frr_settings.settings(after)
    # Nothing of it is told a second time, and what comes next is told as ever.
    assert eventually(lambda: keeper.failure == "", SECONDS)
    (run / "refused").unlink()
    keeper.tell(speaker)
    told = run / "commands"
    assert eventually(lambda: "no network 192.168.77.0/24" in told.read_text(encoding="utf-8"), SECONDS)
    assert told.read_text(encoding="utf-8").count("bgpd network 192.168.77.0/24") == 1


def test_of_a_daemon_that_is_gone_and_does_not_come_back_no_route_is_left(keeper: SpeakerKeeper, run: Path) -> None:
    (run / "routes.json").write_text(json.dumps(ROUTES), encoding="utf-8")
    assert eventually(lambda: bool(keeper.state and keeper.state.best), SECONDS)
    (run / "broken").touch()
    os.kill(process(run, "bgpd"), signal.SIGKILL)
    assert eventually(lambda: keeper.state is not None and keeper.state.best == (), SECONDS)
    assert eventually(lambda: "bgpd" in keeper.failure, SECONDS)
    (run / "broken").unlink()
    assert eventually(lambda: bool(keeper.state and keeper.state.best), SECONDS)
    assert keeper.failure == ""


def test_a_session_that_was_dropped_for_too_many_prefixes_is_idle(keeper: SpeakerKeeper, run: Path) -> None:
    said = {"192.168.255.1": {"remoteAs": 65010, "state": "Idle (PfxCt)", "peerUptimeMsec": 9000, "pfxRcd": 4001}}
    (run / "peers.json").write_text(json.dumps({"peers": said}), encoding="utf-8")
    assert eventually(lambda: bool(keeper.state and keeper.state.peers), SECONDS)
    assert keeper.state
    (peer,) = keeper.state.peers
    assert (peer.state, peer.connected) == (BgpState.IDLE, 0)


def test_daemons_go_on_when_they_are_left_and_are_found(keeper: SpeakerKeeper, speaker: Speaker, run: Path) -> None:
    before = {name: process(run, name) for name in speaker_keeper.DAEMONS}
    descriptors = [os.pidfd_open(each) for each in before.values()]
    other = SpeakerKeeper(speaker, run, lambda: None)
    other.wait()
    assert {name: process(run, name) for name in speaker_keeper.DAEMONS} == before
    other.finish(discard=False)
    assert not is_readable(0, *descriptors)
    for each in descriptors:
        os.close(each)
    assert keeper.failure == ""
