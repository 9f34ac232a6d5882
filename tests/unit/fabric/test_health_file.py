"""What probes have found, on disk."""

from __future__ import annotations

import stat
from ipaddress import ip_address
from pathlib import Path

from podvnet.fabric.health_file import HealthFile
from podvnet.testing.balancing_draft import part

ONE = (part("lb", "probes", "p"), ip_address("10.0.1.4"))
SIX = (part("lb", "probes", "p"), ip_address("fd00::4"))


def test_it_comes_back_as_it_was_and_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    file = HealthFile(path)
    assert file.read() == frozenset()
    file.write(frozenset({ONE, SIX}))
    assert HealthFile(path).read() == {ONE, SIX}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    file.write(frozenset({SIX}))
    assert file.read() == {SIX}
    assert list(tmp_path.iterdir()) == [path]
