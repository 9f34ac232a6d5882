"""What a pod asks of the virtual network by its annotations, as an ask; and whether its namespace may.

Whoever may make pods in a namespace writes their annotations, and what they ask for costs money, opens a way from the
internet, or lets a pod into a group that rules of security groups trust. So each needs a label of the namespace, which
only those may write who manage namespaces: as with the labels of Pod Security Admission.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from podvnet.model.pod_ask import PodAsk
from podvnet.plugin.document import Document
from podvnet.plugin.error import CniError, Code, quoted
from podvnet.plugin.pod_ask import parse_ask

PREFIX: Final = "podvnet.io/"
GRANTED: Final = PREFIX + "granted"
"""What the pod was given: written by the agent."""
ALLOW: Final = "allow.podvnet.io/"
"""A namespace's label of this name and that of the annotation, with the value ``true``, allows the annotation."""
STICKY: Final = "sticky"
KEPT_FOR: Final = 3600
"""Seconds that a sticky address is kept when nothing else is said."""

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_NEW: Final = frozenset({"new", "true"})


@dataclass(frozen=True, slots=True)
class _Kind:
    """One annotation.

    Attributes:
        key: of the ask.
        read: the value as the ask has it, from its text and the pod's ordinal.
        label: the annotation that the namespace's label allows.
        beside: the flag of the ask without which this means nothing.
    """

    key: str
    read: Callable[[str, int | None], object]
    label: str
    beside: str = ""


def _list(text: str, _: int | None) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _text(text: str, _: int | None) -> str:
    return text.strip()


def _number(text: str, _: int | None) -> int:
    if not _NUMBER.fullmatch(text.strip()):
        msg = f"must be a whole number, but {quoted(text)} was given"
        raise ValueError(msg)
    return int(text)


def _public(text: str, _: int | None) -> bool | str:
    return True if text.strip() in _NEW else text.strip()


def _fixed(text: str, ordinal: int | None) -> str:
    """One address, or of several the one at the pod's ordinal in its StatefulSet."""
    choices = _list(text, None)
    if len(choices) == 1:
        return choices[0]
    if not choices:
        raise ValueError("is empty")
    if ordinal is None:
        raise ValueError("lists addresses by ordinal, and the pod is of no StatefulSet")
    if ordinal >= len(choices):
        msg = f"lists {len(choices)} addresses, and none for the pod's ordinal {ordinal}"
        raise ValueError(msg)
    return choices[ordinal]


_GROUPS: Final = "application-security-groups"
_PUBLIC: Final = "public-ip"
_FIXED: Final = "fixed-ip"
_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        _GROUPS: _Kind("groups", _list, _GROUPS),
        _PUBLIC: _Kind("publicAddress", _public, _PUBLIC),
        "public-ip-idle-timeout": _Kind("idleTimeout", _number, _PUBLIC, "publicAddress"),
        "backend-pools": _Kind("backendPools", _list, "backend-pools"),
        "inbound-nat-rules": _Kind("inboundNatRules", _list, "inbound-nat-rules"),
        _FIXED: _Kind("address", _fixed, _FIXED),
        "fixed-ip-keep-for": _Kind("keepFor", _number, _FIXED, "sticky"),
        "egress": _Kind("egress", _text, "egress"),
    }
)
NAMES: Final = tuple(PREFIX + name for name in _KINDS)
"""Every annotation that asks for something."""
LIMITED: Final = MappingProxyType({PREFIX + name: ALLOW + name for name in (_GROUPS, "backend-pools")})
"""Lists that an annotation of the namespace can narrow to those that it lists."""


def asking(annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations that ask for something."""
    return {name: text for name, text in annotations.items() if name.startswith(PREFIX) and name != GRANTED}


def ask_of(annotations: Mapping[str, str], ordinal: int | None = None) -> PodAsk | None:
    """Read a pod's annotations; None when they ask for nothing.

    Args:
        annotations: the pod's.
        ordinal: of the pod in its StatefulSet.

    Raises:
        CniError: 7, naming the annotation; one of ours that is not known is an error: it was meant.
    """
    values: dict[str, object] = {}
    for name, text in sorted(asking(annotations).items()):
        kind = _KINDS.get(name.removeprefix(PREFIX))
        if kind is None:
            raise CniError(
                Code.INVALID_CONFIG, f"annotation {quoted(name)} is none that is known", f"there are {', '.join(NAMES)}"
            )
        try:
            value = kind.read(text, ordinal)
            own: dict[str, object] = (
                {"sticky": True} if (name, value) == (PREFIX + _FIXED, STICKY) else {kind.key: value}
            )
            parse_ask(Document(own | ({kind.beside: True} if kind.beside else {}), "annotation"))
        except (ValueError, CniError) as error:
            raise _refused(name, error) from None
        values |= own
    if "idleTimeout" in values and values.get("publicAddress") is not True:
        raise _refused(f"{PREFIX}public-ip-idle-timeout", ValueError(f"needs {PREFIX}{_PUBLIC}: new beside it"))
    if "keepFor" in values and not values.keys() & {"address", "sticky"}:
        raise _refused(f"{PREFIX}fixed-ip-keep-for", ValueError(f"needs {PREFIX}{_FIXED} beside it"))
    if "keepFor" in values:
        values["sticky"] = True
    elif values.get("sticky"):
        values["keepFor"] = KEPT_FOR
    return parse_ask(Document(values, "annotations"))


def refusal(
    annotations: Mapping[str, str], namespace: str, labels: Mapping[str, str], limits: Mapping[str, str]
) -> CniError | None:
    """Why a namespace may not have pods that ask for this; None when it may.

    Args:
        annotations: the pod's.
        namespace: its name.
        labels: the namespace's.
        limits: the namespace's annotations.
    """
    for name, text in sorted(asking(annotations).items()):
        kind = _KINDS.get(name.removeprefix(PREFIX))
        if kind is None:
            continue  # it is refused as what it is
        label = ALLOW + kind.label
        if labels.get(label) != "true":
            return CniError(
                Code.ASK_REFUSED,
                f"annotation {name}: pods of the namespace {namespace} may not ask for that",
                f"who manages namespaces allows it: kubectl label namespace {namespace} {label}=true",
            )
        limit = limits.get(LIMITED.get(name, ""))
        if limit is not None and (others := set(_list(text, None)) - set(_list(limit, None))):
            return CniError(
                Code.ASK_REFUSED,
                f"annotation {name}: pods of the namespace {namespace} may not ask for {', '.join(sorted(others))}",
                f"its annotation {LIMITED[name]} lists what they may: {limit}",
            )
    return None


def _refused(name: str, error: Exception) -> CniError:
    """An error in the words of who wrote the annotation."""
    why = str(error)
    if isinstance(error, CniError):
        key, _, rest = error.msg.partition(" ")
        why = rest if key.startswith("annotation.") else error.msg
    details = error.details if isinstance(error, CniError) else ""
    return CniError(Code.INVALID_CONFIG, f"annotation {name} {why}", details)
