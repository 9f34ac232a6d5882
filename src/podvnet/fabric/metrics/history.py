"""The points of the last hour, by minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podvnet.fabric.metrics.point import Point

MINUTE = 60
_KEPT = 60
"""Minutes."""


class History:
    """What was measured. A minute may be written several times; the last time counts."""

    def __init__(self) -> None:
        self._minutes: dict[int, tuple[Point, ...]] = {}

    def put(self, minute: int, points: Iterable[Point]) -> None:
        """Keep the points of a minute, which is named by the second it begins with."""
        latest = max(self._minutes, default=0)
        same = {point: point for point in self._minutes.get(latest, ())}  # most are what they were: held once
        made = {minute: tuple(same.get(point, point) for point in points)}
        self._minutes = {each: self._minutes[each] for each in sorted(self._minutes)[-_KEPT + 1 :]} | made

    def of(self, resource: str, metric: str, first: float, end: float) -> Iterator[tuple[int, Point]]:
        """The points of a metric of a resource, by its id key, in the minutes from ``first`` until before ``end``."""
        for minute, points in sorted(self._minutes.items()):
            if first <= minute < end:
                yield from (
                    (minute, point) for point in points if point.resource == resource and point.metric.name == metric
                )
