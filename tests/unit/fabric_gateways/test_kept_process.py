"""Programs that go on by themselves: found again, ended, and what they write; whoever keeps them."""

from __future__ import annotations

import fcntl
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podvnet.fabric.gateways import kept_process, program, tunnel_keeper
from podvnet.fabric.gateways.keeper import Keeper
from podvnet.fabric.gateways.kept_process import KeptProcess, Place
from podvnet.fabric.gateways.tunnel_keeper import TunnelKeeper
from podvnet.linux import namespace
from podvnet.linux.readable import is_readable
from podvnet.model.intent import Intent
from podvnet.plan.tunnel_ends import tunnel_ends
from podvnet.testing.cni import eventually

LABEL = "here"
SHELL = "/bin/sh"
SLEEP = ("/bin/sleep", "60")
SECONDS = 30
OPEN = Path("/proc/self/fd")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """This very network namespace, under a name; programs run without a ``/run`` of their own."""
    (tmp_path / "netns").mkdir()
    (tmp_path / "netns" / LABEL).symlink_to("/proc/self/ns/net")
    monkeypatch.setattr(namespace, "DIRECTORY", tmp_path / "netns")
    monkeypatch.setattr(kept_process.Place, "command", property(lambda _: ()))
    run = tmp_path / "run"
    run.mkdir()
    return Place(LABEL, run)


@pytest.fixture
def begun(place: Place) -> Iterator[Callable[..., KeptProcess]]:
    """Begins a program; ended after the test, whoever has it by then."""
    found: list[KeptProcess] = []

    def begin(*argv: str) -> KeptProcess:
        process = KeptProcess(place, argv)
        process.begin()
        found.append(process)
        return process

    yield begin
    for each in found:
        each.end()


def test_another_life_finds_what_runs(place: Place, begun: Callable[..., KeptProcess]) -> None:
    begun(*SLEEP)
    other = KeptProcess(place, SLEEP)
    assert other.adopt()
    assert other.runs()
    other.end()
    assert not other.runs()


def test_what_was_begun_and_not_written_down_before_a_crash_is_ended(
    place: Place, begun: Callable[..., KeptProcess]
) -> None:
    process = begun(*SLEEP)
    (place.run / "sleep.process").unlink()
    assert not KeptProcess(place, SLEEP).adopt()
    assert not process.runs()


def test_who_has_the_number_of_one_that_has_ended_is_left_alone(
    place: Place, begun: Callable[..., KeptProcess]
) -> None:
    (place.run / "sleep.process").write_text(str(os.getpid()), encoding="ascii")
    assert not KeptProcess(place, SLEEP).adopt()
    process = begun(*SLEEP)
    (place.run / "sleep.process").write_text(str(os.getpid()), encoding="ascii")
    kept_process.end_strays(place.run.parent, set())
    assert not process.runs()


def test_the_programs_of_a_bubble_are_left_alone(
    place: Place, begun: Callable[..., KeptProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = begun(*SLEEP)
    (place.run / "sleep.process").unlink()
    with monkeypatch.context() as bubble:
        bubble.setattr(kept_process, "_processes_of", lambda each: int(each == os.getpid()))
        kept_process.end_strays(place.run.parent, set())
        assert not KeptProcess(place, SLEEP).adopt()
        assert process.runs()
    kept_process.end_strays(place.run.parent, set())
    assert not process.runs()


def test_what_cannot_be_watched_does_not_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(process: int) -> int:
        raise OSError(process)

    monkeypatch.setattr(os, "pidfd_open", refused)
    with pytest.raises(OSError, match=r"\d"):
        KeptProcess(place, SLEEP).begin()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_log_is_emptied_while_its_writer_goes_on(place: Place, begun: Callable[..., KeptProcess]) -> None:
    told = place.run / "told"
    os.mkfifo(told)
    process = begun(SHELL, "-c", f"head -c 1100000 /dev/zero; exec cat {told}")
    with told.open("wb", buffering=0) as tell:  # opened by the reader once it has written
        assert process.log.stat().st_size > 1 << 20
        process.trim()
        assert process.log.stat().st_size == 0
        tell.write(b"after")
        assert eventually(lambda: process.log.read_bytes() == b"after", SECONDS)
        process.trim()
        assert process.log.read_bytes() == b"after"


def test_a_descriptor_beyond_what_select_takes_is_waited_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    reader, writer = os.pipe()
    far = fcntl.fcntl(reader, fcntl.F_DUPFD, 1500)
    try:
        assert not is_readable(0, far)
        os.write(writer, b"\0")
        assert is_readable(SECONDS, far)
    finally:
        for each in (reader, writer, far):
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Failing(Keeper):
    """Fails in a way that it is not made for, or waits until it is told to stop."""

    def __init__(self, run: Path, *, fails: bool) -> None:
        super().__init__("failing", run, lambda: None)
        self.fails = fails
        self.unknown = False
        self._thread.start()

    def _keep(self) -> None:
        if self.fails:
            raise LookupError
        while not self._is_over():
            self._settled.set()
            self._rest(SECONDS)

    def _lose(self) -> None:
        self.unknown = True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_waits_for_a_keeper_that_fails_is_told(tmp_path: Path) -> None:
    keeper = Failing(tmp_path, fails=True)
    keeper.wait()
    assert "podvnet's own" in keeper.failure
    assert (keeper.unknown, keeper.lost) == (True, True)
    keeper.finish(discard=False)


def test_a_reset_after_the_end_is_told_to_nobody(tmp_path: Path) -> None:
    keeper = Failing(tmp_path, fails=False)
    keeper.wait()
    keeper.finish(discard=False)
    pipes = [os.pipe() for _ in range(4)]  # what was the keeper's is somebody else's now
    try:
        keeper.reset()
        assert not is_readable(0, *(reader for reader, _ in pipes))
    finally:
        for each in pipes:
            os.close(each[0])
            os.close(each[1])


def test_a_program_that_ends_again_and_again_leaves_nothing_behind(
    place: Place, intent: Intent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = tmp_path / "starts"
    charon = tmp_path / "charon"
    charon.write_text(f"#!/bin/sh\necho >>{starts}\n", encoding="ascii")
    charon.chmod(0o700)
    monkeypatch.setattr(program, "charon", lambda: charon)
    monkeypatch.setattr(tunnel_keeper, "Executor", Idle)
    monkeypatch.setattr(tunnel_keeper, "_SECONDS_BETWEEN_STARTS", 0.01)
    enough = threading.Event()

    def changed() -> None:
        if starts.exists() and starts.stat().st_size >= 20:
            enough.set()

    before = len(list(OPEN.iterdir()))
    keeper = TunnelKeeper(tunnel_ends(intent)[0], place.run, changed)
    assert enough.wait(SECONDS)
    keeper.finish(discard=True)
    assert len(list(OPEN.iterdir())) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


class Idle:
    """Carries out nothing."""

    def apply(self, steps: object) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
