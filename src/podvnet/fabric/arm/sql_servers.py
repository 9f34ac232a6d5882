"""Microsoft.Sql/servers: a server and its firewall; its databases are made by its own clients.

Sources: REST reference "Servers", "Firewall Rules" and "Virtual Network Rules" of Microsoft.Sql; Azure documents "Azure
SQL Database and Azure Synapse IP firewall rules", "Use virtual network service endpoints and rules".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.public_ip_prefixes import refuse_change
from podvnet.fabric.arm.resource_type import check_name, head
from podvnet.fabric.arm.service_addresses import (
    addresses,
    check_service_name,
    choose_number,
    endpoint_of,
    refuse_taken_name,
)
from podvnet.fabric.arm.world import OUTBOUND_POOL, SQL_SERVERS, SUBNETS, Document, World
from podvnet.model.resource_id import ResourceId, Scope, parse
from podvnet.model.service import Service, ServiceKind

NAME = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_SUFFIX = "database.windows.net"
_LOGIN = re.compile(r"(?!pg_)[A-Za-z_]\w{0,62}", re.ASCII)
_RESERVED = frozenset({"admin", "administrator", "sa", "root", "dbmanager", "loginmanager", "guest", "public"})
_VNET_RULES = 128
_FIREWALL_RULES = 256
_ANY_OF_AZURE = IPv4Address("0.0.0.0")


class SqlServers:
    """The type."""

    full_type = SQL_SERVERS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a server; choose its address."""
        check_service_name(resource, NAME, "InvalidServerName")
        refuse_taken_name(resource, "NameAlreadyExists", world)
        document = head(resource, body)
        previous = world.get(resource)
        body.allow("kind")
        body.refuse_unsupported("identity")
        properties = body.fields("properties")
        properties.allow("fullyQualifiedDomainName", "state", "privateEndpointConnections", "provisioningState")
        properties.only("version", "12.0")
        properties.only("restrictOutboundNetworkAccess", "Disabled")
        properties.only("isIPv6Enabled", "Disabled")
        properties.refuse_unsupported(
            "administrators",
            "primaryUserAssignedIdentityId",
            "federatedClientId",
            "keyId",
            "createMode",
            "restorableState",
        )
        login, password = _administrator(resource, properties, previous)
        document["properties"] = {
            "administratorLogin": login,
            "version": "12.0",
            "state": "Ready",
            "fullyQualifiedDomainName": _host(resource.name),
            "minimalTlsVersion": properties.choice("minimalTlsVersion", "1.2", "1.2", "1.3"),
            "publicNetworkAccess": properties.choice("publicNetworkAccess", "Enabled", "Enabled", "Disabled"),
            "restrictOutboundNetworkAccess": "Disabled",
            "virtualNetworkRules": _unlike(
                properties, "virtualNetworkRules", _subnet_rules(resource, properties, world)
            ),
            "firewallRules": _unlike(properties, "firewallRules", _firewall_rules(resource, properties)),
        }
        properties.refuse_unread()
        body.refuse_unread()
        document["kind"] = "v12.0"
        number = previous["_fabric"]["number"] if previous else choose_number(resource, world)
        document["_fabric"] = {
            "number": number,
            "password": password,
            # What "any of Azure" is, here: the public addresses that the fabric gives out.
            "azure": [[str(pool[0]), str(pool[-1])] for pool in (OUTBOUND_POOL, world.public_pool)],
        }
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A server may always go, with all that is in it."""


def intent_of(document: Document) -> Service:
    """The server as the compilers see it."""
    properties, own = document["properties"], document["_fabric"]
    spans: list[tuple[IPv4Address, IPv4Address]] = []
    for rule in properties["firewallRules"]:
        first, last = (IPv4Address(rule["properties"][key]) for key in ("startIpAddress", "endIpAddress"))
        if last == _ANY_OF_AZURE:
            spans += [(IPv4Address(start), IPv4Address(end)) for start, end in own["azure"]]
        else:
            spans.append((first, last))
    return Service(
        id=parse(document["id"]),
        number=own["number"],
        kind=ServiceKind.SQL,
        endpoints=((_host(document["name"]), addresses(SQL_SERVERS, own["number"])[0]),),
        public_access=properties["publicNetworkAccess"] == "Enabled",
        subnets=tuple(
            parse(rule["properties"]["virtualNetworkSubnetId"]) for rule in properties["virtualNetworkRules"]
        ),
        spans=tuple(spans),
        secrets=(properties["administratorLogin"], own["password"]),
    )


def _host(name: str) -> str:
    return f"{name.lower()}.{_SUFFIX}"


def _administrator(resource: ResourceId, properties: Fields, previous: Document | None) -> tuple[str, str]:
    """The administrator's name and password. The password is not shown, so a later write need not have it."""
    kept = previous["properties"]["administratorLogin"] if previous else ""
    login = properties.text("administratorLogin", kept)
    password = properties.text("administratorLoginPassword", previous["_fabric"]["password"] if previous else "")
    if previous:
        refuse_change(resource, "administratorLogin", kept, login)
    if not _LOGIN.fullmatch(login) or login.lower() in _RESERVED:
        what = f"{login!r} is not valid: letters, digits and '_', no name that the server has for itself"
        raise properties.error("InvalidParameterValue", what, "administratorLogin")
    kinds = sum(bool(re.search(kind, password)) for kind in ("[a-z]", "[A-Z]", r"\d", r"[^\w\s]"))
    if not 8 <= len(password) <= 128 or kinds < 3 or login.lower() in password.lower() or not password.isprintable():
        raise properties.error(
            "PasswordNotComplex",
            "Password validation failed. The password does not meet policy requirements because it is not complex"
            " enough.",
            "administratorLoginPassword",
        )
    return login, password


def _subnet_rules(resource: ResourceId, properties: Fields, world: World) -> Iterator[Document]:
    scope = Scope(resource.subscription, resource.resource_group)
    kind, previous = "virtualNetworkRules", world.get(resource)
    known = {rule["id"].lower() for rule in previous["properties"][kind]} if previous else set()
    for rule, each, document in _children(resource, properties, kind):
        each.allow("state")
        named = {"id": each.required("virtualNetworkSubnetId")}
        subnet = Fields(named, f"{kind}.virtualNetworkSubnetId", str(resource)).identity(scope, SUBNETS)
        ignore = each.flag("ignoreMissingVnetServiceEndpoint", default=False)
        each.refuse_unread()
        has = endpoint_of(subnet, ServiceKind.SQL, world)
        if (has is None or not (has or ignore)) and document["id"].lower() not in known:
            lack = "was not found" if has is None else f"has no service endpoint for {ServiceKind.SQL}"
            raise rule.error(
                "VirtualNetworkRuleBadRequest",
                "Azure SQL Server Virtual Network Rule encountered an user error: Cannot proceed with operation because"
                f" subnet {subnet.name} of the virtual network {subnet.top} {lack}.",
            )
        document["properties"] = {"virtualNetworkSubnetId": str(subnet), "ignoreMissingVnetServiceEndpoint": ignore}
        yield document


def _firewall_rules(resource: ResourceId, properties: Fields) -> Iterator[Document]:
    for _, each, document in _children(resource, properties, "firewallRules"):
        first, last = (_address(each, key) for key in ("startIpAddress", "endIpAddress"))
        each.refuse_unread()
        if first > last or (_ANY_OF_AZURE in {first, last} and first != last):
            raise each.error(
                "InvalidFirewallRuleRange",
                f"{first} to {last} is no range of addresses; 0.0.0.0 stands for itself only",
            )
        document["properties"] = {"startIpAddress": str(first), "endIpAddress": str(last)}
        yield document


def _children(resource: ResourceId, properties: Fields, kind: str) -> Iterator[tuple[Fields, Fields, Document]]:
    for each in properties.each(kind):
        each.allow("id", "type", "etag", "location", "kind")
        name = each.required("name")
        check_name(name, str(resource))
        inner = each.fields("properties")
        each.refuse_unread()
        document = {"name": name, "id": f"{resource}/{kind}/{name}", "type": f"{SQL_SERVERS}/{kind}"}
        yield each, inner, document


def _unlike(properties: Fields, kind: str, rules: Iterator[Document]) -> list[Document]:
    found = list(rules)
    limit = _VNET_RULES if kind == "virtualNetworkRules" else _FIREWALL_RULES
    if len(found) > limit:
        raise properties.error("InvalidParameterValue", f"at most {limit}, not {len(found)}", kind)
    names = [each["name"].lower() for each in found]
    if len(set(names)) < len(names):
        raise properties.error("InvalidRequestFormat", "two have one name", kind)
    return found


def _address(rule: Fields, key: str) -> IPv4Address:
    text = rule.required(key)
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise rule.error("InvalidParameterValue", f"{text!r} is no IPv4 address", key) from None
