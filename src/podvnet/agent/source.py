"""Where the pool comes from, and a thread that keeps asking.

The wireserver and IMDS both list every ip-configuration of the VM's NICs; a file does where neither is. The thread
only fetches: what was read is handed to the agent's own thread, which alone touches the ledger.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_interface
from pathlib import Path

from podvnet.agent.ledger_record import PoolAddress
from podvnet.azure import imds, interface_file, wireserver
from podvnet.azure.error import SourceError
from podvnet.azure.inventory import Inventory, PlatformNic
from podvnet.model.subnet import gateway

_EAGER = 0.5
"""Seconds between questions while something new must show."""


class SourceKind(StrEnum):
    """What is asked. ``auto``: the wireserver, else IMDS. ``arm``: the same; the pool grows besides."""

    AUTO = "auto"
    WIRESERVER = "wireserver"
    IMDS = "imds"
    FILE = "file"
    ARM = "arm"


@dataclass(frozen=True, slots=True)
class Source:
    """A source of addresses. ``file`` matters to the kind ``file``."""

    kind: SourceKind = SourceKind.AUTO
    file: Path = interface_file.INTERFACE_FILE

    def read(self) -> Inventory:
        """Ask once.

        Raises:
            SourceError: no usable answer.
        """
        match self.kind:
            case SourceKind.WIRESERVER:
                return wireserver.fetch_interfaces()
            case SourceKind.IMDS:
                return imds.fetch_network()
            case SourceKind.FILE:
                return interface_file.read_interfaces(self.file)
            case SourceKind.AUTO | SourceKind.ARM:
                try:
                    return wireserver.fetch_interfaces(timeout=3.0)
                except SourceError as first:
                    try:
                        return imds.fetch_network(timeout=3.0)
                    except SourceError as second:
                        raise SourceError(
                            f"{first.message}; {second.message}", first.remedy, retryable=True
                        ) from second


def pool_addresses(nic: PlatformNic) -> list[PoolAddress]:
    """The addresses of a NIC that pods can have: all but the primary ones."""
    return [
        PoolAddress(ip_interface(f"{entry.address}/{subnet.prefix.prefixlen}"), gateway(subnet.prefix))
        for subnet in nic.subnets
        for entry in subnet.addresses
        if not entry.primary
    ]


class Refresher:
    """Asks a source at intervals, and at once when told to.

    Args:
        source: what is asked.
        deliver: called in the thread with each answer.
        interval: seconds between questions; shorter after a failure.
    """

    def __init__(self, source: Source, deliver: Callable[[Inventory | SourceError], None], interval: float) -> None:
        self._source = source
        self._deliver = deliver
        self._interval = interval
        self._wake = threading.Event()
        self._eager_until = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="pool-refresher", daemon=True)

    def start(self) -> None:
        """Start asking."""
        self._thread.start()

    def ask_now(self) -> None:
        """Ask as soon as possible."""
        self._wake.set()

    def ask_often(self, seconds: float) -> None:
        """Ask now and then every half second, for so long or until :meth:`calm`."""
        self._eager_until = time.monotonic() + seconds
        self._wake.set()

    def calm(self) -> None:
        """Go back to the interval."""
        self._eager_until = 0.0

    def stop(self) -> None:
        """Stop; a question under way ends by its own time-out."""
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            wait = self._interval
            try:
                answer: Inventory | SourceError = self._source.read()
            except SourceError as error:
                answer = error
                wait = min(self._interval, error.retry_after or 1.0)
            if time.monotonic() < self._eager_until:
                wait = min(wait, _EAGER)
            self._deliver(answer)
            self._wake.wait(wait)
