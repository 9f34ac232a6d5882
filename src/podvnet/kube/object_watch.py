"""The objects of one kind, listed and then followed; what a list shows gone is gone.

Source: Kubernetes documentation, "Kubernetes API Concepts" (efficient detection of changes; 410 Gone; bookmarks).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from podvnet.kube.cluster_api import Api, ApiError, Document

_PAGE = "500"
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 10.0
_LASTING = 1.0
"""Seconds that a watch lasts which is one: who ends them at once is not to be asked in a circle."""
_GONE = 410

_log = structlog.get_logger()


class ObjectWatch:
    """Follows one kind.

    Attributes:
        objects: by uid, as last seen.
        listed: set once all have been seen.
        fresh: whether what is known is followed, and not waited for.

    Args:
        api: the cluster's.
        path: of the collection, e.g. ``/api/v1/services``.
        changed: called after every change.
    """

    def __init__(self, api: Api, path: str, changed: Callable[[], object]) -> None:
        self._api = api
        self._path = path
        self._changed = changed
        self._wait = 0.0
        """Before the next list, or watch; none after a watch that has told something."""
        self.objects: dict[str, Document] = {}
        self.listed = asyncio.Event()
        self.fresh = False

    def learn(self, document: Document) -> None:
        """Take in an object as a request answered it, unless a later one is known.

        One that is not known is not taken in: the watch may have seen it go before the answer came.
        """
        uid = document["metadata"]["uid"]
        if uid in self.objects:
            self._take(document)

    def forget(self, uid: str) -> None:
        """An object is gone, as a request was answered."""
        self.objects.pop(uid, None)

    async def follow(self) -> None:
        """Follow until cancelled; a server that is away is waited for."""
        while True:
            try:
                version = await self._list()
                while True:
                    begun = time.monotonic()
                    version = await self._watch(version)
                    if time.monotonic() - begun < _LASTING:
                        await self._pause()
            except ApiError as error:
                self.fresh = False
                if error.status != _GONE:
                    _log.warning("the watch is interrupted", path=self._path, error=str(error))
                    self._wait = max(self._wait, _FIRST_WAIT)
                await self._pause()

    async def _pause(self) -> None:
        """Wait, the next time longer, until a watch tells something again: a list that is answered proves nothing."""
        await asyncio.sleep(self._wait)
        self._wait = min(max(2 * self._wait, _FIRST_WAIT), _LONGEST_WAIT)

    async def _list(self) -> str:
        found: dict[str, Document] = {}
        token = ""
        while True:
            page = await self._api.ask("GET", self._path, query={"limit": _PAGE, "continue": token})
            found |= {each["metadata"]["uid"]: each for each in page.get("items") or ()}
            token = page["metadata"].get("continue") or ""
            if not token:
                break
        self.objects = found
        self.fresh = True
        self.listed.set()
        self._changed()
        return str(page["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        """Follow one watch to its end; return the version that the next one begins at.

        Raises:
            ApiError: the list is too old, or the watch breaks off.
        """
        async for event in self._api.watch(self._path, {"resourceVersion": version}):
            document = event["object"]
            if event["type"] == "ERROR":
                raise ApiError(f"watch {self._path}: {document.get('message')}", int(document.get("code", 0)))
            version = document["metadata"]["resourceVersion"]
            self._wait = 0.0
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "DELETED":
                self.objects.pop(document["metadata"]["uid"], None)
            else:
                self._take(document)
            self._changed()
        return version

    def _take(self, document: Document) -> None:
        known = self.objects.get(document["metadata"]["uid"])
        if known is None or _version(known) < _version(document):
            self.objects[document["metadata"]["uid"]] = document


def _version(document: Document) -> int:
    """Resource versions of one kind can be compared (KEP-5504); one that is no number is older than all."""
    text = document["metadata"].get("resourceVersion", "")
    return int(text) if text.isdigit() else -1
