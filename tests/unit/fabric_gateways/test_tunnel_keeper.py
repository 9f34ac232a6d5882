"""Who keeps an end of a tunnel: what a later life finds that was told otherwise than it should be."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from podvnet.fabric.gateways import charon_settings, kept_process, program, tunnel_keeper
from podvnet.fabric.gateways.tunnel_keeper import TunnelKeeper
from podvnet.fabric.services.program import MissingProgramError
from podvnet.linux import namespace
from podvnet.model.intent import Intent
from podvnet.plan.tunnel_ends import TunnelEnd, tunnel_ends
from podvnet.testing.cni import eventually

SECONDS = 60


class Idle:
    """Carries out nothing."""

    def apply(self, steps: object) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def end(intent: Intent) -> TunnelEnd:
    return tunnel_ends(intent)[0]


@pytest.fixture
def run(end: TunnelEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the tunnel's files are; its charon is a stand-in."""
    (tmp_path / "netns").mkdir()
    (tmp_path / "netns" / end.namespace).symlink_to("/proc/self/ns/net")
    monkeypatch.setattr(namespace, "DIRECTORY", tmp_path / "netns")
    monkeypatch.setattr(kept_process.Place, "command", property(lambda _: ()))
    monkeypatch.setattr(tunnel_keeper, "Executor", Idle)
    charon = tmp_path / "charon"
    stand_in = Path(__file__).with_name("fake_charon.py")
    charon.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n', encoding="utf-8")
    charon.chmod(0o700)
    monkeypatch.setattr(program, "charon", lambda: charon)
    return tmp_path / "tunnel"


@contextmanager
def kept(end: TunnelEnd, run: Path, *, discard: bool) -> Iterator[TunnelKeeper]:
    """A life: it keeps the end, and then ends its program or lets it go on."""
    keeper = TunnelKeeper(end, run)
    try:
        keeper.wait()
        assert keeper.failure == ""
        yield keeper
    finally:
        keeper.finish(discard=discard)


def requests(run: Path) -> list[str]:
    """What charon was asked to do, less what was only looked at."""
    looks = ("list-sas", "get-shared", "initiate")
    lines = (run / "requests").read_text(encoding="utf-8").splitlines()
    return [each.strip() for each in lines if not each.startswith(looks)]


def process(run: Path) -> str:
    return (run / "charon.process").read_text(encoding="ascii")


def test_a_later_life_leaves_a_tunnel_alone_that_is_as_it_should_be(end: TunnelEnd, run: Path) -> None:
    with kept(end, run, discard=False):
        before = process(run)
        told = requests(run)
    with kept(end, run, discard=True):
        assert process(run) == before
        assert eventually(lambda: len(requests(run)) == 2 * len(told), SECONDS)
        assert not [each for each in requests(run) if each.startswith(("terminate", "unload"))]


def test_a_later_life_makes_a_tunnel_anew_whose_key_has_changed_meanwhile(end: TunnelEnd, run: Path) -> None:
    with kept(end, run, discard=False):
        before = process(run)
    changed = replace(end, shared_key="another")
    with kept(changed, run, discard=True):
        assert process(run) == before
        old, new = charon_settings.key_id(end), charon_settings.key_id(changed)
        wanted = [f"load-shared {new}", "load-conn", "terminate", f"unload-shared {old}", "terminate"]
        assert eventually(lambda: requests(run)[-5:] == wanted, SECONDS), requests(run)


def test_a_later_life_begins_a_charon_anew_that_was_told_to_wait_otherwise(end: TunnelEnd, run: Path) -> None:
    with kept(end, run, discard=False):
        before = process(run)
    with kept(replace(end, dpd_timeout=end.dpd_timeout + 3), run, discard=True):
        assert process(run) != before


def test_a_program_that_is_missing_is_missed_once_in_the_log(
    end: TunnelEnd, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def missing() -> Path:
        nonlocal tries
        tries += 1
        msg = "there is no charon"
        raise MissingProgramError(msg)

    monkeypatch.setattr(program, "charon", missing)
    monkeypatch.setattr(tunnel_keeper, "_SECONDS_BETWEEN_STARTS", 0.01)
    with capture_logs() as said:
        keeper = TunnelKeeper(end, run)
        keeper.wait()
        assert keeper.failure == "there is no charon"
        assert eventually(lambda: tries > 5, SECONDS)
        keeper.finish(discard=True)
    assert [(each["event"], each["reason"]) for each in said] == [("program_failed", "there is no charon")]


def test_each_end_of_a_program_that_had_answered_is_logged(end: TunnelEnd, run: Path) -> None:
    def kill(times: int) -> None:
        before = process(run)
        os.kill(int(before), signal.SIGKILL)
        assert eventually(lambda: events().count("program_failed") == times, SECONDS)
        assert eventually(lambda: process(run) not in {"", before}, SECONDS)
        assert eventually(lambda: requests(run).count("load-conn") == times + 1, SECONDS)

    def events() -> list[str]:
        return [each["event"] for each in said]

    with capture_logs() as said, kept(end, run, discard=True):
        kill(1)
        kill(2)


def test_the_name_of_a_key_holds_none_of_it(end: TunnelEnd, run: Path) -> None:
    with kept(end, run, discard=True):
        held = "".join(each.read_text(errors="replace") for each in run.iterdir() if each.is_file())
    assert charon_settings.key_id(end) in held  # which the stand-in writes down
    assert end.shared_key not in held


def test_a_charon_that_runs_and_does_not_answer_is_waited_for_only_so_long(
    end: TunnelEnd, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel_keeper, "_SECONDS_TO_ANSWER", 0.1)
    program.charon().write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")
    keeper = TunnelKeeper(end, run)
    try:
        keeper.wait()
        assert keeper.failure.startswith(f"charon does not answer at {run / 'vici'}: ")
        assert Path(f"/proc/{process(run)}").exists()
    finally:
        keeper.finish(discard=True)
