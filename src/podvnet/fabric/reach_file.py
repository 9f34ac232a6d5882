"""Where gateways led last, kept where a restart of the process finds it and a reboot of the machine does not.

Without it the routes that BGP has brought would go from the kernel when the process begins anew, and come back when it
has asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from podvnet.model.gateway import LearnedRoute
from podvnet.model.resource_id import ResourceId, parse


@dataclass(frozen=True, slots=True)
class Reach:
    """What is found of gateways and is no resource; see :class:`podvnet.model.intent.Intent`."""

    learned: frozenset[LearnedRoute] = frozenset()
    connected: frozenset[ResourceId] = frozenset()


class ReachFile:
    """The file. It is replaced as a whole, so that it is never half written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Reach:
        """What was written last; nothing when there is no file.

        Raises:
            ValueError: it was written by something else.
        """
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Reach()
        return Reach(
            frozenset(
                LearnedRoute(parse(gateway), ip_network(prefix), ip_address(peer), tuple(path))
                for gateway, prefix, peer, path in told["learned"]
            ),
            frozenset(map(parse, told["connected"])),
        )

    def write(self, reach: Reach) -> None:
        """Replace what is there.

        Raises:
            OSError: the directory cannot be written to.
        """
        draft = self._path.with_suffix(".new")
        draft.touch(mode=0o600)
        learned = sorted(
            (str(each.gateway), str(each.prefix), str(each.peer), list(each.as_path)) for each in reach.learned
        )
        told = {"learned": learned, "connected": sorted(map(str, reach.connected))}
        draft.write_text(json.dumps(told), encoding="utf-8")
        draft.replace(self._path)
