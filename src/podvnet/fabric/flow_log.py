"""Flows that security groups decided about, in the files that Azure's flow logs are.

Rules log the first packet of a flow, so that is what there is: an allowed flow begins (state B, without counts), and a
denied one is written each minute that it is tried again. States C and E, with counts, are not written; readers must
allow for that anyway, since Azure leaves them out as well where a flow ends within the minute it began in. As in Azure
only TCP and UDP are there, and what one minute repeats is written once.

Source: Azure document "Flow logging for network security groups": record format versions 1 and 2, and where in the
storage account the files are. They are written in this form for every kind of target; what Azure calls virtual network
flow logs has another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from podvnet.fabric.arm.resource_type import stable_guid
from podvnet.model.address import Mac, platform_mac
from podvnet.model.flow import TCP, UDP, Flow
from podvnet.model.flow_log import FlowLog
from podvnet.model.intent import Intent
from podvnet.model.packet_header import read_packet
from podvnet.model.resource_id import ResourceId
from podvnet.model.security import Direction
from podvnet.plan import names
from podvnet.plan.flow_log_prefix import FlowDecision, group_digest, parse_flow_log_prefix

_CONTAINER = "insights-logs-networksecuritygroupflowevent"
_PROTOCOLS = {TCP: "T", UDP: "U"}
_MINUTE = 60
_NO_COUNTS = ",,,,"


@dataclass(frozen=True, slots=True)
class LoggedFlow:
    """A flow that was logged.

    Attributes:
        time: seconds since 1970.
        flow: the flow.
        decision: which rule decided what.
        group: the rule's.
        mac: of the NIC.
        log: the flow log that it is written to.
    """

    time: int
    flow: Flow
    decision: FlowDecision
    group: ResourceId
    mac: Mac
    log: FlowLog


class Reading:
    """What is needed to read the packets that were logged in one virtual network's namespace.

    Args:
        network: the network's id.
        intent: what there is.
        logs: the flow logs that are enabled.
    """

    def __init__(self, network: ResourceId, intent: Intent, logs: Iterable[FlowLog]) -> None:
        self._logs = tuple(logs)
        self._groups = {group_digest(group.id): group.id for group in intent.security_groups.values()}
        self._nics = {
            names.port_index(nic.number): nic for nic in intent.nics.values() if nic.virtual_network == network
        }

    def flows(self, prefix: str, header: bytes, moment: int, incoming: int, outgoing: int) -> list[LoggedFlow]:
        """The flow of a packet, once for each log that wants it.

        Args:
            prefix: what the rule wrote before the packet.
            header: the packet's first bytes.
            moment: when it passed, in nanoseconds since 1970.
            incoming: the index of the interface it came in by.
            outgoing: the index of the one it leaves by.
        """
        decision = parse_flow_log_prefix(prefix)
        packet = read_packet(header)
        if decision is None or packet is None or packet.flow.protocol not in _PROTOCOLS:
            return []
        group = self._groups.get(decision.group)
        nic = self._nics.get(incoming if decision.direction is Direction.OUTBOUND else outgoing)
        if group is None or nic is None:
            return []  # the rules are older than what there is now
        seconds = moment // 1_000_000_000
        return [
            LoggedFlow(seconds, packet.flow, decision, group, nic.mac, log)
            for log in self._logs
            if log.covers(group, nic.virtual_network, nic.subnet, nic.id)
        ]


def flow_tuple(logged: LoggedFlow) -> str:
    """A flow as a line of a record: ``1542110377,10.5.16.4,13.67.143.118,59831,443,T,O,A,B,,,,`` in version 2."""
    flow = logged.flow
    parts = (
        str(logged.time),
        str(flow.source),
        str(flow.destination),
        str(flow.source_port),
        str(flow.destination_port),
        _PROTOCOLS[flow.protocol],
        "I" if logged.decision.direction is Direction.INBOUND else "O",
        "A" if logged.decision.allow else "D",
    )
    return ",".join(parts) if logged.log.version == 1 else ",".join((*parts, "B")) + _NO_COUNTS


def record(flows: Iterable[LoggedFlow]) -> dict[str, Any]:
    """The record of a minute: of flows of one log, group and NIC."""
    flows = list(flows)
    first = flows[0]
    mac = platform_mac(first.mac)
    rules: dict[str, dict[tuple[Flow, bool], str]] = {}
    for each in flows:
        rules.setdefault(each.decision.rule, {}).setdefault((each.flow, each.decision.allow), flow_tuple(each))
    end = datetime.fromtimestamp((first.time // _MINUTE + 1) * _MINUTE, UTC)
    return {
        "time": f"{end:%Y-%m-%dT%H:%M:%S}.0000000Z",
        "systemId": stable_guid(first.group, "flow log"),
        "macAddress": mac,
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": str(first.group).upper(),
        "operationName": "NetworkSecurityGroupFlowEvents",
        "properties": {
            "Version": first.log.version,
            "flows": [
                {"rule": rule, "flows": [{"mac": mac, "flowTuples": list(tuples.values())}]}
                for rule, tuples in rules.items()
            ],
        },
    }


def file_of(logged: LoggedFlow) -> Path:
    """Where a flow is written, below the directory of all storage accounts: one file an hour, a group and a NIC."""
    hour = datetime.fromtimestamp(logged.time, UTC)
    return Path(
        logged.log.storage.name.lower(),
        _CONTAINER,
        "resourceId=",
        str(logged.group).upper().removeprefix("/"),
        f"y={hour:%Y}",
        f"m={hour:%m}",
        f"d={hour:%d}",
        f"h={hour:%H}",
        "m=00",
        f"macAddress={platform_mac(logged.mac)}",
        "PT1H.json",
    )


class FlowLogFiles:
    """The files, which grow by a record a minute. What is noted is written when its minute is over.

    Args:
        directory: of all storage accounts.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._noted: dict[tuple[Path, int, int], list[LoggedFlow]] = {}

    def note(self, flows: Iterable[LoggedFlow]) -> None:
        """Remember flows for their minute."""
        for each in flows:
            key = file_of(each), each.log.version, each.time // _MINUTE
            self._noted.setdefault(key, []).append(each)

    def write(self, now: int | None = None) -> None:
        """Write the minutes that are over at ``now``, in seconds since 1970; all of them when it is None.

        Raises:
            OSError: a file cannot be written; what it was to hold is kept for the next time.
        """
        over = [key for key in self._noted if now is None or key[2] < now // _MINUTE]
        by_file: dict[Path, list[tuple[Path, int, int]]] = {}
        for key in sorted(over, key=lambda key: (key[2], key[1])):
            by_file.setdefault(key[0], []).append(key)
        for file, keys in by_file.items():
            _extend(self._directory / file, [record(self._noted[key]) for key in keys])
            for key in keys:
                del self._noted[key]


def _extend(file: Path, records: list[Mapping[str, Any]]) -> None:
    """Add records to a file, which is whole at every moment."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = json.loads(file.read_bytes())["records"] if file.exists() else []
    beside = file.with_suffix(".part")
    beside.write_text(json.dumps({"records": [*before, *records]}), encoding="utf-8")
    beside.replace(file)
