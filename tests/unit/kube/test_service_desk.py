"""What Services are told, when the API server refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from podvnet.kube.cluster_api import ApiError, Document, Query
from podvnet.kube.notice import Notice
from podvnet.kube.service import read_service
from podvnet.kube.service_desk import ServiceDesk


class Refusing:
    """An API that refuses with a status."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[str] = []

    async def ask(
        self, method: str, path: str, body: Document | None = None, *, content: str = "", query: Query | None = None
    ) -> Document:
        """Refuse."""
        self.asked.append(f"{method} {path}")
        raise ApiError("because it is being terminated", self.status)

    async def watch(self, path: str, query: Query) -> AsyncIterator[Document]:
        """Nothing happens."""
        for each in list[Document]():
            yield each


DOCUMENT: Document = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "01234567-89ab-cdef-0123-456789abcdef"},
    "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv4"], "ports": [{"port": 80, "protocol": "TCP"}]},
}


def say(api: Refusing) -> None:
    desk = ServiceDesk(api, "test", lambda _: DOCUMENT, lambda _: None, lambda _: None)
    for _ in range(2):
        asyncio.run(desk.say(read_service(DOCUMENT), Notice("Released", "the load balancer is gone")))


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422, 429])
def test_a_namespace_that_takes_no_events_any_more_does_not_keep_its_services(status: int) -> None:
    api = Refusing(status)
    say(api)
    assert api.asked == ["POST /api/v1/namespaces/shop/events"]


def test_an_event_is_tried_again_when_the_server_has_trouble() -> None:
    with pytest.raises(ApiError):
        say(Refusing(500))


class Taking(Refusing):
    """An API that takes everything."""

    async def ask(
        self, method: str, path: str, body: Document | None = None, *, content: str = "", query: Query | None = None
    ) -> Document:
        """Take it."""
        self.asked.append(f"{method} {path}")
        return {}


def test_a_service_of_which_something_new_is_wrong_all_the_time_is_no_flood_of_events() -> None:
    api, now = Taking(0), [0.0]
    desk = ServiceDesk(api, "test", lambda _: DOCUMENT, lambda _: None, lambda _: None, clock=lambda: now[0])
    service = read_service(DOCUMENT)

    def differ(number: int) -> int:
        notice = Notice("PortsDiffer", f"left out is web-{number}")
        desk.unsay(service, {notice})
        asyncio.run(desk.say(service, notice))
        return len(api.asked)

    assert [differ(number) for number in range(1000)][-1] == 25
    now[0] = 120.0
    assert [differ(1000 + number) for number in range(10)][-1] == 27, "what holds then is said"
    before = len(api.asked)
    now[0] = 200.0
    differ(1009)
    assert len(api.asked) == before + 1, "what was kept back was not taken for said"
