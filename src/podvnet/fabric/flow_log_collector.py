"""Listens, in every virtual network's namespace, for the packets that rules log, and has them written.

For the event loop's thread. Without an enabled flow log nothing is open. A namespace where somebody else listens
already is left to them, and the log of the process says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from podvnet.fabric.flow_log import FlowLogFiles, Reading
from podvnet.linux import namespace
from podvnet.linux.error import KernelError
from podvnet.linux.packet_log import PacketLog
from podvnet.linux.readable import is_readable
from podvnet.model.intent import Intent
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names
from podvnet.plan.flow_log_prefix import LOG_GROUP

_MINUTE = 60
_GRACE = 1
"""Seconds after a minute in which its last packets arrive from the kernel."""

_log = structlog.get_logger()


class FlowLogCollector:
    """The listeners of all virtual networks.

    Args:
        intent: gives the intent as it is now.
        files: where flows go.
    """

    def __init__(self, intent: Callable[[], Intent], files: FlowLogFiles) -> None:
        self._intent = intent
        self._files = files
        self._seen = Intent()
        self._open: dict[str, tuple[PacketLog, ResourceId]] = {}
        self._readings: dict[str, Reading] = {}

    def follow(self) -> None:
        """Listen in every network's namespace if anything is to be logged, and in no other."""
        for label in self._open:
            self._drain(label)  # what was logged by the rules before means the resources before
        self._seen = intent = self._intent()
        self._readings.clear()  # made again when a packet asks for one
        networks = intent.virtual_networks.values() if intent.flow_logs else ()
        wanted = {names.network_namespace(each.id): each.id for each in networks}
        for label in self._open.keys() - wanted.keys():
            self._stop(label)
        for label in wanted.keys() - self._open.keys():
            self._start(label, wanted[label])

    async def write(self) -> None:
        """Write each minute once it is over, until cancelled."""
        while True:
            await asyncio.sleep(_MINUTE - time.time() % _MINUTE + _GRACE)
            self._write(int(time.time()))

    def close(self) -> None:
        """Stop listening, and write what there is."""
        for label in list(self._open):
            self._drain(label)
            self._stop(label)
        self._write(None)

    def _start(self, label: str, network: ResourceId) -> None:
        try:
            with namespace.opened(label) as descriptor:
                packets = namespace.run_inside(descriptor, lambda: PacketLog(LOG_GROUP))
        except KernelError as error:
            _log.error("flow_log_unheard", namespace=label, reason=str(error))
            return
        self._open[label] = packets, network
        asyncio.get_running_loop().add_reader(packets.fileno(), self._drain, label)

    def _stop(self, label: str) -> None:
        packets, _ = self._open.pop(label)
        asyncio.get_running_loop().remove_reader(packets.fileno())
        if packets.overruns:
            _log.warning("flow_log_overruns", namespace=label, count=packets.overruns)
        packets.close()

    def _drain(self, label: str) -> None:
        """Note what has been logged in a namespace by now."""
        packets, network = self._open[label]
        while is_readable(0, packets.fileno()):
            if label not in self._readings:
                self._readings[label] = Reading(network, self._seen, self._seen.flow_logs.values())
            reading = self._readings[label]
            for each in packets.packets():
                self._files.note(reading.flows(each.prefix, each.header, each.time, each.incoming, each.outgoing))

    def _write(self, now: int | None) -> None:
        try:
            self._files.write(now)
        except OSError as error:
            _log.error("flow_log_not_written", reason=str(error))
