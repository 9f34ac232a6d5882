"""What the agent measures, in Prometheus' text format.

Source: Prometheus document "Exposition formats", text format 0.0.4; "Metric and label naming": base units, ``_total``
for what only grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from podvnet.agent.ledger_record import PoolCount
from podvnet.agent.request_tally import BOUNDS, RequestTally
from podvnet.plan.address_pressure import AddressFigures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


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
        *_family("podvnet_ready", gauge, "1 while STATUS succeeds: pods can be attached.", [("", readings.ready)]),
        *_family(
            "podvnet_pool_addresses",
            gauge,
            "Addresses of the VM's pool.",
            (
                (f'family="{family}",state="{state}"', getattr(count, state))
                for family, count in readings.pools.items()
                for state in ("held", "resting", "free")
            ),
        ),
        *_family(
            "podvnet_pool_limit_addresses",
            gauge,
            "IPv4 addresses that pods of this VM can have at most, as things stand.",
            [("", readings.figures.limit)],
        ),
        *_family("podvnet_pool_low", gauge, "1 while the VM's addresses are about to run out.", [("", readings.low)]),
        *_family(
            "podvnet_attachments",
            gauge,
            "Attachments of pods.",
            ((f'state="{state}"', count) for state, count in readings.attachments.items()),
        ),
        *_family(
            "podvnet_requests_total",
            counter,
            "Answers to requests of CNI, by code of the error, 0 for none.",
            (
                (f'command="{command}",code="{code}"', count)
                for (command, code), count in sorted(readings.tally.answers.items())
            ),
        ),
        *_durations(readings.tally),
        *_family(
            "podvnet_dropped_packets_total",
            counter,
            "Packets of pods that were dropped.",
            ((f'reason="{reason}"', count) for reason, count in sorted(readings.dropped.items())),
        ),
    ]
    if readings.writes is not None:
        lines += _family(
            "podvnet_pool_writes_total", counter, "Writes of the NIC to resize the pool.", [("", readings.writes)]
        )
    if readings.asks is not None:
        values = ((f'state="{state}"', count) for state, count in sorted(readings.asks.items()))
        lines += _family("podvnet_asks", gauge, "What is asked of the virtual network for pods.", values)
    if readings.cluster is not None:
        meaning = "1 while the pods of this node are followed at the Kubernetes API."
        lines += _family("podvnet_kubernetes_followed", gauge, meaning, [("", readings.cluster)])
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, meaning: str, samples: Iterable[tuple[str, float]]) -> list[str]:
    head = [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
    return head + [f"{name}{f'{{{labels}}}' if labels else ''} {_number(value)}" for labels, value in samples]


def _durations(tally: RequestTally) -> list[str]:
    name = "podvnet_request_seconds"
    lines = _family(name, "histogram", "From a request's arrival to its answer.", ())
    for command, slots, seconds in tally.durations():
        total = 0
        for bound, count in zip((*(f"{each:g}" for each in BOUNDS), "+Inf"), slots, strict=True):
            total += count
            lines.append(f'{name}_bucket{{command="{command}",le="{bound}"}} {total}')
        lines.append(f'{name}_sum{{command="{command}"}} {_number(round(seconds, 6))}')
        lines.append(f'{name}_count{{command="{command}"}} {total}')
    return lines


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
