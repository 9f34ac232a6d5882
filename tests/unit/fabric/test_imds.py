"""Every documented rule of the metadata service is a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from starlette.types import ASGIApp

from podvnet.azure.http_source import refusal
from podvnet.azure.imds import COMPUTE, NETWORK, parse_instance, parse_network
from podvnet.fabric.imds import REQUESTS_PER_SECOND, TokenBucket, imds_app
from podvnet.fabric.imds_document import VERSIONS
from podvnet.model.intent import Intent, VirtualMachine

Reply = tuple[int, dict[str, str], bytes]
Call = Callable[..., Reply]
Lookup = Callable[[str], VirtualMachine | None]

ASKS = {"Metadata": "true"}
VERSION = "api-version=2021-02-01"
NIC0 = "/metadata/instance/network/interface/0"


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def no_tokens(client: str, resource: str, now: float) -> str | None:
    """No identity is known."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(lookup: Lookup, intent: Intent, clock: Clock) -> ASGIApp:
    return imds_app(lookup, lambda: intent, no_tokens, clock)


def error(body: bytes) -> str:
    return str(json.loads(body)["error"])


@pytest.mark.parametrize(
    ("method", "headers", "query", "status", "says"),
    [
        ("GET", {"Metadata": "true"}, VERSION, 200, ""),
        ("GET", {"Metadata": "True"}, VERSION, 200, ""),
        ("GET", {"metadata": "TRUE"}, VERSION, 200, ""),
        ("GET", {}, VERSION, 400, "Required metadata header not specified"),
        ("GET", {"Metadata": "false"}, VERSION, 400, "Required metadata header not specified"),
        ("GET", {"Metadata": ""}, VERSION, 400, "Required metadata header not specified"),
        ("GET", {"Metadata": "true", "X-Forwarded-For": "10.1.0.9"}, VERSION, 400, "X-Forwarded-For"),
        ("GET", {"Metadata": "true", "x-forwarded-for": ""}, VERSION, 400, "X-Forwarded-For"),
        ("GET", ASKS, "", 400, "api-version is invalid or was not specified"),
        ("GET", ASKS, "api-version=", 400, "api-version is invalid or was not specified"),
        ("GET", ASKS, "api-version=2016-01-01", 400, "api-version is invalid or was not specified"),
        ("GET", ASKS, "api-version=latest", 400, "api-version is invalid or was not specified"),
        ("GET", ASKS, f"{VERSION}&{VERSION}", 400, "more than once"),
        ("GET", ASKS, f"{VERSION}&Api-Version=2021-02-01", 400, "more than once"),
        ("GET", ASKS, f"{VERSION}&format=json&format=text", 400, "more than once"),
        ("GET", ASKS, f"{VERSION}&x=1&x=2", 400, "more than once"),
        ("GET", ASKS, f"{VERSION}&format=xml", 400, "format"),
        ("GET", ASKS, f"{VERSION}&format=json", 200, ""),
        ("GET", ASKS, f"{VERSION}&format=JSON", 200, ""),
        ("GET", ASKS, f"{VERSION}&unknown=1", 200, ""),
        ("POST", ASKS, VERSION, 405, "POST"),
        ("PUT", ASKS, VERSION, 405, "PUT"),
        ("DELETE", ASKS, VERSION, 405, "DELETE"),
        ("POST", {}, "", 405, "POST"),
    ],
)
def test_rules_of_a_request(
    *, call: Call, app: ASGIApp, method: str, headers: dict[str, str], query: str, status: int, says: str
) -> None:
    got, names, body = call(app, method, f"/metadata/instance?{query}", headers=headers)
    assert got == status
    assert names["content-type"].startswith("application/json")
    if status == 200:
        assert set(json.loads(body)) == {"compute", "network"}
    else:
        assert says in error(body)
    assert (names.get("allow") == "GET") is (status == 405)


def test_head_is_no_get(call: Call, app: ASGIApp) -> None:
    assert call(app, "HEAD", f"/metadata/instance?{VERSION}", headers=ASKS)[0] == 405


@pytest.mark.parametrize("query", ["", "?api-version=2016-01-01"])
def test_without_a_version_the_newest_are_named(call: Call, app: ASGIApp, query: str) -> None:
    status, _, body = call(app, "GET", f"/metadata/instance{query}", headers=ASKS)
    assert status == 400
    assert json.loads(body)["newest-versions"] == ["2025-04-07", "2024-07-17", "2024-03-15"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_answered(call: Call, app: ASGIApp, version: str) -> None:
    status, _, body = call(app, "GET", f"/metadata/instance/compute?api-version={version}", headers=ASKS)
    assert status == 200
    assert json.loads(body)["name"] == "vm1"


@pytest.mark.parametrize(("headers", "method", "status"), [(ASKS, "GET", 200), ({}, "GET", 400), (ASKS, "POST", 405)])
def test_versions_need_no_version_but_the_header(
    call: Call, app: ASGIApp, headers: dict[str, str], method: str, status: int
) -> None:
    got, _, body = call(app, method, "/metadata/versions", headers=headers)
    assert got == status
    if status == 200:
        assert json.loads(body) == {"apiVersions": list(VERSIONS)}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{NIC0}/ipv4/subnet", [{"address": "10.1.0.0", "prefix": "24"}]),
        (f"{NIC0}/ipv4/subnet/0", {"address": "10.1.0.0", "prefix": "24"}),
        (f"{NIC0}/ipv4/ipAddress/1", {"privateIpAddress": "10.1.0.5", "publicIpAddress": ""}),
        (f"{NIC0}/ipv6/ipAddress", [{"privateIpAddress": "fd00:1::4"}, {"privateIpAddress": "fd00:1::5"}]),
        ("/metadata/instance/network/interface/1/ipv6", {"ipAddress": []}),
        ("/metadata/instance/compute/plan", {"name": "", "product": "", "publisher": ""}),
        ("/metadata/instance/compute/plan/", {"name": "", "product": "", "publisher": ""}),
        ("/metadata/instance/compute/publicKeys", []),
    ],
)
def test_a_subtree_as_json(call: Call, app: ASGIApp, path: str, expected: object) -> None:
    status, _, body = call(app, "GET", f"{path}?{VERSION}", headers=ASKS)
    assert (status, json.loads(body)) == (200, expected)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/metadata/instance", "compute/\nnetwork/"),
        ("/metadata/instance/", "compute/\nnetwork/"),
        ("/metadata/instance/network/interface", "0/\n1/"),
        (NIC0, "ipv4/\nipv6/\nmacAddress"),
        (f"{NIC0}/macAddress", "000D3AF806E1"),
        (f"{NIC0}/ipv4/ipAddress/0/privateIpAddress", "10.1.0.4"),
        (f"{NIC0}/ipv4/ipAddress/0/privateIpAddress/", "10.1.0.4"),
        (f"{NIC0}/ipv4/ipAddress/0/publicIpAddress", ""),
        ("/metadata/instance/compute/vmId", "5c08b38e-4d57-4c23-ac45-000000000001"),
        ("/metadata/instance/compute/tags", "role:node;pool:blue"),
    ],
)
def test_a_part_as_text(call: Call, app: ASGIApp, path: str, expected: str) -> None:
    status, names, body = call(app, "GET", f"{path}?{VERSION}&format=text", headers=ASKS)
    assert (status, body.decode()) == (200, expected)
    assert names["content-type"].startswith("text/plain")


@pytest.mark.parametrize("query", [VERSION, f"{VERSION}&format=json"])
@pytest.mark.parametrize("path", [f"{NIC0}/macAddress", "/metadata/instance/compute/name"])
def test_json_of_a_leaf_is_refused(call: Call, app: ASGIApp, path: str, query: str) -> None:
    status, _, body = call(app, "GET", f"{path}?{query}", headers=ASKS)
    assert status == 400
    assert "format=text" in error(body)


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    "path",
    [
        "/metadata/instance/network/interface/2",
        "/metadata/instance/network/interface/-1",
        f"{NIC0}/ipv5",
        f"{NIC0}/macAddress/0",
        "/metadata/instance/compute/hostGroup",
        "/metadata/instance//compute",
        "/metadata/nothing",
        "/metadata",
        "/metadata/versions/1",
        "/metadata/attested/document",
        "/metadata/scheduledevents",
        "/latest/meta-data",
        "/",
    ],
)
def test_what_is_absent(call: Call, app: ASGIApp, path: str, form: str) -> None:
    assert call(app, "GET", f"{path}?{VERSION}&format={form}", headers=ASKS)[0] == 404


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [("?api-version=2020-10-01", 404, "No load balancer metadata is found"), ("", 400, "api-version")],
)
def test_no_load_balancer(call: Call, app: ASGIApp, query: str, status: int, says: str) -> None:
    got, _, body = call(app, "GET", f"/metadata/loadbalancer{query}", headers=ASKS)
    assert got == status
    assert says in error(body)


@pytest.mark.parametrize(("source", "mac"), [("10.1.0.4", "000D3AF806E1"), ("10.1.0.7", "000D3AF806E3")])
def test_a_vm_sees_itself_and_no_other(call: Call, app: ASGIApp, source: str, mac: str) -> None:
    other = {"000D3AF806E1", "000D3AF806E3"} - {mac}
    _, _, body = call(app, "GET", f"/metadata/instance?{VERSION}", source=source, headers=ASKS)
    assert json.loads(body)["network"]["interface"][0]["macAddress"] == mac
    assert other.pop() not in body.decode()


@pytest.mark.parametrize("source", ["10.1.0.5", "10.1.0.99", "192.0.2.1"])
def test_an_unknown_source_is_told_nothing(call: Call, app: ASGIApp, source: str) -> None:
    status, names, _ = call(app, "GET", "/metadata/versions", source=source, headers=ASKS)
    assert (status, names["content-type"]) == (404, "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("gaps", "granted"),
    [
        ([0.0] * 5, [True] * 5),
        ([0.0] * 6, [True] * 5 + [False]),
        ([0.0] * 5 + [0.19], [True] * 5 + [False]),
        ([0.0] * 5 + [0.21], [True] * 6),
        ([0.0] * 5 + [0.1, 0.11], [True] * 5 + [False, True]),
        ([0.0] * 5 + [60.0] + [0.0] * 5, [True] * 10 + [False]),
        ([0.25] * 20, [True] * 20),
    ],
)
def test_token_bucket(gaps: list[float], granted: list[bool]) -> None:
    now, bucket, waits = 0.0, TokenBucket(0.0), []
    for gap in gaps:
        now += gap
        bucket, wait = bucket.take(now)
        waits.append(wait)
    assert [wait == 0 for wait in waits] == granted
    assert all(0 <= wait <= 1 / REQUESTS_PER_SECOND for wait in waits)


def test_a_clock_that_stands_or_steps_back_gives_no_tokens() -> None:
    bucket = TokenBucket(10.0, tokens=0.0)
    assert bucket.take(9.0)[1] == pytest.approx(1 / REQUESTS_PER_SECOND)


def test_five_requests_a_second_for_each_vm(call: Call, app: ASGIApp, clock: Clock) -> None:
    def ask(source: str = "10.1.0.4") -> Reply:
        return call(app, "GET", "/metadata/versions", source=source, headers=ASKS)

    assert [ask()[0] for _ in range(7)] == [200] * 5 + [429] * 2
    assert ask()[1]["retry-after"] == "1"
    assert ask("10.1.0.7")[0] == 200
    clock.now += 1
    assert [ask()[0] for _ in range(6)] == [200] * 5 + [429]


def test_refused_requests_count_too(call: Call, app: ASGIApp) -> None:
    refused = [call(app, "GET", "/metadata/versions")[0] for _ in range(6)]
    assert refused == [400] * 5 + [429]


def test_what_the_client_makes_of_429(call: Call, app: ASGIApp) -> None:
    for _ in range(5):
        call(app, "GET", NETWORK, headers=ASKS)
    status, names, body = call(app, "GET", NETWORK, headers=ASKS)
    error = refusal(NETWORK, status, names["retry-after"], body)
    assert (error.retryable, error.retry_after) == (True, 1.0)


def test_the_intent_is_read_at_each_request(call: Call, lookup: Lookup, intent: Intent, grown: Intent) -> None:
    now = [intent]
    app = imds_app(lookup, lambda: now[0], no_tokens, Clock())
    before = parse_network(call(app, "GET", NETWORK, headers=ASKS)[2])
    now[0] = grown
    after = parse_network(call(app, "GET", NETWORK, headers=ASKS)[2])
    added = set(after.primary_nic().secondary_addresses()) - set(before.primary_nic().secondary_addresses())
    assert {str(address) for address in added} == {"10.1.0.9"}


def test_buckets_of_vms_that_are_gone_are_dropped(
    call: Call, lookup: Lookup, intent: Intent, vm1: VirtualMachine, vm2: VirtualMachine
) -> None:
    now = [intent]
    app = imds_app(lookup, lambda: now[0], no_tokens, Clock())
    for _ in range(6):
        call(app, "GET", "/metadata/versions", headers=ASKS)
    now[0] = replace(intent, machines={vm2.id.key: vm2})
    call(app, "GET", "/metadata/versions", source="10.1.0.7", headers=ASKS)
    now[0] = replace(intent, machines={vm1.id.key: vm1, vm2.id.key: vm2})
    assert call(app, "GET", "/metadata/versions", headers=ASKS)[0] == 200


def test_our_client_reads_our_service(call: Call, app: ASGIApp, vm2: VirtualMachine) -> None:
    compute = call(app, "GET", COMPUTE, source="10.1.0.7", headers=ASKS)[2]
    network = call(app, "GET", NETWORK, source="10.1.0.7", headers=ASKS)[2]
    assert parse_instance(compute).resource_id == vm2.id
    assert [str(address) for address in parse_network(network).primary_nic().secondary_addresses()] == ["10.1.0.8"]
