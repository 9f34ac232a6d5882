"""What the resource manager has, as last read or written, with etags: read again what may have changed.

Nothing is kept that cannot be read again, and nothing is read again that we know: after a write its answer is what
there is, as long as nobody else writes; then a write is refused (412) and the resource forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable

from podvnet.azure.resource_manager import RefusedError, Resource
from podvnet.kube.balancer_plan import POOLS
from podvnet.kube.edge import Edge
from podvnet.kube.home import PUBLIC_ADDRESSES, Document, Estate, Home
from podvnet.model.resource_id import ResourceId, Scope

_FORBIDDEN, _CHANGED = 403, 412


class Holdings:
    """The resources of one home."""

    def __init__(self, edge: Edge, home: Home) -> None:
        self._edge = edge
        self._home = home
        self._known: dict[str, Resource | None] = {}
        """By id key; None for what is not there, or cannot be read."""
        self._groups: dict[str, list[Resource]] = {}
        """By resource group in lower case, its public addresses."""
        self._unreadable: set[str] = set()

    async def estate(self, groups: Iterable[str]) -> Estate:
        """What there is; whatever is not known is read first.

        Args:
            groups: resource groups whose public addresses are in question, besides the home's.

        Raises:
            SourceError: something cannot be read.
        """
        network = await self._read(self._home.subnet.parent)
        if network is None:
            raise RefusedError(
                f"there is no virtual network {self._home.subnet.parent}",
                "name the subnet of the nodes (--subnet)", 404, "", None,
            )  # fmt: skip
        balancers: dict[bool, Document] = {}
        for internal in (False, True):
            found = await self._read(self._home.balancer(internal=internal))
            if found:
                balancers[internal] = found.document
        security: dict[str, Document] = {}
        for group in {each.group for each in Estate(network.document).subnets if each.group}:
            found = await self._read(group)
            if found:
                security[group.key] = found.document
        asked = dict.fromkeys(each.lower() for each in (self._home.scope.resource_group, *groups))
        publics = {each["id"].lower(): each for group in asked for each in await self._publics(group)}
        return Estate(network.document, balancers, security, publics, frozenset(self._unreadable.intersection(asked)))

    async def put(self, resource: ResourceId, document: Document) -> None:
        """Write a resource as it is known.

        Raises:
            SourceError: it is not written, or may not be; it is forgotten.
        """
        etag = self._etag(resource)
        try:
            if not etag and resource.top == resource and await self._edge.get(resource) is not None:
                raise _changed(resource, "is there by now")
            written = await self._edge.put(resource, document, etag)
        except BaseException:
            self.forget(resource)
            raise
        self._note(resource, written)

    async def delete(self, resource: ResourceId) -> None:
        """Delete a resource; it is forgotten.

        No etag is asked for when something is deleted, so it is read once more: others may have put something into it.

        Raises:
            SourceError: it is not deleted, or may not be.
        """
        known = self._known.get(resource.key)
        try:
            there = await self._edge.get(resource) if known else None
            if known and there and there.etag != known.etag:
                raise _changed(resource, "is another one by now")
            await self._edge.delete(resource)
        finally:
            self.forget(resource)

    def forget(self, resource: ResourceId) -> None:
        """Read a resource again before anything is decided."""
        self._known.pop(resource.top.key, None)
        self._groups.pop(resource.resource_group.lower(), None)
        self._unreadable.discard(resource.resource_group.lower())

    def forget_all(self) -> None:
        """Read everything again."""
        self._known.clear()
        self._groups.clear()
        self._unreadable.clear()

    def _etag(self, resource: ResourceId) -> str:
        found = self._known.get(resource.top.key)
        if found is None:
            publics = self._groups.get(resource.resource_group.lower(), [])
            found = next((each for each in publics if each.document["id"].lower() == resource.key), None)
        return found.etag if found else ""

    def _note(self, resource: ResourceId, written: Resource) -> None:
        if resource.type == PUBLIC_ADDRESSES:
            held = self._groups.get(resource.resource_group.lower(), [])
            rest = [each for each in held if each.document["id"].lower() != resource.key]
            self._groups[resource.resource_group.lower()] = [*rest, written]
        elif resource.top == resource:
            self._known[resource.key] = written
        else:
            self._note_pool(resource, written)

    def _note_pool(self, resource: ResourceId, written: Resource) -> None:
        """A pool that was written is in its load balancer, which has its etag now."""
        whole = self._known.get(resource.top.key)
        if whole is None or not written.etag:
            self.forget(resource)
            return
        inner = whole.document["properties"]
        pools = [written.document if each["name"] == resource.name else each for each in inner[POOLS]]
        document = {**whole.document, "etag": written.etag, "properties": {**inner, POOLS: pools}}
        self._known[resource.top.key] = Resource(document, written.etag)

    async def _read(self, resource: ResourceId) -> Resource | None:
        if resource.key not in self._known:
            try:
                self._known[resource.key] = await self._edge.get(resource)
            except RefusedError as error:
                if error.status != _FORBIDDEN or resource.type.endswith("loadBalancers"):
                    raise
                self._known[resource.key] = None
        return self._known[resource.key]

    async def _publics(self, group: str) -> list[Document]:
        if group not in self._groups:
            scope = Scope(self._home.scope.subscription, group)
            try:
                self._groups[group] = await self._edge.read_all(scope, PUBLIC_ADDRESSES)
            except RefusedError as error:
                # Anybody can name any group in an annotation: that is no trouble of the others'.
                if error.retryable or group == self._home.scope.resource_group.lower():
                    raise
                self._groups[group] = []
                self._unreadable.add(group)
        return [each.document for each in self._groups[group]]


def _changed(resource: ResourceId, how: str) -> RefusedError:
    """What the resource manager would answer if it were told what we know."""
    return RefusedError(f"{resource} {how}", "it is read again", _CHANGED, "PreconditionFailed", None)
