"""Metrics of resources, as Azure Monitor answers for them.

Source: Azure REST references "Metrics" and "Metric Definitions" of Microsoft.Insights, since api-version 2018-01-01.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from starlette.requests import Request
from starlette.responses import Response

from podvnet.fabric.api.answers import answer
from podvnet.fabric.api.resources import Resources
from podvnet.fabric.api.target import Target
from podvnet.fabric.arm.world import Document
from podvnet.fabric.metrics.definition import DEFINITIONS, Definition
from podvnet.fabric.metrics.history import MINUTE
from podvnet.fabric.metrics.sampler import Sampler
from podvnet.fabric.turn import Turn
from podvnet.model.arm_error import ArmError

_HOUR = 3600
_GRAIN = re.compile(r"PT(\d+)([MH])")
_CLAUSE = re.compile(r"\s*(\w+)\s+eq\s+'([^']*)'\s*", re.IGNORECASE)
_ALL = "*"
_AGGREGATIONS = ("Average", "Minimum", "Maximum", "Total", "Count")


@dataclass(frozen=True, slots=True)
class _Span:
    """Seconds since 1970, and seconds from one value to the next."""

    first: float
    end: float
    grain: int


class Metrics:
    """The metrics of all resources.

    Args:
        turn: the engine's.
        resources: where what is asked about is found.
        sampler: measures.
    """

    def __init__(self, turn: Turn, resources: Resources, sampler: Sampler) -> None:
        self._turn = turn
        self._resources = resources
        self._sampler = sampler

    async def answer(self, request: Request, target: Target) -> Response | None:
        """The answer; None for what is not here.

        Raises:
            ArmError: the resource is not there, or the question is malformed.
        """
        *place, question = (each.lower() for each in target.segments[-3:])
        if request.method != "GET" or place != ["providers", "microsoft.insights"]:
            return None
        asked = Target(target.subscription, target.group, target.provider, target.segments[:-3])
        if question not in {"metrics", "metricdefinitions"} or len(asked.segments) != 2:
            return None
        document = await self._turn.take(lambda: self._resources.top(asked))
        known = DEFINITIONS.get(document["type"], ())
        if question == "metricdefinitions":
            return answer(request, {"value": [_definition(document, each) for each in known]})
        query = {name.lower(): value for name, value in request.query_params.items()}
        wanted = _wanted(query.get("metricnames", ""), known)
        span = _span(query.get("timespan", ""), query.get("interval", ""), time.time())
        aggregations = _aggregations(query.get("aggregation", ""))
        condition = _condition(query.get("$filter", ""), wanted)
        await asyncio.to_thread(self._sampler.sample)
        return answer(
            request,
            {
                "cost": 0,
                "timespan": f"{_time(span.first)}/{_time(span.end)}",
                "interval": _duration(span.grain),
                "namespace": document["type"],
                "resourceregion": document["location"],
                "value": [self._metric(document, each, span, aggregations, condition) for each in wanted],
            },
        )

    def _metric(
        self,
        document: Document,
        metric: Definition,
        span: _Span,
        aggregations: tuple[str, ...],
        condition: dict[str, set[str]],
    ) -> Document:
        series: dict[tuple[str, ...], dict[int, list[float]]] = {}
        places = [(metric.dimensions.index(name), values) for name, values in condition.items()]
        for minute, point in self._sampler.history.of(document["id"].lower(), metric.name, span.first, span.end):
            if all(_ALL in values or point.dimensions[place].lower() in values for place, values in places):
                split = tuple(point.dimensions[place] for place, _ in places)
                since = minute - (minute - int(span.first)) % span.grain
                series.setdefault(split, {}).setdefault(since, []).append(point.value)
        return {
            "id": f"{document['id']}/providers/Microsoft.Insights/metrics/{metric.name}",
            "type": "Microsoft.Insights/metrics",
            "name": {"value": metric.name, "localizedValue": metric.shown},
            "displayDescription": metric.shown,
            "unit": "Count",
            "timeseries": [
                {
                    "metadatavalues": [
                        {"name": {"value": name.lower(), "localizedValue": name.lower()}, "value": value}
                        for name, value in zip(condition, split, strict=True)
                    ],
                    "data": [
                        {"timeStamp": _time(since)} | _aggregated(values, aggregations or (metric.aggregation,))
                        for since, values in sorted(found.items())
                    ],
                }
                for split, found in sorted(series.items())
            ],
            "errorCode": "Success",
        }


def _definition(document: Document, metric: Definition) -> Document:
    return {
        "id": f"{document['id']}/providers/Microsoft.Insights/metricdefinitions/{metric.name}",
        "resourceId": document["id"],
        "namespace": document["type"],
        "name": {"value": metric.name, "localizedValue": metric.shown},
        "displayDescription": metric.shown,
        "isDimensionRequired": False,
        "unit": "Count",
        "primaryAggregationType": metric.aggregation,
        "supportedAggregationTypes": list(_AGGREGATIONS),
        "metricAvailabilities": [{"timeGrain": "PT1M", "retention": "PT1H"}],
        "dimensions": [{"value": each, "localizedValue": each} for each in metric.dimensions],
    }


def _wanted(text: str, known: tuple[Definition, ...]) -> list[Definition]:
    """The metrics that are named; the first when none is."""
    by_name = {each.name.lower(): each for each in known}
    names = [each.strip() for each in text.split(",") if each.strip()]
    for name in names:
        if name.lower() not in by_name:
            valid = ",".join(each.name for each in known)
            raise ArmError(
                "BadRequest",
                f"Failed to find metric configuration for metric: {name}. Valid metrics: {valid}",
            )
    return [by_name[name.lower()] for name in names] or list(known[:1])


def _span(text: str, interval: str, now: float) -> _Span:
    """The time asked about: the last hour unless it is said."""
    grain = MINUTE
    if interval:
        match = _GRAIN.fullmatch(interval)
        if not match or not int(match[1]):
            raise ArmError("BadRequest", f"Detected invalid time grain input: {interval}. Give PT1M, PT5M, PT1H.")
        grain = int(match[1]) * (_HOUR if match[2] == "H" else MINUTE)
    if not text:
        end = now // MINUTE * MINUTE + MINUTE
        return _Span(end - _HOUR, end, grain)
    try:
        start, finish = (_seconds(each) for each in text.split("/"))
    except ValueError:
        raise ArmError(
            "BadRequest", f"Detected invalid timespan input: {text}. Give two times with a slash between."
        ) from None
    return _Span(start // MINUTE * MINUTE, finish, grain)


def _seconds(text: str) -> float:
    """A time in ISO 8601, of UTC unless it says otherwise; a plus sign may have come as a space."""
    found = dt.datetime.fromisoformat(text.strip().replace(" ", "+"))
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()


def _aggregations(text: str) -> tuple[str, ...]:
    named = {each.strip().lower() for each in text.split(",") if each.strip()}
    unknown = named - {each.lower() for each in _AGGREGATIONS}
    if unknown:
        raise ArmError("BadRequest", f"Detected invalid aggregation: {', '.join(sorted(unknown))}.")
    return tuple(each for each in _AGGREGATIONS if each.lower() in named)


def _condition(text: str, wanted: Iterable[Definition]) -> dict[str, set[str]]:
    """The dimensions that values are told apart by, each with what is accepted of it, in lower case."""
    found: dict[str, set[str]] = {}
    for clause in re.split(r"\s(?:and|or)\s", text, flags=re.IGNORECASE) if text else []:
        match = _CLAUSE.fullmatch(clause)
        names = [{each.lower(): each for each in metric.dimensions} for metric in wanted]
        if not match or not all(match[1].lower() in each for each in names):
            raise ArmError("BadRequest", f"Invalid $filter {clause.strip()!r}: it compares a metric's dimension by eq.")
        found.setdefault(names[0][match[1].lower()], set()).add(match[2].lower())
    return found


def _aggregated(values: list[float], aggregations: tuple[str, ...]) -> dict[str, float]:
    results = {
        "Average": fmean(values),
        "Minimum": min(values),
        "Maximum": max(values),
        "Total": sum(values),
        "Count": float(len(values)),
    }
    return {name.lower(): results[name] for name in aggregations}


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: int) -> str:
    return f"PT{seconds // _HOUR}H" if seconds % _HOUR == 0 else f"PT{seconds // MINUTE}M"
