"""What the Node object says of a VM's addresses: a capacity, a condition, and Events when that changes.

``podvnet.io/addresses`` is an extended resource: how many pods of this node can have an address of the virtual network.
A pod may ask for one of them like for any resource. The condition is of kubelet's kind: True is bad. Documents only.
Sources: Kubernetes documents "Extended resources", "Node Status"; node-problem-detector's conditions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from podvnet.kube.pod_events import Event, Subject, timestamp
from podvnet.plan.address_pressure import AddressFigures, is_low

RESOURCE: Final = "podvnet.io/addresses"
CONDITION: Final = "PodAddressPressure"
LOW, ENOUGH = "PodAddressesLow", "PodAddressesEnough"
_HEARTBEAT: Final = timedelta(minutes=5)


def pods_of(node: Mapping[str, Any]) -> int:
    """How many pods kubelet runs at most, from a Node's document; 0 when it does not say."""
    text = str((node.get("status") or {}).get("capacity", {}).get("pods", "0"))
    return int(text) if text.isdigit() else 0


def condition_of(node: Mapping[str, Any]) -> dict[str, Any] | None:
    """The condition as the Node has it."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == CONDITION), None)


def was_low(node: Mapping[str, Any]) -> bool:
    """What was said last."""
    found = condition_of(node)
    return found is not None and found.get("status") == "True"


def patch_of(
    node: Mapping[str, Any], figures: AddressFigures, reason: str, now: datetime
) -> tuple[dict[str, Any] | None, Event | None]:
    """The strategic merge patch of the Node's status, and what is told; None for what need not be.

    Args:
        node: as the API has it.
        figures: how the pool stands; kubelet's limit is taken from the Node.
        reason: why the pool is no larger, for people.
        now: for the condition's times.
    """
    figures = AddressFigures(figures.limit, figures.held, pods_of(node))
    before = condition_of(node)
    low = is_low(figures, was_low(node))
    message = _message(figures, reason, low=low)
    turned = before is None or (before.get("status") == "True") is not low
    status: dict[str, Any] = {}
    if str((node.get("status") or {}).get("capacity", {}).get(RESOURCE, "")) != str(figures.limit):
        status |= {"capacity": {RESOURCE: str(figures.limit)}, "allocatable": {RESOURCE: str(figures.limit)}}
    if before is None or turned or before.get("message") != message or _is_old(before, now):
        condition = {
            "type": CONDITION,
            "status": "True" if low else "False",
            "reason": LOW if low else ENOUGH,
            "message": message,
            "lastHeartbeatTime": timestamp(now),
        }
        if turned:
            condition["lastTransitionTime"] = timestamp(now)
        status["conditions"] = [condition]
    name = str(node["metadata"]["name"])
    told = turned and (low or before is not None)
    event = Event(Subject("Node", "", name, name), LOW if low else ENOUGH, message, low, timestamp(now))
    return {"status": status} if status else None, event if told else None


def _message(figures: AddressFigures, reason: str, *, low: bool) -> str:
    """For people; it holds no figure that changes with every pod, or every pod would be a write of the Node."""
    limit = f"{figures.limit} addresses of the virtual network for pods"
    if figures.pods:
        limit += f", and kubelet runs up to {figures.pods} pods"
    if not low:
        return f"this node has {limit}"
    more = reason or "add ip-configurations to the NIC, lower kubelet's maxPods, or let the agent grow the pool"
    return f"this node has {limit}: few are left. {more}"


def _is_old(condition: Mapping[str, Any], now: datetime) -> bool:
    try:
        beat = datetime.strptime(str(condition.get("lastHeartbeatTime")), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return True
    return now - beat >= _HEARTBEAT
