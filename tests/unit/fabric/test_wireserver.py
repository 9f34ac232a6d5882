"""Every request the wireserver knows is a row, and so is every refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from starlette.types import ASGIApp

from podvnet.azure.wireserver import INTERFACES, parse_interfaces
from podvnet.fabric.wireserver import Incarnation, wireserver_app
from podvnet.model.intent import Intent, VirtualMachine

Reply = tuple[int, dict[str, str], bytes]
Call = Callable[..., Reply]
Lookup = Callable[[str], VirtualMachine | None]

AGENT = {"x-ms-version": "2012-11-30", "x-ms-agent-name": "WALinuxAgent"}


@pytest.fixture
def app(lookup: Lookup, intent: Intent) -> ASGIApp:
    return wireserver_app(lookup, lambda: intent)


def incarnation(reply: Reply) -> str | None:
    return ET.fromstring(reply[2]).findtext("Incarnation")


@pytest.mark.parametrize(
    ("target", "headers", "root"),
    [
        ("/?comp=versions", {}, "Versions"),
        ("/?Comp=Versions", {}, "Versions"),
        ("/machine/?comp=goalstate", AGENT, "GoalState"),
        ("/machine?comp=goalstate", AGENT, "GoalState"),
        ("/machine?comp=goalstate", {"X-MS-Version": "2010-12-15"}, "GoalState"),
        ("/machine?COMP=GoalState", AGENT, "GoalState"),
        (INTERFACES, {}, "Interfaces"),
        ("/machine/plugins/?comp=nmagent&type=getinterfaceinfov1", {}, "Interfaces"),
        ("/machine/plugins?comp=NMAgent&type=GetInterfaceInfoV1", {}, "Interfaces"),
        ("/machine/plugins?type=GetInterfaceInfov1&comp=nmagent", {"Metadata": "true"}, "Interfaces"),
        ("/machine/plugins/?comp=nmagent&type=GetSupportedApis", {}, "SupportedRequestTypes"),
        ("/machine/plugins?comp=nmagent&type=getsupportedapis", {}, "SupportedRequestTypes"),
    ],
)
def test_documents(call: Call, app: ASGIApp, target: str, headers: dict[str, str], root: str) -> None:
    status, names, body = call(app, "GET", target, headers=headers)
    assert (status, names["content-type"]) == (200, "text/xml; charset=utf-8")
    assert ET.fromstring(body).tag == root


@pytest.mark.parametrize("comp", ["health", "Health", "roleProperties", "telemetrydata"])
@pytest.mark.parametrize("path", ["/machine", "/machine/"])
def test_reports_are_taken(call: Call, app: ASGIApp, path: str, comp: str) -> None:
    assert call(app, "POST", f"{path}?comp={comp}", headers=AGENT)[0] == 200


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "code"),
    [
        ("GET", "/machine?comp=goalstate", {}, 400, "MissingRequiredHeader"),
        ("GET", "/machine/?comp=goalstate", {"Metadata": "true"}, 400, "MissingRequiredHeader"),
        ("GET", "/machine?comp=goalstate", {"x-ms-version": ""}, 400, "InvalidHeaderValue"),
        ("GET", "/machine?comp=goalstate", {"x-ms-version": "2099-01-01"}, 400, "InvalidHeaderValue"),
        ("GET", "/", {}, 400, "InvalidQueryParameterValue"),
        ("GET", "/?comp=", {}, 400, "InvalidQueryParameterValue"),
        ("GET", "/?comp=goalstate", AGENT, 400, "InvalidQueryParameterValue"),
        ("GET", "/machine", AGENT, 400, "InvalidQueryParameterValue"),
        ("GET", "/machine?comp=versions", AGENT, 400, "InvalidQueryParameterValue"),
        ("GET", "/machine?comp=health", AGENT, 400, "InvalidQueryParameterValue"),
        ("POST", "/machine?comp=goalstate", AGENT, 400, "InvalidQueryParameterValue"),
        ("POST", "/?comp=versions", AGENT, 400, "InvalidQueryParameterValue"),
        ("PUT", INTERFACES, {}, 400, "InvalidQueryParameterValue"),
        ("GET", "/machine/plugins", {}, 400, "InvalidQueryParameterValue"),
        ("GET", "/machine/plugins?comp=nmagent", {}, 400, "InvalidQueryParameterValue"),
        ("GET", "/machine/plugins?comp=nmagent&type=NetworkManagement", {}, 400, "InvalidQueryParameterValue"),
        ("GET", "/machine/plugins?comp=netagent&type=cnireport", {}, 400, "InvalidQueryParameterValue"),
        ("GET", "/machine/plugins/more?comp=nmagent&type=getinterfaceinfov1", {}, 404, "ResourceNotFound"),
        ("GET", "/metadata/instance", {}, 404, "ResourceNotFound"),
        ("GET", "/vmSettings", {}, 404, "ResourceNotFound"),
        ("POST", "/status", {}, 404, "ResourceNotFound"),
        ("GET", "/\x01<&", {}, 404, "ResourceNotFound"),
    ],
)
def test_refusals(
    *, call: Call, app: ASGIApp, method: str, target: str, headers: dict[str, str], status: int, code: str
) -> None:
    got, names, body = call(app, method, target, headers=headers)
    root = ET.fromstring(body)
    assert (got, names["content-type"], root.tag) == (status, "text/xml; charset=utf-8", "Error")
    assert root.findtext("Code") == code
    assert root.findtext("Message")


@pytest.mark.parametrize("target", [INTERFACES, "/?comp=versions", "/nothing"])
def test_an_unknown_source_is_told_nothing(call: Call, app: ASGIApp, target: str) -> None:
    status, names, _ = call(app, "GET", target, source="10.1.0.99")
    assert (status, names["content-type"]) == (404, "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("source", "own", "others"),
    [("10.1.0.4", b"000D3AF806E1", b"000D3AF806E3"), ("10.1.0.7", b"000D3AF806E3", b"000D3AF806E1")],
)
def test_a_vm_sees_itself_and_no_other(call: Call, app: ASGIApp, source: str, own: bytes, others: bytes) -> None:
    body = call(app, "GET", INTERFACES, source=source)[2]
    assert own in body
    assert others not in body


def test_incarnation_counts_changes_of_the_digest() -> None:
    first = Incarnation("a")
    assert first.number == 1
    assert first.follow("a") is first
    assert first.follow("b") == Incarnation("b", 2)
    assert first.follow("b").follow("a") == Incarnation("a", 3)


def test_incarnation_grows_with_the_vms_intent_only(call: Call, lookup: Lookup, intent: Intent, grown: Intent) -> None:
    now = [intent]
    app = wireserver_app(lookup, lambda: now[0])

    def ask(source: str) -> str | None:
        return incarnation(call(app, "GET", "/machine/?comp=goalstate", source=source, headers=AGENT))

    assert [ask("10.1.0.4"), ask("10.1.0.4"), ask("10.1.0.7")] == ["1", "1", "1"]
    now[0] = grown
    assert [ask("10.1.0.4"), ask("10.1.0.4"), ask("10.1.0.7")] == ["2", "2", "1"]
    now[0] = intent
    assert ask("10.1.0.4") == "3"


def test_incarnation_starts_again_for_a_vm_made_anew(
    call: Call, lookup: Lookup, intent: Intent, grown: Intent, vm2: VirtualMachine
) -> None:
    now = [intent]
    app = wireserver_app(lookup, lambda: now[0])
    call(app, "GET", "/machine?comp=goalstate", headers=AGENT)
    now[0] = replace(intent, machines={vm2.id.key: vm2})
    call(app, "GET", "/machine?comp=goalstate", source="10.1.0.7", headers=AGENT)
    now[0] = grown
    assert incarnation(call(app, "GET", "/machine?comp=goalstate", headers=AGENT)) == "1"


def test_our_client_reads_the_address_that_was_added(call: Call, lookup: Lookup, grown: Intent) -> None:
    body = call(wireserver_app(lookup, lambda: grown), "GET", INTERFACES)[2]
    pool = parse_interfaces(body).primary_nic().secondary_addresses()
    assert [str(address) for address in pool] == ["10.1.0.5", "10.1.0.6", "10.1.0.9", "fd00:1::5"]
