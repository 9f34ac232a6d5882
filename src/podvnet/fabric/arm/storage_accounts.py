"""Microsoft.Storage/storageAccounts: an account with its blobs, queues and tables, and the firewall before it.

Sources: REST reference "Storage Accounts" of Microsoft.Storage; Azure document "Configure Azure Storage firewalls and
virtual networks": its rules hold where the default action is Deny, address rules are of public addresses and do not
match what comes by a service endpoint.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from ipaddress import IPv4Network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.resource_type import head
from podvnet.fabric.arm.service_addresses import (
    addresses,
    check_service_name,
    choose_number,
    endpoint_of,
    refuse_taken_name,
)
from podvnet.fabric.arm.world import STORAGE_ACCOUNTS, SUBNETS, Document, World
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId, Scope, parse
from podvnet.model.service import Service, ServiceKind

SERVICES = ("blob", "queue", "table")
"""Of an account; each has a host name and an address."""
NAME = "[a-z0-9]{3,24}"
_SUFFIX = "core.windows.net"
_SKUS = (
    "Standard_LRS", "Standard_GRS", "Standard_RAGRS", "Standard_ZRS", "Standard_GZRS", "Standard_RAGZRS",
    "Premium_LRS", "Premium_ZRS",
)  # fmt: skip
_KINDS = ("StorageV2", "Storage", "BlobStorage", "BlockBlobStorage")
_BYPASSES = (
    "AzureServices", "Logging", "Metrics", "Logging, Metrics", "Logging, AzureServices", "Metrics, AzureServices",
    "Logging, Metrics, AzureServices",
)  # fmt: skip
"""What gets past the rules; of those services none is on the fabric."""
_RULES = 400
_KEY_BYTES = 64


class StorageAccounts:
    """The type."""

    full_type = STORAGE_ACCOUNTS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete an account; choose its addresses and keys."""
        check_service_name(resource, NAME, "AccountNameInvalid")
        refuse_taken_name(resource, "StorageAccountAlreadyTaken", world)
        document = head(resource, body)
        previous = world.get(resource)
        sku = body.fields("sku")
        sku.allow("tier")
        name = sku.choice("name", "Standard_LRS", *_SKUS)
        kind = body.choice("kind", "StorageV2", *_KINDS)
        body.refuse_unsupported("identity", "extendedLocation", "zones", "placement")
        properties = body.fields("properties")
        properties.allow(
            "provisioningState", "primaryEndpoints", "primaryLocation", "statusOfPrimary", "privateEndpointConnections",
        )  # fmt: skip
        properties.only("allowSharedKeyAccess", True)
        properties.only("supportsHttpsTrafficOnly", True)
        for flag in ("isHnsEnabled", "isSftpEnabled", "isNfsV3Enabled", "isLocalUserEnabled"):
            properties.only(flag, False)
        for flag in ("defaultToOAuthAuthentication", "allowCrossTenantReplication"):
            properties.only(flag, False)
        properties.only("dnsEndpointType", "Standard")
        properties.only("largeFileSharesState", "Disabled")
        properties.refuse_unsupported(
            "encryption", "customDomain", "keyPolicy", "sasPolicy", "routingPreference", "allowedCopyScope",
            "azureFilesIdentityBasedAuthentication", "immutableStorageWithVersioning",
        )  # fmt: skip
        document["properties"] = {
            "provisioningState": "Succeeded",
            "accessTier": properties.choice("accessTier", "Hot", "Hot", "Cool", "Cold", "Premium"),
            "allowBlobPublicAccess": properties.flag("allowBlobPublicAccess", default=False),
            "minimumTlsVersion": properties.choice("minimumTlsVersion", "TLS1_2", "TLS1_2", "TLS1_3"),
            "supportsHttpsTrafficOnly": True,
            "allowSharedKeyAccess": True,
            "publicNetworkAccess": properties.choice("publicNetworkAccess", "Enabled", "Enabled", "Disabled"),
            "networkAcls": _firewall(resource, properties.fields("networkAcls"), previous, world),
            "primaryEndpoints": {each: f"https://{host}/" for each, host in _hosts(resource.name)},
            "primaryLocation": document["location"],
            "statusOfPrimary": "available",
        }
        for fields in (sku, properties, body):
            fields.refuse_unread()
        document["sku"] = {"name": name, "tier": name.split("_", 1)[0]}
        document["kind"] = kind
        document["_fabric"] = (
            dict(previous["_fabric"])
            if previous
            else {"number": choose_number(resource, world), "keys": [_new_key(), _new_key()]}
        )
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """An account may always go, with all that is in it."""


def keys_of(document: Document) -> list[Document]:
    """The keys of an account, as ``listKeys`` answers."""
    return [
        {"keyName": f"key{place}", "value": key, "permissions": "FULL"}
        for place, key in enumerate(document["_fabric"]["keys"], 1)
    ]


def intent_of(document: Document) -> Service:
    """The account as the compilers see it."""
    properties, rules = document["properties"], document["properties"]["networkAcls"]
    number = document["_fabric"]["number"]
    hosts = [host for _, host in _hosts(document["name"])]
    prefixes = [IPv4Network(rule["value"]) for rule in rules["ipRules"]]
    return Service(
        id=parse(document["id"]),
        number=number,
        kind=ServiceKind.STORAGE,
        endpoints=tuple(zip(hosts, addresses(STORAGE_ACCOUNTS, number), strict=True)),
        open=rules["defaultAction"] == "Allow",
        public_access=properties["publicNetworkAccess"] == "Enabled",
        subnets=tuple(parse(rule["id"]) for rule in rules["virtualNetworkRules"]),
        spans=tuple((prefix[0], prefix[-1]) for prefix in prefixes),
        secrets=tuple(document["_fabric"]["keys"]),
    )


def _hosts(name: str) -> list[tuple[str, str]]:
    return [(each, f"{name.lower()}.{each}.{_SUFFIX}") for each in SERVICES]


def _firewall(resource: ResourceId, rules: Fields, previous: Document | None, world: World) -> Document:
    rules.refuse_unsupported("resourceAccessRules", "ipv6Rules")
    kept = previous["properties"]["networkAcls"]["virtualNetworkRules"] if previous else []
    settled = {
        "bypass": rules.choice("bypass", "AzureServices", "None", *_BYPASSES),
        "defaultAction": rules.choice("defaultAction", "Allow", "Allow", "Deny"),
        "virtualNetworkRules": list(_subnet_rules(resource, rules, {each["id"].lower() for each in kept}, world)),
        "ipRules": list(_address_rules(rules)),
    }
    rules.refuse_unread()
    for key in ("virtualNetworkRules", "ipRules"):
        if len(settled[key]) > _RULES:
            raise rules.error("NetworkAclsValidationFailure", f"at most {_RULES}, not {len(settled[key])}", key)
    return settled


def _subnet_rules(resource: ResourceId, rules: Fields, known: set[str], world: World) -> Iterator[Document]:
    """The rules that name subnets. One that is new must name a subnet with the endpoint."""
    scope = Scope(resource.subscription, resource.resource_group)
    for each in rules.each("virtualNetworkRules"):
        each.allow("state")
        each.only("action", "Allow")
        subnet = each.identity(scope, SUBNETS)
        has = endpoint_of(subnet, ServiceKind.STORAGE, world)
        if not has and subnet.key not in known:
            network, name = subnet.path[0][1], subnet.name
            raise each.error("NetworkAclsValidationFailure", _failure(name, network, there=has is not None), "id")
        yield {"id": str(subnet), "action": "Allow", "state": "Succeeded"}


def _failure(subnet: str, network: str, *, there: bool) -> str:
    kind = ServiceKind.STORAGE
    if not there:
        return f"Validation of network acls failure: SubnetNotFound:Subnet {subnet} of {network} was not found."
    return (
        "Validation of network acls failure: SubnetsHaveNoServiceEndpointsConfigured:Subnets"
        f" {subnet} of virtual network {network} do not have ServiceEndpoints for {kind} resources configured."
        f" Add {kind} to subnet's ServiceEndpoints collection before trying to ACL {kind} resources to these subnets."
    )


def _address_rules(rules: Fields) -> Iterator[Document]:
    for each in rules.each("ipRules"):
        each.only("action", "Allow")
        text = each.required("value")
        each.refuse_unread()
        try:
            prefix = IPv4Network(text)
        except ValueError:
            prefix = None
        if prefix is None or _is_private(prefix) or ("/" in text and prefix.prefixlen > 30):
            raise _bad_address(each, text)
        yield {"value": text, "action": "Allow"}


def _is_private(prefix: IPv4Network) -> bool:
    private = (IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
    return any(prefix.overlaps(each) for each in private)


def _bad_address(rule: Fields, text: str) -> ArmError:
    return rule.error(
        "InvalidValuesForRequestParameters",
        f"Values for request parameters are invalid: networkAcls.ipRule[*].value. {text!r} is no public IPv4 address or"
        " prefix of at most 30 bits.",
        "value",
    )


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
