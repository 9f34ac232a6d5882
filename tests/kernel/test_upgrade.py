"""The agent takes over a VM from one of another version: its files, and pods that talk all the while."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from podvnet.runtime.probe import seen_as
from podvnet.testing.cni import Runtime
from podvnet.testing.lab import PODVNET, Lab
from podvnet.testing.outage import kill
from podvnet.testing.talk import Talk

LEDGER = Path("/run/podvnet/ledger.db")


def of_the_first_version(ledger: sqlite3.Connection) -> None:
    """The first version had only some of the tables, and numbered none of its files."""
    ledger.executescript("DROP TABLE withdrawn; DROP TABLE reserved; PRAGMA user_version = 0;")


def of_another_shape(ledger: sqlite3.Connection) -> None:
    """A version in between that kept its rows in other columns."""
    ledger.executescript("DROP INDEX free; ALTER TABLE addresses RENAME COLUMN version TO family;")


def of_a_later_version(ledger: sqlite3.Connection) -> None:
    """A later version, from which an administrator goes back: it must fill a column that this one does not know."""
    ledger.executescript(
        "PRAGMA user_version = 99; ALTER TABLE attachments ADD COLUMN tenant TEXT NOT NULL DEFAULT '';"
    )


@pytest.mark.parametrize("change", [of_the_first_version, of_another_shape, of_a_later_version])
def test_pods_of_an_agent_of_another_version_go_on_and_are_taken_over(
    fresh_lab: Lab, change: Callable[[sqlite3.Connection], None]
) -> None:
    lab = fresh_lab
    near, far = lab.run_pod("near", "vm1"), lab.run_pod("far", "vm2")
    with Talk(far.descriptor, near.address) as talk:
        kill(int(lab.inside("vm1", "cat", "/run/podvnet/agent.lock").stdout))

        def rewrite() -> None:
            with closing(sqlite3.connect(LEDGER, isolation_level=None)) as ledger:
                change(ledger)

        with closing(Runtime(lab, "vm1")) as vm:
            vm.do(rewrite)
        lab.install("vm1", "--unattended")
        attachments = lab.agent_status("vm1")["attachments"]
        assert [(each["addresses"], each["state"]) for each in attachments] == [([near.address], "attached")]
        other = lab.run_pod("other", "vm1")
        assert other.address != near.address
        assert seen_as(near.descriptor, other.address) == near.address
        answered = talk.calls["answered"]
        while talk.calls["answered"] < answered + 5:
            assert talk.calls["lost"] == 0
    assert talk.calls["lost"] == 0
    for name in ("near", "other"):
        lab.delete_pod(name)
    assert lab.agent_status("vm1")["pool"]["held"] == 0
    assert lab.inside("vm1", *PODVNET, "status").returncode == 0
