"""The conflist as the sign that pods can be attached, for runtimes that know no other.

CNI 1.1 has STATUS. containerd before 2.0 does not ask it: to it a node's network is ready when there is a conflist, and
not ready when there is none, which it notices at once. It also needs the conflist to take pods down, so one is
withdrawn only while no pod is attached; and not where another conflist is, which would be taken in its stead.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import structlog

_READ = frozenset({".conflist", ".conf", ".json"})
"""The names of files that runtimes read."""

_log = structlog.get_logger()


def withdrawn(conflist: Path) -> Path:
    """Where a conflist is while it is withdrawn: under a name that no runtime reads."""
    return conflist.with_name(f".{conflist.name}.withdrawn")


class ConflistGate:
    """Puts a conflist in its place and takes it away.

    Args:
        conflist: its place; None when the agent is not to care.
    """

    def __init__(self, conflist: Path | None) -> None:
        self._conflist = conflist

    def follow(self, obstacle: str, attached: int) -> None:
        """Let the conflist say whether pods can be attached.

        Args:
            obstacle: what STATUS says against it; empty when nothing.
            attached: how many pods are attached.
        """
        if self._conflist is None:
            return
        try:
            if not obstacle:
                _return(self._conflist)
            elif not attached and self._conflist.exists() and not _others(self._conflist):
                # Of two names of one file, as a crash in `_return` may leave them, replace would take neither away.
                withdrawn(self._conflist).unlink(missing_ok=True)
                self._conflist.replace(withdrawn(self._conflist))
                _log.warning("conflist_withdrawn", conflist=str(self._conflist), reason=obstacle)
        except OSError as error:
            _log.warning("conflist_not_moved", conflist=str(self._conflist), reason=str(error))


def _return(conflist: Path) -> None:
    aside = withdrawn(conflist)
    if not aside.exists():
        return
    # One that is installed anew just now must not be replaced by it, so it is not renamed.
    with contextlib.suppress(FileExistsError):
        os.link(aside, conflist)
        _log.info("conflist_back", conflist=str(conflist))
    aside.unlink(missing_ok=True)


def _others(conflist: Path) -> bool:
    return any(each.suffix in _READ and each != conflist for each in conflist.parent.iterdir())
