"""What has been written in a round, so that nothing is written twice that the server keeps in another form.

A server may show a tag in capitals, or an address in another spelling; asked again and again it would still do so.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from podvnet.kube.home import Document
from podvnet.model.resource_id import ResourceId

_SERVERS_OWN = frozenset({"etag", "provisioningState", "resourceGuid"})


@dataclass
class WrittenDocuments:
    """Resources, each with digests of the documents that were taken."""

    _digests: set[tuple[str, str]] = field(default_factory=set)

    def note(self, resource: ResourceId, document: Document) -> None:
        """A document was taken."""
        self._digests.add((resource.key, _digest(document)))

    def has(self, resource: ResourceId, document: Document) -> bool:
        """Tell whether this very document was taken."""
        return (resource.key, _digest(document)) in self._digests

    def clear(self) -> None:
        """A round begins."""
        self._digests.clear()


def _digest(document: Document) -> str:
    """Of what of a document is ours to say."""
    return hashlib.sha256(json.dumps(_said(document), sort_keys=True).encode()).hexdigest()


def _said(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _said(each) for key, each in part.items() if key not in _SERVERS_OWN}
    return [_said(each) for each in part] if isinstance(part, list) else part
