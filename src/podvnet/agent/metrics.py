"""What the agent measures, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from podvnet.agent.ledger_record import PoolCount
from podvnet.agent.request_tally import BOUNDS, RequestTally
from podvnet.model.exposition import family, number
from podvnet.plan.address_pressure import AddressFigures


@dataclass(frozen=True, slots=True)
class Readings:
    """What is measured at one moment.

    Attributes:
        ready: whether pods can be attached.
        pools: by IP version.
        figures, low: whether addresses are about to run out.
        attachments: by state.
        tally: requests since the start.
        dropped: packets, by reason, since the tables were written.
        writes: of the NIC by the pool that grows; None: it does not.
        asks: what is asked for pods, by state; None: nothing can be.
        cluster: whether what is known of the cluster is fresh; None: there is none.
    """

    ready: bool
    pools: Mapping[int, PoolCount]
    figures: AddressFigures
    low: bool
    attachments: Mapping[str, int]
    tally: RequestTally
    dropped: Mapping[str, int] = field(default_factory=dict)
    writes: int | None = None
    asks: Mapping[str, int] | None = None
    cluster: bool | None = None


def render(readings: Readings) -> str:
    """The text."""
    gauge, counter = "gauge", "counter"
    lines = [
        *family("podvnet_ready", gauge, "1 while STATUS succeeds: pods can be attached.", [("", readings.ready)]),
        *family(
            "podvnet_pool_addresses",
            gauge,
            "Addresses of the VM's pool.",
            (
                (f'family="{family}",state="{state}"', getattr(count, state))
                for family, count in readings.pools.items()
                for state in ("held", "resting", "free")
            ),
        ),
        *family(
            "podvnet_pool_limit_addresses",
            gauge,
            "IPv4 addresses that pods of this VM can have at most, as things stand.",
            [("", readings.figures.limit)],
        ),
        *family("podvnet_pool_low", gauge, "1 while the VM's addresses are about to run out.", [("", readings.low)]),
        *family(
            "podvnet_attachments",
            gauge,
            "Attachments of pods.",
            ((f'state="{state}"', count) for state, count in readings.attachments.items()),
        ),
        *family(
            "podvnet_requests_total",
            counter,
            "Answers to requests of CNI, by code of the error, 0 for none.",
            (
                (f'command="{command}",code="{code}"', count)
                for (command, code), count in sorted(readings.tally.answers.items())
            ),
        ),
        *_durations(readings.tally),
        *family(
            "podvnet_dropped_packets_total",
            counter,
            "Packets of pods that were dropped.",
            ((f'reason="{reason}"', count) for reason, count in sorted(readings.dropped.items())),
        ),
    ]
    if readings.writes is not None:
        lines += family(
            "podvnet_pool_writes_total", counter, "Writes of the NIC to resize the pool.", [("", readings.writes)]
        )
    if readings.asks is not None:
        values = ((f'state="{state}"', count) for state, count in sorted(readings.asks.items()))
        lines += family("podvnet_asks", gauge, "What is asked of the virtual network for pods.", values)
    if readings.cluster is not None:
        meaning = "1 while the pods of this node are followed at the Kubernetes API."
        lines += family("podvnet_kubernetes_followed", gauge, meaning, [("", readings.cluster)])
    return "\n".join(lines) + "\n"


def _durations(tally: RequestTally) -> list[str]:
    name = "podvnet_request_seconds"
    lines = family(name, "histogram", "From a request's arrival to its answer.", ())
    for command, slots, seconds in tally.durations():
        total = 0
        for bound, count in zip((*(f"{each:g}" for each in BOUNDS), "+Inf"), slots, strict=True):
            total += count
            lines.append(f'{name}_bucket{{command="{command}",le="{bound}"}} {total}')
        lines.append(f'{name}_sum{{command="{command}"}} {number(round(seconds, 6))}')
        lines.append(f'{name}_count{{command="{command}"}} {total}')
    return lines
