"""The resource manager in memory: the fabric's own types and checks, without a process, a store or a kernel."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

from podvnet.azure.resource_manager import RefusedError, Resource, refusal
from podvnet.fabric import resource_file
from podvnet.fabric.arm import children, references
from podvnet.fabric.arm.world import Document, World
from podvnet.fabric.settlement import TYPES, complete, settle, settle_all, settle_removal
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.resource_id import ResourceId, Scope, parse


class MemoryEdge:
    """Answers as the fabric does.

    Attributes:
        calls: method and resource of every request that was made.
        before: called before each request is carried out, with its method and resource; may raise, or write itself.
        after: called once it is carried out; what it raises, who asked gets in place of an answer.
        left: what is said of how many writes are taken.
        closed: resource groups whose resources may not be listed.
        shown: by type, what becomes of a resource when it is shown.

    Args:
        resources: a file's text.
    """

    def __init__(self, resources: str) -> None:
        self.world = settle_all(resource_file.parse(resources, "resources.yaml"), World(), set()).world
        self.calls: list[tuple[str, ResourceId]] = []
        self.before: Callable[[str, ResourceId], None] = _nothing
        self.after: Callable[[str, ResourceId], None] = _nothing
        self.left: int | None = None
        self.closed: set[str] = set()
        self.shown: dict[str, Callable[[Resource], Resource]] = {}

    @property
    def writes(self) -> list[tuple[str, ResourceId]]:
        """The requests that write."""
        return [each for each in self.calls if each[0] != "GET"]

    @property
    def writes_left(self) -> int | None:
        """See :class:`podvnet.kube.edge.Edge`."""
        return self.left

    @property
    def writing(self) -> bool:
        """See :class:`podvnet.kube.edge.Edge`: who is asked here has done it at once."""
        return False

    async def get(self, resource: ResourceId) -> Resource | None:
        """See :class:`podvnet.kube.edge.Edge`."""
        self._begin("GET", resource)
        found = self.read(resource)
        self.after("GET", resource)
        return found

    async def read_all(self, scope: Scope, full_type: str) -> list[Resource]:
        """See :class:`podvnet.kube.edge.Edge`."""
        if scope.resource_group in self.closed:
            raise RefusedError("GET answered 403", "", 403, "AuthorizationFailed", None)
        prefix = f"/subscriptions/{scope.subscription}/resourcegroups/{scope.resource_group}/".lower()
        ids = [parse(each["id"]) for each in self.world.of_type(full_type) if each["id"].lower().startswith(prefix)]
        return [found for each in ids if (found := self.read(each))]

    async def put(self, resource: ResourceId, document: Document, etag: str) -> Resource:
        """See :class:`podvnet.kube.edge.Edge`."""
        self._begin("PUT", resource)
        self.write(resource, copy.deepcopy(document), etag)
        self.after("PUT", resource)
        found = self.read(resource)
        assert found is not None  # noqa: S101 - it has just been written
        return found

    async def delete(self, resource: ResourceId) -> None:
        """See :class:`podvnet.kube.edge.Edge`."""
        self._begin("DELETE", resource)
        there = self.world.get(resource)
        if there is not None:
            try:
                TYPES[there["type"].lower()].check_removal(resource, self.world)
                self.world = settle_removal({resource.key}, self.world).world
            except (ArmError, ArmErrorsError) as error:
                raise _refused(resource, error) from error
        self.after("DELETE", resource)

    def read(self, resource: ResourceId) -> Resource | None:
        """A resource, or a child, as it is shown."""
        whole = self.world.get(resource.top)
        if whole is None:
            return None
        view = references.view(whole, self.world)
        etag = references.etag(whole, self.world)
        if resource.top == resource:
            return self.shown.get(resource.type, _as_it_is)(Resource(copy.deepcopy(view), etag))
        path = resource.path[1:]
        return Resource(copy.deepcopy(children.read_child(view, path)), etag) if _has(view, path) else None

    def write(self, resource: ResourceId, document: Document, etag: str = "") -> None:
        """Write a resource, or a child.

        Raises:
            RefusedError: it is refused.
        """
        there = self.read(resource.top)
        if etag and (there is None or there.etag != etag):
            raise RefusedError(f"PUT {resource} answered 412", "", 412, "PreconditionFailed", None)
        try:
            body: Document = {**document, "id": str(resource), "name": resource.name, "type": resource.type}
            if resource.top != resource:
                if there is None:
                    raise RefusedError(f"PUT {resource} answered 404", "", 404, "ParentResourceNotFound", None)
                body = children.put_child(there.document, resource.path[1:], document)
            draft = self.world.copy()
            draft.put(settle(body, draft))
            complete(draft)
        except (ArmError, ArmErrorsError) as error:
            raise _refused(resource, error) from error
        self.world = draft

    def _begin(self, method: str, resource: ResourceId) -> None:
        self.calls.append((method, resource))
        self.before(method, resource)


def _nothing(method: str, resource: ResourceId) -> None:
    """What is called when nobody wants to be."""


def _as_it_is(found: Resource) -> Resource:
    return found


def _has(view: Document, path: children.Path) -> bool:
    return children.has_child(view, path)


def _refused(resource: ResourceId, error: ArmError | ArmErrorsError) -> RefusedError:
    first = error if isinstance(error, ArmError) else error.errors[0]
    body = json.dumps({"error": {"code": first.code, "message": first.message}})
    return refusal(f"PUT {resource}", int(first.status), None, body.encode())
