"""A charon is of use only with every plug-in that a tunnel needs; what is missing is named, and what to install."""

from __future__ import annotations

from pathlib import Path

import pytest

from podvnet.fabric.gateways import program
from podvnet.fabric.services.program import MissingProgramError

PLUGINS = ("kernel-libipsec", "vici", "updown", "counters")


@pytest.fixture
def charon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A charon with all its plug-ins, and a machine with /dev/net/tun."""
    (tmp_path / "plugins").mkdir()
    for name in PLUGINS:
        plugin(tmp_path, name).touch()
    (tmp_path / "charon").touch(mode=0o700)
    (tmp_path / "tun").touch()
    monkeypatch.setenv(program.CHARON, str(tmp_path / "charon"))
    monkeypatch.setattr(program, "_TUN", tmp_path / "tun")
    return tmp_path / "charon"


def plugin(folder: Path, name: str) -> Path:
    return folder / "plugins" / f"libstrongswan-{name}.so"


def test_a_charon_that_is_whole_is_found(charon: Path) -> None:
    assert program.charon() == charon


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plug_in_that_is_missing_is_named_with_the_packages(charon: Path, name: str) -> None:
    plugin(charon.parent, name).unlink()
    with pytest.raises(MissingProgramError, match=f"with its plug-in {name}") as missing:
        program.charon()
    assert all(each in str(missing.value) for each in program.STRONGSWAN_PACKAGES)


def test_a_charon_that_is_missing_and_a_device_that_is(charon: Path) -> None:
    program._TUN.unlink()
    with pytest.raises(MissingProgramError, match="mknod"):
        program.charon()
    charon.unlink()
    with pytest.raises(MissingProgramError, match="charon is not at"):
        program.charon()
