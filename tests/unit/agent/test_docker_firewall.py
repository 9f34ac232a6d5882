"""Docker's own firewall, opened for containers; the programs are stand-ins that show a chain and keep what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from podvnet.agent.docker import forwarding

OPENED = "-I DOCKER-USER -i azv+ -j ACCEPT", "-I DOCKER-USER -o azv+ -j ACCEPT"
STANDING = "-N DOCKER-USER\n-A DOCKER-USER -i azv+ -j ACCEPT\n-A DOCKER-USER -o azv+ -j ACCEPT\n"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(programs: Path, *, shows: str = "-N DOCKER-USER\n", status: int = 0, changes: int = 0) -> None:
    """Programs that show a chain with one status, and end a change with another."""
    for name in ("iptables", "ip6tables"):
        file = programs / name
        file.write_text(
            f'#!/bin/sh\necho "$*" >>{programs}/said\n'
            f'if [ "$2" = -S ]; then printf "%s" "{shows}"; exit {status}; fi\nexit {changes}\n',
            encoding="ascii",
        )
        file.chmod(0o755)


def said(programs: Path) -> list[str]:
    lines = (programs / "said").read_text(encoding="ascii").splitlines()
    return [line.removeprefix("-w ") for line in lines if " -S " not in line]


def test_containers_are_let_through_in_the_chain_that_docker_leaves_to_others(programs: Path) -> None:
    put(programs)
    assert forwarding.admit()
    assert said(programs) == [*OPENED, *OPENED]


def test_what_stands_is_not_written_again(programs: Path) -> None:
    put(programs, shows=STANDING)
    assert forwarding.admit()
    assert said(programs) == []
    forwarding.forget()
    assert said(programs) == [each.replace("-I", "-D") for each in (*OPENED, *OPENED)]


def test_without_such_a_chain_or_program_nothing_is_in_the_way(programs: Path) -> None:
    assert forwarding.admit()
    put(programs, shows="", status=1)
    assert forwarding.admit()
    assert said(programs) == []


def test_a_rule_that_is_refused_is_no_success(programs: Path) -> None:
    put(programs, changes=1)
    assert not forwarding.admit()
    assert said(programs) == [*OPENED, *OPENED]


def test_a_chain_that_cannot_be_seen_is_no_success(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(programs, shows="", status=4)
    assert not forwarding.admit()
    for name in ("iptables", "ip6tables"):
        (programs / name).write_text("#!/bin/sh\nexec /bin/sleep 60\n", encoding="ascii")
    monkeypatch.setattr(forwarding, "_TIMEOUT", 0.05)
    assert not forwarding.admit()
