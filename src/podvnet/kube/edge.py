"""The resource manager as the controller asks it: one request at a time, in a thread of its own.

Whatever a request changes is carried out when it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from podvnet.azure.resource_manager import RefusedError, Resource, ResourceManager
from podvnet.kube.home import Document
from podvnet.model.resource_id import ResourceId, Scope

_Answer = TypeVar("_Answer")
_NOT_FOUND = 404


class Edge(Protocol):
    """What the controller asks. Errors are those of :class:`ResourceManager`."""

    @property
    def writes_left(self) -> int | None:
        """How many writes are taken before they are refused; None when nobody says."""

    @property
    def writing(self) -> bool:
        """Whether a write is under way, though who asked for it may not wait any more."""

    async def get(self, resource: ResourceId) -> Resource | None:
        """Read a resource; None when it is not there."""

    async def read_all(self, scope: Scope, full_type: str) -> list[Resource]:
        """Read every resource of a type in a resource group; none when there is no such group."""

    async def put(self, resource: ResourceId, document: Document, etag: str) -> Resource:
        """Write a resource as it was when it had this etag; an empty one: however it was."""

    async def delete(self, resource: ResourceId) -> None:
        """Delete a resource."""


class ManagerEdge:
    """The resource manager itself.

    Args:
        manager: made and used in one thread.
    """

    def __init__(self, manager: Callable[[], ResourceManager]) -> None:
        self._make = manager
        self._made: ResourceManager | None = None
        self._write: Future[Any] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="resource-manager")

    @property
    def writes_left(self) -> int | None:
        """See :class:`Edge`."""
        return self._made.writes_left if self._made else None

    @property
    def writing(self) -> bool:
        """See :class:`Edge`."""
        return self._write is not None and not self._write.done()

    async def get(self, resource: ResourceId) -> Resource | None:
        """See :class:`Edge`."""
        return await self._ask(lambda manager: _found(lambda: manager.get(resource)))

    async def read_all(self, scope: Scope, full_type: str) -> list[Resource]:
        """See :class:`Edge`."""
        return await self._ask(lambda manager: _found(lambda: manager.read_all(scope, full_type)) or [])

    async def put(self, resource: ResourceId, document: Document, etag: str) -> Resource:
        """See :class:`Edge`."""
        return await self._ask(
            lambda manager: manager.settle(resource, manager.put(resource, document, etag)), writes=True
        )

    async def delete(self, resource: ResourceId) -> None:
        """See :class:`Edge`."""
        await self._ask(lambda manager: manager.delete(resource), writes=True)

    async def ask(self, question: Callable[[ResourceManager], _Answer]) -> _Answer:
        """Ask something else."""
        return await self._ask(question)

    def close(self) -> None:
        """Ask nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, question: Callable[[ResourceManager], _Answer], *, writes: bool = False) -> _Answer:
        asked = self._thread.submit(lambda: question(self._manager()))
        if writes:
            self._write = asked
        return await asyncio.wrap_future(asked)

    def _manager(self) -> ResourceManager:
        if self._made is None:
            self._made = self._make()
        return self._made


def _found(read: Callable[[], _Answer]) -> _Answer | None:
    try:
        return read()
    except RefusedError as error:
        if error.status == _NOT_FOUND:
            return None
        raise
