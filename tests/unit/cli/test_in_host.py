"""What containers put into a node's host, and take away; what kubelet asks of an agent."""

from __future__ import annotations

import fcntl
import json
import socket
import threading
from pathlib import Path

import pytest

from podvnet.agent.conflist_gate import ConflistGate, withdrawn
from podvnet.cli import conflist as conflists
from podvnet.cli import in_host, probe
from podvnet.plugin.frame import RequestBuffer, encode_reply


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The reference plug-ins of an image."""
    folder = tmp_path / "image"
    folder.mkdir()
    for program in conflists.REFERENCE:
        (folder / program).write_text(f"{program} of the image", encoding="utf-8")
    return folder


@pytest.fixture
def host(tmp_path: Path) -> tuple[Path, Path]:
    """The host's folders for programs and for state."""
    for name in ("bin", "state"):
        (tmp_path / name).mkdir()
    return tmp_path / "bin", tmp_path / "state"


def contents(folder: Path) -> dict[str, str]:
    return {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir()}


def test_plugins_that_the_host_has_are_left_alone_by_installing_and_by_removing(
    image: Path, host: tuple[Path, Path]
) -> None:
    programs, state = host
    (programs / "portmap").write_text("the host's", encoding="utf-8")
    in_host.copy_reference(image, programs, state)
    assert contents(programs) == {
        "portmap": "the host's",
        "loopback": "loopback of the image",
        "bandwidth": "bandwidth of the image",
    }
    in_host.take_programs(programs, state)
    assert contents(programs) == {"portmap": "the host's"}
    assert contents(state) == {}


def test_plugins_that_came_with_an_older_image_are_replaced(image: Path, host: tuple[Path, Path]) -> None:
    programs, state = host
    in_host.copy_reference(image, programs, state)
    (image / "portmap").write_text("newer", encoding="utf-8")
    assert in_host.copy_reference(image, programs, state) == [f"portmap in {programs}, from {image}"]
    assert contents(programs)["portmap"] == "newer"
    assert in_host.copy_reference(image, programs, state) == []


def test_a_plugin_that_someone_replaced_since_is_theirs(image: Path, host: tuple[Path, Path]) -> None:
    programs, state = host
    in_host.copy_reference(image, programs, state)
    (programs / "loopback").write_text("another", encoding="utf-8")
    in_host.copy_reference(image, programs, state)
    in_host.take_programs(programs, state)
    assert contents(programs) == {"loopback": "another"}


def test_the_conflist_comes_into_its_place_only_when_the_agent_serves(tmp_path: Path) -> None:
    target = tmp_path / "net.d" / conflists.NAME
    in_host.offer(target, {"name": "first"})
    assert not target.exists()
    ConflistGate(target).follow("", 0)
    assert json.loads(target.read_text(encoding="utf-8")) == {"name": "first"}
    in_host.offer(target, {"name": "second"})  # while pods run it is never away
    assert json.loads(target.read_text(encoding="utf-8")) == {"name": "second"}
    in_host.withdraw(target)
    assert not target.exists()
    assert not withdrawn(target).exists()


def test_an_agent_that_stays_is_waited_for_and_named(tmp_path: Path) -> None:
    in_host.wait_for_agent(tmp_path)
    with (tmp_path / "agent.lock").open("a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(in_host.AgentStaysError, match="1 seconds"):
            in_host.wait_for_agent(tmp_path, 1)


def answer(path: Path, document: bytes) -> threading.Thread:
    """An agent that answers one question."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as caller:
            buffer = RequestBuffer()
            while buffer.feed(caller.recv(4096)) is None:
                pass
            caller.sendall(encode_reply(0, document))

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("what", "document", "reason"),
    [
        ("alive", {"ready": False, "reason": "no NIC", "remedy": "x"}, ""),
        ("ready", {"ready": False, "reason": "no NIC", "remedy": "x"}, "no NIC: x"),
        ("ready", {"ready": True}, ""),
    ],
)
def test_an_agent_is_alive_when_it_answers_and_ready_when_it_says_so(
    tmp_path: Path, what: str, document: dict[str, object], reason: str
) -> None:
    path = tmp_path / "agent.sock"
    thread = answer(path, json.dumps(document).encode())
    assert probe.reason_against(what, str(path)) == reason
    thread.join()


def test_an_agent_that_is_not_there_is_not_alive(tmp_path: Path) -> None:
    assert "does not answer" in probe.reason_against("alive", str(tmp_path / "agent.sock"))
