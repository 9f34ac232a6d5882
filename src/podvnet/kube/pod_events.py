"""What a pod and whoever looks at it are told: Events, and the annotation that says what the pod was given.

The documents only. An Event has a name that follows from what it says, so that telling twice is telling once.
Source: Kubernetes API reference, Event v1 core; ``kubectl describe`` finds them by the UID of what they are about.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from podvnet.kube.pod_annotations import GRANTED
from podvnet.model.pod_grant import PodGrant

COMPONENT: Final = "podvnet-agent"
_LONGEST_NAME: Final = 230
_LONGEST_MESSAGE: Final = 1024
"""Characters that the API takes."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What an Event is about. The UID of a Node's Events is its name, as in kubelet's own."""

    kind: str
    namespace: str
    name: str
    uid: str

    @property
    def event_namespace(self) -> str:
        """Where its Events are; those of what is in no namespace are in ``default``."""
        return self.namespace or "default"


@dataclass(frozen=True, slots=True)
class Event:
    """What is told.

    Attributes:
        warning: whether a person should do something.
        again: makes an Event of the same words another one.
    """

    subject: Subject
    reason: str
    message: str
    warning: bool = False
    again: str = ""

    @property
    def name(self) -> str:
        """Of the document."""
        words = f"{self.subject.uid}\0{self.reason}\0{self.message}\0{self.again}"
        return f"{self.subject.name[:_LONGEST_NAME]}.{hashlib.sha256(words.encode()).hexdigest()[:16]}"

    @property
    def path(self) -> str:
        """Where it is created."""
        return f"/api/v1/namespaces/{self.subject.event_namespace}/events"

    def document(self, node: str, now: datetime, count: int = 1) -> dict[str, Any]:
        """The document to create."""
        involved = {"apiVersion": "v1", "kind": self.subject.kind, "name": self.subject.name, "uid": self.subject.uid}
        if self.subject.namespace:
            involved["namespace"] = self.subject.namespace
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": self.name, "namespace": self.subject.event_namespace},
            "involvedObject": involved,
            "type": "Warning" if self.warning else "Normal",
            "reason": self.reason,
            "message": self.message[:_LONGEST_MESSAGE],
            "source": {"component": COMPONENT, "host": node},
            "reportingComponent": COMPONENT,
            "reportingInstance": node,
            "firstTimestamp": timestamp(now),
            **again(now, count),
        }


def again(now: datetime, count: int) -> dict[str, Any]:
    """What changes in the document when the same is told once more."""
    return {"lastTimestamp": timestamp(now), "count": count}


def timestamp(moment: datetime) -> str:
    """A time as the API writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def granted_text(grant: PodGrant, public: str) -> str:
    """The annotation's value: one JSON object.

    Args:
        grant: what the pod has.
        public: its public address as text.
    """
    ask = grant.ask
    found: dict[str, Any] = {"address": str(grant.address)}
    if public:
        found["publicAddress"] = public
    for key, values in (
        ("applicationSecurityGroups", ask.groups),
        ("backendPools", ask.pools),
        ("inboundNatRules", ask.nat_rules),
    ):
        if values is not None:
            found[key] = list(values)
    if ask.egress:
        found["egress"] = str(ask.egress)
    if ask.sticky:
        found["keptFor"] = ask.keep_for
    return json.dumps(found)


def granted_message(text: str) -> str:
    """The same for people."""
    found = json.loads(text)
    words = {
        "address": "address",
        "publicAddress": "public address",
        "applicationSecurityGroups": "groups",
        "backendPools": "backend pools",
        "inboundNatRules": "NAT rules",
        "egress": "leaves as",
        "keptFor": "address kept for seconds",
    }
    parts = (
        f"{words[key]} {', '.join(value) or 'none' if isinstance(value, list) else value}"
        for key, value in found.items()
    )
    return "; ".join(parts)


def granted_patch(uid: str, text: str) -> dict[str, Any]:
    """The patch of the pod: the UID in it makes the API refuse it for another pod of that name."""
    return {"metadata": {"uid": uid, "annotations": {GRANTED: text}}}
