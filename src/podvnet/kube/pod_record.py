"""A pod as its node's agent needs to know it, read from the API's document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from podvnet.kube.pod_annotations import GRANTED, asking

_ORDINAL: Final = re.compile(r"-([0-9]{1,6})$")
_STATIC_UID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A pod.

    Attributes:
        namespace, name, uid: whose annotations they are; another pod of the name has another UID.
        asking: the annotations that ask for something.
        ordinal: in its StatefulSet.
        granted: what the agent said last that it was given.
    """

    namespace: str
    name: str
    uid: str
    asking: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ordinal: int | None = None
    granted: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


def read_pod(document: Mapping[str, Any]) -> PodRecord:
    """Read the API's document of a pod.

    Raises:
        KeyError, TypeError: it is none.
    """
    meta = document["metadata"]
    annotations = meta.get("annotations") or {}
    return PodRecord(
        str(meta["namespace"]),
        str(meta["name"]),
        str(meta["uid"]),
        MappingProxyType(asking(annotations)),
        _ordinal(meta),
        str(annotations.get(GRANTED, "")),
    )


def is_static(uid: str) -> bool:
    """Tell whether a UID is kubelet's own for a pod of its files: the API knows such a pod by another, if at all.

    Source: kubelet's ``pkg/kubelet/config/common.go``: an MD5 sum in hex, where the API makes UUIDs.
    """
    return _STATIC_UID.fullmatch(uid) is not None


def _ordinal(meta: Mapping[str, Any]) -> int | None:
    """The number at the end of the name, of a pod that a StatefulSet controls."""
    owners = meta.get("ownerReferences") or ()
    if not any(each.get("controller") and each.get("kind") == "StatefulSet" for each in owners):
        return None
    found = _ORDINAL.search(str(meta["name"]))
    return int(found[1]) if found else None
