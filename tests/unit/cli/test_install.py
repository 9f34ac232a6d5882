"""What ``podvnet install --docker`` writes for Docker, and ``uninstall`` takes back; systemd's unit."""

from __future__ import annotations

from pathlib import Path

import pytest

from podvnet.cli import agent_options, agent_service, install


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of options, which is not there yet."""
    file = tmp_path / "etc" / "agent.env"
    monkeypatch.setattr(agent_options, "FILE", file)
    monkeypatch.setattr(install, "DOCKER_SOCKET", tmp_path / "azure-vnet.sock")
    return file


def test_a_file_of_options_that_was_made_for_docker_goes(environment: Path) -> None:
    install._serve_docker()
    assert agent_options.options() == {"PODVNET_DOCKER": "1"}
    install._serve_docker()
    assert environment.read_text(encoding="utf-8") == "PODVNET_DOCKER=1\n"
    assert install._forget_docker()
    assert not environment.exists()
    assert not install._forget_docker()


@pytest.mark.parametrize("end", ["\n", ""])
def test_what_else_is_in_the_file_of_options_stays(environment: Path, end: str) -> None:
    environment.parent.mkdir()
    text = f"# a note on PODVNET_DOCKER\nPODVNET_POOL_SOURCE=arm\nPODVNET_DOCKER_SOCKET=/run/d.sock{end}"
    environment.write_text(text, encoding="utf-8")
    install._serve_docker()
    assert agent_options.options()["PODVNET_DOCKER"] == "1"
    assert install._forget_docker()
    assert environment.read_text(encoding="utf-8") == text.rstrip("\n") + "\n"


def test_a_socket_that_a_killed_agent_left_goes(environment: Path) -> None:
    install.DOCKER_SOCKET.touch()
    install._forget_docker()
    assert not install.DOCKER_SOCKET.exists()


def test_the_agent_is_started_before_every_engine_that_it_serves() -> None:
    before = next(line for line in agent_service._UNIT_TEXT.splitlines() if line.startswith("Before="))
    engines = {"containerd.service", "crio.service", "docker.service", "kubelet.service"}
    assert set(before.removeprefix("Before=").split()) == engines
