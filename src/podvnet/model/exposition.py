"""Metrics as Prometheus' text format has them.

Source: Prometheus document "Exposition formats", text format 0.0.4; "Metric and label naming": base units, ``_total``
for what only grows.
"""

from __future__ import annotations

from collections.abc import Iterable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/metrics"


def family(name: str, kind: str, meaning: str, samples: Iterable[tuple[str, float]]) -> list[str]:
    """The lines of one metric.

    Args:
        name: of it.
        kind: ``gauge``, ``counter`` or ``histogram``.
        meaning: a sentence.
        samples: each with its labels, as they stand in braces; empty for none.
    """
    head = [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
    return head + [f"{name}{f'{{{labels}}}' if labels else ''} {number(value)}" for labels, value in samples]


def number(value: float) -> str:
    """A value; a whole one without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
