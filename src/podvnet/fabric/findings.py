"""What is found of the network and is no resource: who answers probes, where gateways lead.

It is part of the intent and not of the store. What was found last is in files, where a restart of the process finds it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from podvnet.fabric.health_file import HealthFile
from podvnet.fabric.reach_file import Reach, ReachFile
from podvnet.model.intent import Intent


class Findings:
    """The files.

    Args:
        run: directory for what a reboot of the machine ends.
    """

    def __init__(self, run: Path) -> None:
        self._health = HealthFile(run / "health.json")
        self._reach = ReachFile(run / "reach.json")

    def last(self, intent: Intent) -> Intent:
        """An intent with what was found last, as the files have it."""
        reach = self._reach.read()
        return replace(intent, healthy=self._health.read(), learned=reach.learned, connected=reach.connected)

    def write_health(self, intent: Intent) -> None:
        """Keep which members of pools answer which probes."""
        self._health.write(intent.healthy)

    def write_reach(self, intent: Intent) -> None:
        """Keep where gateways lead and which of their connections carry packets."""
        self._reach.write(reach_of(intent))


def reach_of(intent: Intent) -> Reach:
    """What an intent has of gateways that was found."""
    return Reach(intent.learned, intent.connected)


def as_found(intent: Intent, known: Intent) -> Intent:
    """An intent with what is found of another."""
    return replace(intent, healthy=known.healthy, learned=known.learned, connected=known.connected)
