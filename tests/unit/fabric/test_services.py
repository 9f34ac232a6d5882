"""Storage accounts and Sql servers as documents and values; the programs behind them; what refuses in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from podvnet.fabric.arm import references
from podvnet.fabric.arm.world import (
    INTERNET_HOSTS,
    SQL_SERVERS,
    STORAGE_ACCOUNTS,
    VIRTUAL_NETWORKS,
    Document,
    World,
    shown,
)
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.services import program
from podvnet.fabric.services.processes import ServiceProcesses
from podvnet.fabric.services.refusal import reason, refuse_storage
from podvnet.fabric.settlement import settle, settle_removal
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.intent import Intent
from podvnet.model.resource_id import Scope, make
from podvnet.model.service import Service

HOME = make(Scope(), VIRTUAL_NETWORKS, "home")
SUBNET = str(HOME.child("subnets", "s"))


def document(full_type: str, name: str, **properties: Any) -> Document:
    identity = str(make(Scope(), full_type, name))
    return {"id": identity, "name": name, "type": full_type, "location": "local", "properties": properties}


def put(world: World, full_type: str, name: str, **properties: Any) -> Document:
    settled = settle(document(full_type, name, **properties), world)
    world.put(settled)
    return settled


def server(world: World, **properties: Any) -> Document:
    own = {"administratorLogin": "boss", "administratorLoginPassword": "Correct-horse-7"}
    return put(world, SQL_SERVERS, "srv", **own | properties)


@pytest.fixture
def world() -> World:
    made = World()
    services = [{"service": "Microsoft.Storage"}, {"service": "Microsoft.Sql"}]
    subnet = {"name": "s", "properties": {"addressPrefix": "10.0.0.0/24", "serviceEndpoints": services}}
    put(made, VIRTUAL_NETWORKS, "home", addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=[subnet])
    return made


def service(world: World) -> Service:
    (found,) = IntentReader().read(world).services.values()
    return found


def test_an_account_has_addresses_of_its_tag_and_keys_that_stay(world: World) -> None:
    first = put(
        world, STORAGE_ACCOUNTS, "acct", networkAcls={"defaultAction": "Deny", "ipRules": [{"value": "1.2.3.0/30"}]}
    )
    found = service(world)
    assert [host for host, _ in found.endpoints] == [
        f"acct.{part}.core.windows.net" for part in ("blob", "queue", "table")
    ]
    assert [str(address) for address in found.addresses] == ["20.60.0.5", "20.60.0.6", "20.60.0.7"]
    assert found.spans == ((IPv4Address("1.2.3.0"), IPv4Address("1.2.3.3")),)
    assert not found.open
    again = put(world, STORAGE_ACCOUNTS, "acct")
    assert again["_fabric"] == first["_fabric"]
    assert service(world).open
    assert not set(found.secrets) & set(str(shown(again)).split("'"))


def test_nobody_else_gets_an_address_of_a_service_nor_a_service_that_of_a_host(world: World) -> None:
    put(world, INTERNET_HOSTS, "first", address="20.60.0.6")
    put(world, STORAGE_ACCOUNTS, "acct")
    assert [str(address) for address in service(world).addresses] == ["20.60.0.9", "20.60.0.10", "20.60.0.11"]
    with pytest.raises(ArmError, match="address of an Azure service"):
        put(world, INTERNET_HOSTS, "second", address="20.60.0.9")


def test_a_server_keeps_its_password_and_what_any_of_azure_is(world: World) -> None:
    rule = {"name": "azure", "properties": {"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"}}
    server(world, firewallRules=[rule])
    server(world, administratorLoginPassword=None)
    assert service(world).secrets == ("boss", "Correct-horse-7")
    server(world, firewallRules=[rule])
    assert (IPv4Address("203.0.113.0"), IPv4Address("203.0.113.255")) in service(world).spans
    with pytest.raises(ArmError, match="administratorLogin"):
        server(world, administratorLogin="other")


@pytest.mark.parametrize(("first", "last"), [("1.1.1.2", "1.1.1.1"), ("0.0.0.0", "1.1.1.1"), ("here", "there")])
def test_ranges_that_are_none(first: str, last: str, world: World) -> None:
    with pytest.raises(ArmError):
        server(world, firewallRules=[{"name": "r", "properties": {"startIpAddress": first, "endIpAddress": last}}])


def test_rules_show_how_it_is_with_their_subnets_now(world: World) -> None:
    account = put(world, STORAGE_ACCOUNTS, "acct", networkAcls={"virtualNetworkRules": [{"id": SUBNET}]})
    own = server(world, virtualNetworkRules=[{"name": "r", "properties": {"virtualNetworkSubnetId": SUBNET}}])

    def states(there: World) -> tuple[str, str]:
        rule = references.view(account, there)["properties"]["networkAcls"]["virtualNetworkRules"][0]
        return rule["state"], references.view(own, there)["properties"]["virtualNetworkRules"][0]["properties"]["state"]

    assert states(world) == ("Succeeded", "Ready")
    # Rules keep nobody from deleting what they name.
    assert states(settle_removal({HOME.key}, world).world) == ("NetworkSourceDeleted", "Failed")
    put(world, VIRTUAL_NETWORKS, "home", addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=[
        {"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}])  # fmt: skip
    assert states(world) == ("Succeeded", "Initializing")
    # What is there already is no reason to refuse a later write.
    put(world, STORAGE_ACCOUNTS, "acct", networkAcls={"virtualNetworkRules": [{"id": SUBNET}], "defaultAction": "Deny"})


@pytest.mark.parametrize("name", ["Upper", "with-dash", "ab", "a" * 25])
def test_names_that_no_account_has(name: str, world: World) -> None:
    with pytest.raises(ArmError) as refused:
        put(world, STORAGE_ACCOUNTS, name)
    assert refused.value.code == "AccountNameInvalid"


def test_a_missing_program_is_named_with_the_package_that_has_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(program.AZURITE, raising=False)
    monkeypatch.delenv(program.POSTGRES, raising=False)
    monkeypatch.setattr(program, "_DEBIAN", tmp_path)
    put(world, STORAGE_ACCOUNTS, "acct")
    server(world)
    with pytest.raises(ArmErrorsError) as refused:
        ServiceProcesses(tmp_path).check(IntentReader().read(world))
    texts = sorted(error.message for error in refused.value.errors)
    assert "Install the Debian package postgresql, or set PODVNET_POSTGRES" in texts[0]
    assert "Install it with `npm install -g azurite`, or set PODVNET_AZURITE" in texts[1]
    ServiceProcesses(tmp_path).check(Intent())


def test_a_program_is_found_by_its_setting_and_in_debians_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("9", "15"):
        found = tmp_path / version / "bin" / "postgres"
        found.parent.mkdir(parents=True)
        found.touch(mode=0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(program, "_DEBIAN", tmp_path)
    assert program.postgres() == tmp_path / "15" / "bin"
    monkeypatch.setenv(program.POSTGRES, str(tmp_path / "9" / "bin" / "postgres"))
    assert program.postgres() == tmp_path / "9" / "bin"
    monkeypatch.setenv(program.AZURITE, str(tmp_path / "nothing"))
    with pytest.raises(program.MissingProgramError, match="which is no executable"):
        program.azurite()


def test_what_storage_says_to_those_it_does_not_take(call: Callable[..., tuple[int, dict[str, str], bytes]]) -> None:
    app: ASGIApp = refuse_storage
    status, headers, body = call(app, "GET", "/c/b", headers={"Host": "acct.blob.core.windows.net"})
    assert (status, headers["x-ms-error-code"], headers["content-type"]) == (
        403,
        "AuthorizationFailure",
        "application/xml",
    )
    assert (
        b"<Code>AuthorizationFailure</Code><Message>This request is not authorized to perform this operation." in body
    )
    _, headers, body = call(app, "GET", "/Tables", headers={"Host": "acct.table.core.windows.net"})
    assert headers["content-type"].startswith("application/json")
    assert b'"odata.error": {"code": "AuthorizationFailure"' in body


def test_what_a_server_says_to_those_it_does_not_take(world: World) -> None:
    server(world)
    found = service(world)
    assert reason(found, "1.2.3.4", by_endpoint=True).startswith(
        "40914: Cannot open server 'srv' requested by the login."
    )
    assert "40615" in reason(found, "1.2.3.4", by_endpoint=False)
    assert "'1.2.3.4'" in reason(found, "1.2.3.4", by_endpoint=False)
    assert reason(replace(found, public_access=False), "1.2.3.4", by_endpoint=True).startswith("47073")
