"""What is measured at one moment: a value of a metric for one set of dimensions."""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.fabric.metrics.definition import Definition


@dataclass(frozen=True, slots=True)
class Point:
    """A value. ``dimensions`` are the values of the metric's dimensions, in their order; ``resource`` an id key."""

    resource: str
    metric: Definition
    dimensions: tuple[str, ...]
    value: float
