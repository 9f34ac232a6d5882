"""Deletes retired links, many at a time: deleting one costs the kernel as long a wait as deleting thirty.

A link is retired by setting it down and into :data:`GROUP`; its name and addresses are free from then on. A crash
between leaves links in the group, which the next start deletes.
"""

from __future__ import annotations

import threading

import structlog

from podvnet.linux import namespace, rtnetlink
from podvnet.linux.netlink import ROUTE, NetlinkSocket

GROUP = 99
_PAUSE = 0.05
"""Seconds between a first retirement and the deletion: what is retired meanwhile goes with it."""

_log = structlog.get_logger()


class Reaper:
    """A thread with a socket of its own in one namespace."""

    def __init__(self, descriptor: int) -> None:
        self._netlink = namespace.run_inside(descriptor, lambda: NetlinkSocket(ROUTE))
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link-reaper", daemon=True)

    def start(self) -> None:
        """Start; what an earlier life retired is deleted first."""
        self._wake.set()
        self._thread.start()

    def notice(self) -> None:
        """Something was retired."""
        self._wake.set()

    def stop(self) -> None:
        """Delete what is retired and end."""
        self._stopped.set()
        self._wake.set()
        self._thread.join()
        self._netlink.close()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._stopped.wait(_PAUSE)
            self._wake.clear()
            error = self._netlink.transact([rtnetlink.delete_group(GROUP)])[0]
            if error is not None and not error.is_gone:
                _log.error("links_not_deleted", reason=str(error))
            if self._stopped.is_set():
                return
