"""What the controller measures, and how it is served."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from podvnet.azure.resource_manager import RefusedError
from podvnet.kube.controller_metrics import Readings, render
from podvnet.kube.metrics_listener import ListenError, serving
from podvnet.kube.service_rounds import InterruptedRoundError
from podvnet.kube.write_tally import WriteTally
from podvnet.model.resource_id import ResourceId
from podvnet.testing.service_stage import ServiceStage


def test_services_are_counted_by_how_they_stand_and_writes_by_what_became_of_them(stage: ServiceStage) -> None:
    stage.cluster.put("web")
    stage.cluster.put("wrong", annotations={"service.beta.kubernetes.io/azure-pip-name": "nowhere"})
    stage.cluster.put("theirs", loadBalancerClass="another.io/x")
    stage.cluster.serve("web", "10.1.0.11")
    left = [RefusedError("busy", "", 429, "Busy", 1.0)]

    def refuse(method: str, resource: ResourceId) -> None:
        if method == "PUT" and left:
            raise left.pop()

    stage.edge.before = refuse
    with pytest.raises(InterruptedRoundError):
        stage.round()
    stage.round()
    assert stage.rounds.states == {"served": 1, "held": 1, "going": 0}
    assert stage.rounds.tally.writes == {"publicIPAddresses": 2, "networkSecurityGroups": 1, "loadBalancers": 1}
    assert stage.rounds.tally.refusals == {"429": 1}
    stage.cluster.delete("web")
    stage.edge.before = lambda method, resource: None
    stage.round()
    assert stage.rounds.states == {"served": 0, "held": 1, "going": 0}


def test_the_text_is_as_prometheus_reads_it() -> None:
    tally = WriteTally()
    tally.writes["loadBalancers/backendAddressPools"] = 2
    text = render(Readings(True, {"served": 3}, 1.25, {"done": 7}, tally, followed={"services": False}))
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r'\w+(\{\w+="[^"]*"\})? [0-9.]+', line) for line in samples)
    assert "podvnet_controller_behind_seconds 1.25" in samples
    assert 'podvnet_controller_writes_total{type="loadBalancers/backendAddressPools"} 2' in samples
    assert text.endswith("\n")


async def asked(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("request_line", "begin", "end"),
    [
        (b"GET /metrics HTTP/1.1", b"HTTP/1.1 200 OK", b"\r\n\r\nx 1\n"),
        (b"GET /metrics?a=b HTTP/1.1", b"HTTP/1.1 200 OK", b"\r\n\r\nx 1\n"),
        (b"HEAD /metrics HTTP/1.1", b"HTTP/1.1 200 OK", b"\r\n\r\n"),
        (b"GET / HTTP/1.1", b"HTTP/1.1 404 Not Found", b"\r\n\r\n"),
        (b"POST /metrics HTTP/1.1", b"HTTP/1.1 405 Method Not Allowed", b"\r\n\r\n"),
        (b"", b"HTTP/1.1 405", b"\r\n\r\n"),
    ],
)
def test_metrics_are_served_and_nothing_else(request_line: bytes, begin: bytes, end: bytes) -> None:
    async def run() -> bytes:
        async with serving(("127.0.0.1", 0), lambda: "x 1\n") as port:
            return await asked(port, request_line + b"\r\nHost: x\r\n\r\n")

    answer = asyncio.run(run())
    assert answer.startswith(begin)
    assert answer.endswith(end)


@pytest.mark.parametrize("garbage", [b"", b"\x16\x03\x01", b"a" * 100_000])
def test_who_sends_no_request_gets_no_answer_and_the_next_one_does(garbage: bytes) -> None:
    async def run() -> tuple[bytes, bytes]:
        async with serving(("127.0.0.1", 0), lambda: "x 1\n") as port:
            try:
                first = await asked(port, garbage)
            except OSError:
                first = b""
            return first, await asked(port, b"GET /metrics HTTP/1.0\r\n\r\n")

    first, second = asyncio.run(run())
    assert first == b""
    assert second.endswith(b"x 1\n")


def test_who_only_holds_connections_open_leaves_others_none_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podvnet.kube.metrics_listener._PATIENCE", 0.05)

    async def run() -> Any:
        async with serving(("127.0.0.1", 0), lambda: "x 1\n") as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            ends = [await reader.read() for reader, _ in held]
            for _, writer in held:
                writer.close()
            return ends, await asked(port, b"GET /metrics HTTP/1.0\r\n\r\n")

    ends, answer = asyncio.run(run())
    assert set(ends) == {b""}
    assert answer.endswith(b"x 1\n")


def test_a_port_that_is_taken_is_said() -> None:
    async def run() -> None:
        async with serving(("127.0.0.1", 0), str) as port, serving(("127.0.0.1", port), str):
            pass

    with pytest.raises(ListenError, match="cannot be served at 127"):
        asyncio.run(run())
