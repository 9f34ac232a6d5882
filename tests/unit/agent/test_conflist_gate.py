"""The conflist is in its place exactly while runtimes may count on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from podvnet.agent.conflist_gate import ConflistGate, withdrawn

NO_ADDRESS = "the NIC has no address for a pod"


@pytest.fixture
def conflist(tmp_path: Path) -> Path:
    path = tmp_path / "10-azure.conflist"
    path.write_text("{}", encoding="utf-8")
    return path


def test_it_goes_while_no_pod_can_be_attached_and_comes_back_as_it_was(conflist: Path) -> None:
    gate = ConflistGate(conflist)
    gate.follow(NO_ADDRESS, 0)
    assert [each.name for each in conflist.parent.iterdir()] == [".10-azure.conflist.withdrawn"]
    gate.follow(NO_ADDRESS, 0)
    gate.follow("", 0)
    assert [(each.name, each.read_text()) for each in conflist.parent.iterdir()] == [("10-azure.conflist", "{}")]


def test_it_stays_while_a_pod_is_attached_for_the_runtime_needs_it_to_take_the_pod_down(conflist: Path) -> None:
    ConflistGate(conflist).follow(NO_ADDRESS, 1)
    assert conflist.exists()


@pytest.mark.parametrize("other", ["87-podman-bridge.conflist", "99-loopback.conf", "5.json"])
def test_it_stays_where_a_runtime_would_take_another(conflist: Path, other: str) -> None:
    conflist.with_name(other).touch()
    ConflistGate(conflist).follow(NO_ADDRESS, 0)
    assert conflist.exists()


def test_one_that_was_installed_meanwhile_is_the_one_that_holds(conflist: Path) -> None:
    gate = ConflistGate(conflist)
    gate.follow(NO_ADDRESS, 0)
    conflist.write_text('{"name": "new"}', encoding="utf-8")
    gate.follow("", 0)
    assert conflist.read_text() == '{"name": "new"}'
    assert not withdrawn(conflist).exists()


def test_it_does_not_appear_where_none_was(tmp_path: Path) -> None:
    gate = ConflistGate(tmp_path / "10-azure.conflist")
    for obstacle in ("", NO_ADDRESS, ""):
        gate.follow(obstacle, 0)
    assert list(tmp_path.iterdir()) == []


def test_an_agent_that_is_not_to_care_touches_nothing(conflist: Path) -> None:
    ConflistGate(None).follow(NO_ADDRESS, 0)
    assert conflist.exists()


def test_a_folder_that_is_not_there_is_survived(tmp_path: Path) -> None:
    ConflistGate(tmp_path / "gone" / "10-azure.conflist").follow(NO_ADDRESS, 0)
