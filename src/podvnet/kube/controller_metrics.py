"""What the controller of Services measures, in Prometheus' text format.

A controller that does not hold the Lease knows of no Service how it stands, and has no sample of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from podvnet.kube.write_tally import WriteTally
from podvnet.model.exposition import family


@dataclass(frozen=True, slots=True)
class Readings:
    """What is measured at one moment.

    Attributes:
        leader: whether the Lease is ours.
        services: by state, as the last look saw them.
        behind: seconds since something changed that is not carried out; 0 when all is as it is wanted.
        rounds: by outcome, since the start.
        tally: of requests that write.
        left: how many more the resource manager takes, as it last said; None: it has not.
        followed: by kind of object, whether what is known of the cluster is fresh.
    """

    leader: bool
    services: Mapping[str, int]
    behind: float
    rounds: Mapping[str, int]
    tally: WriteTally
    left: int | None = None
    followed: Mapping[str, bool] = field(default_factory=dict)


def render(readings: Readings) -> str:
    """The text."""
    gauge, counter = "gauge", "counter"
    lines = [
        *family("podvnet_controller_leader", gauge, "1 while this one holds the Lease.", [("", readings.leader)]),
        *family(
            "podvnet_controller_services",
            gauge,
            "Services of the class, as the last round saw them.",
            ((f'state="{state}"', count) for state, count in sorted(readings.services.items())),
        ),
        *family(
            "podvnet_controller_behind_seconds",
            gauge,
            "Since when something is wanted that is not carried out.",
            [("", round(readings.behind, 3))],
        ),
        *family(
            "podvnet_controller_rounds_total",
            counter,
            "Rounds, by what became of them.",
            ((f'outcome="{outcome}"', count) for outcome, count in sorted(readings.rounds.items())),
        ),
        *family(
            "podvnet_controller_writes_total",
            counter,
            "Requests to the resource manager that write, by type.",
            ((f'type="{kind}"', count) for kind, count in sorted(readings.tally.writes.items())),
        ),
        *family(
            "podvnet_controller_refusals_total",
            counter,
            "Those of them that did not succeed, by status.",
            ((f'status="{status}"', count) for status, count in sorted(readings.tally.refusals.items())),
        ),
        *family(
            "podvnet_controller_followed",
            gauge,
            "1 while objects of a kind are followed at the Kubernetes API.",
            ((f'kind="{kind}"', fresh) for kind, fresh in sorted(readings.followed.items())),
        ),
    ]
    if readings.left is not None:
        meaning = "Writes that the resource manager takes before it refuses them."
        lines += family("podvnet_controller_writes_left", gauge, meaning, [("", readings.left)])
    return "\n".join(lines) + "\n"
