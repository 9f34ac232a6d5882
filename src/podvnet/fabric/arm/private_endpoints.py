"""Microsoft.Network/privateEndpoints: an address of a subnet that stands for one service.

An endpoint has a NIC of its own (:mod:`podvnet.fabric.arm.private_endpoint_nics`) and a connection that is approved at
once. What it is by cannot be changed: subnet, service and part of the service.
Sources: Azure documents "What is a private endpoint?", "Manage Azure private endpoints" (the NIC's name, static
addresses); Azure REST reference "Private Endpoints"; recorded refusals of the resource manager.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker
from podvnet.fabric.arm.private_address import Allotment, Wish, read_wish
from podvnet.fabric.arm.private_dns_zone_groups import KIND as ZONE_GROUPS
from podvnet.fabric.arm.private_dns_zone_groups import Told, settle_zone_groups
from podvnet.fabric.arm.public_ip_prefixes import refuse_change
from podvnet.fabric.arm.resource_type import check_name, head, stable_guid
from podvnet.fabric.arm.world import (
    NETWORK_INTERFACES,
    PRIVATE_ENDPOINTS,
    SQL_SERVERS,
    STORAGE_ACCOUNTS,
    SUBNETS,
    Document,
    World,
)
from podvnet.model import limits
from podvnet.model.private_endpoint import PrivateEndpoint
from podvnet.model.resource_id import ResourceId, Scope, make, parse

CONNECTIONS = "privateLinkServiceConnections"
_PARTS = {
    STORAGE_ACCOUNTS: {part: f"{part}.core.windows.net" for part in ("blob", "queue", "table")},
    SQL_SERVERS: {"sqlServer": "database.windows.net"},
}
"""By type of service, its parts that an endpoint can lead to, and what their host names end with."""
_OTHER_PARTS = (
    "file",
    "web",
    "dfs",
    "blob_secondary",
    "queue_secondary",
    "table_secondary",
    "web_secondary",
    "dfs_secondary",
)
"""Parts of an account that have no stand-in."""
APPROVED = {"status": "Approved", "description": "Auto-Approved", "actionsRequired": "None"}


class _Link(NamedTuple):
    """A connection as asked for: the service, its part, the part's host name."""

    name: str
    service: ResourceId
    part: str
    host: str
    message: str


class PrivateEndpoints:
    """The type."""

    full_type = PRIVATE_ENDPOINTS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete an endpoint; choose its address. Its NIC is made once it is in the world."""
        document = head(resource, body)
        previous = world.get(resource)
        body.refuse_unsupported("extendedLocation")
        properties = body.fields("properties")
        properties.allow("provisioningState", "resourceGuid", "networkInterfaces", "customDnsConfigs")
        properties.refuse_unsupported("manualPrivateLinkServiceConnections", "applicationSecurityGroups", "billingSku")
        properties.only("ipVersionType", "IPv4")
        subnet = Linker(resource, document["location"], world).required(properties, "subnet", SUBNETS)
        link = _read_link(resource, properties, previous, world)
        nic = _nic(resource, properties.text("customNetworkInterfaceName"))
        wish, shown = _read_address(resource, properties, link)
        _check_place(resource, properties, subnet, world)
        if previous:
            _check_same(resource, previous, subnet, nic, link)
        _check_nic(resource, properties, nic, world)
        kept = {wish.name.lower(): ip_address(previous["_fabric"]["address"])} if previous else {}
        address = str(Allotment(subnet, nic.key, world).give([wish], kept)[wish.name])
        groups = settle_zone_groups(Told(resource, link.host, address), properties, world)
        properties.refuse_unread()
        body.refuse_unread()
        configuration = f"privateEndpointIpConfig.{stable_guid(resource, 'ip configuration')}"
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            CONNECTIONS: [_connection(resource, link)],
            "manualPrivateLinkServiceConnections": [],
            "customNetworkInterfaceName": properties.text("customNetworkInterfaceName"),
            "subnet": {"id": subnet["id"]},
            "ipConfigurations": shown,
            "networkInterfaces": [{"id": str(nic)}],
            # A zone group says it already.
            "customDnsConfigs": [] if groups else [{"fqdn": link.host, "ipAddresses": [address]}],
            ZONE_GROUPS: groups,
        }
        document["_fabric"] = {
            "address": address,
            "static": wish.static is not None,
            "host": link.host,
            "holder": str(nic.child("ipConfigurations", configuration)),
        }
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """An endpoint may always go, and its NIC with it."""


def intent_of(document: Document) -> PrivateEndpoint:
    """The endpoint as the compilers see it."""
    properties, own = document["properties"], document["_fabric"]
    return PrivateEndpoint(
        id=parse(document["id"]),
        subnet=parse(properties["subnet"]["id"]),
        address=ip_address(own["address"]),
        service=parse(properties[CONNECTIONS][0]["properties"]["privateLinkServiceId"]),
        host=own["host"],
    )


def _nic(endpoint: ResourceId, name: str) -> ResourceId:
    if name:
        check_name(name, str(endpoint))
    scope = Scope(endpoint.subscription, endpoint.resource_group)
    return make(scope, NETWORK_INTERFACES, name or f"{endpoint.name}.nic.{stable_guid(endpoint, 'NIC')}")


def _read_link(endpoint: ResourceId, properties: Fields, previous: Document | None, world: World) -> _Link:
    found = list(properties.each(CONNECTIONS))
    if len(found) != 1:
        raise properties.error("InvalidRequestFormat", f"exactly one is required, not {len(found)}", CONNECTIONS)
    (fields,) = found
    name = fields.required("name")
    check_name(name, str(endpoint))
    fields.allow("id", "type", "etag")
    inner = fields.fields("properties")
    inner.allow("provisioningState", "privateLinkServiceConnectionState")
    inner.refuse_unsupported("approvalReference")
    message = inner.text("requestMessage")
    service = _read_service(endpoint, inner)
    full_type = next(each for each in _PARTS if each.lower() == service.type.lower())
    part = _read_part(str(endpoint.child(CONNECTIONS, name)), inner, service, _PARTS[full_type])
    inner.refuse_unread()
    fields.refuse_unread()
    there = world.get(service)
    if there is None and not (previous and _service_of(previous) == service):
        raise inner.error(
            "InvalidResourceReference",
            f"Resource {service} referenced by resource {endpoint} was not found. Please make sure that the referenced"
            " resource exists",
            "privateLinkServiceId",
        )
    service = parse(there["id"]) if there else service
    return _Link(name, service, part, f"{service.name.lower()}.{_PARTS[full_type][part]}", message)


def _read_service(endpoint: ResourceId, fields: Fields) -> ResourceId:
    text = fields.required("privateLinkServiceId")
    scope = Scope(endpoint.subscription, endpoint.resource_group)
    for full_type in _PARTS:
        try:
            found = parse(text, scope, full_type.split("/", 1)[0])
        except ValueError as problem:
            raise fields.error("LinkedInvalidPropertyId", str(problem), "privateLinkServiceId") from None
        if found.type.lower() == full_type.lower():
            return found
    known = " and ".join(_PARTS)
    what = f"this fabric has private endpoints of {known}, and {text} is neither"
    raise fields.error("UnsupportedProperty", what, "privateLinkServiceId")


def _read_part(connection: str, fields: Fields, service: ResourceId, parts: dict[str, str]) -> str:
    wanted = fields.texts("groupIds")
    if len(wanted) > 1:
        raise fields.error(
            "OnlyOneGroupIdPermitted",
            f"Private link service connection {connection} has the following group Ids: {', '.join(wanted)}. Only one"
            f" group Id is permitted when connecting to a first-party resource ({service}).",
            "groupIds",
        )
    found = next((each for each in parts if wanted and each.lower() == wanted[0].lower()), None)
    if found is None:
        known = wanted and len(parts) > 1 and wanted[0].lower() in _OTHER_PARTS
        code = "UnsupportedProperty" if known else "InvalidRequestFormat"
        raise fields.error(code, f"must name one of {', '.join(parts)}, not {wanted}", "groupIds")
    return found


def _read_address(endpoint: ResourceId, properties: Fields, link: _Link) -> tuple[Wish, list[Document]]:
    """The address that is wanted, and how it is shown; a dynamic one is not."""
    found = list(properties.each("ipConfigurations"))
    if len(found) > 1:
        raise properties.error(
            "InvalidRequestFormat", f"at most one, for {link.part}, not {len(found)}", "ipConfigurations"
        )
    for each in found:
        name = each.required("name")
        each.allow("id", "type", "etag")
        inner = each.fields("properties")
        for key in ("groupId", "memberName"):
            inner.choice(key, link.part, link.part)
        text = inner.required("privateIPAddress")
        inner.refuse_unread()
        each.refuse_unread()
        own = {"privateIPAllocationMethod": "Static", "privateIPAddress": text}
        place = Fields(own, "properties.ipConfigurations[0].properties", str(endpoint))
        wish = read_wish(name, place, blocks=False)
        members = {"groupId": link.part, "memberName": link.part, "privateIPAddress": str(wish.static)}
        return wish, [{"name": name, "properties": members}]
    return read_wish("dynamic", Fields({}, "properties", str(endpoint)), blocks=False), []


def _check_place(endpoint: ResourceId, properties: Fields, subnet: Document, world: World) -> None:
    if subnet["properties"]["delegations"]:
        raise properties.error(
            "ResourceNotPermittedOnDelegatedSubnet",
            f"Subnet {subnet['name']} is delegated and takes no private endpoints",
            "subnet",
        )
    network = f"{parse(subnet['id']).parent.key}/"
    others = sum(
        each["properties"]["subnet"]["id"].lower().startswith(network) and each["id"].lower() != endpoint.key
        for each in world.of_type(PRIVATE_ENDPOINTS)
    )
    most = limits.PRIVATE_ENDPOINTS_PER_VIRTUAL_NETWORK
    if others >= most:
        raise properties.error("QuotaExceeded", f"a virtual network holds at most {most} private endpoints", "subnet")


def _check_same(endpoint: ResourceId, previous: Document, subnet: Document, nic: ResourceId, link: _Link) -> None:
    before = previous["properties"]
    part = before[CONNECTIONS][0]["properties"]["groupIds"]
    refuse_change(endpoint, "subnet", before["subnet"]["id"], subnet["id"])
    refuse_change(endpoint, "customNetworkInterfaceName", parse(before["networkInterfaces"][0]["id"]), nic)
    refuse_change(endpoint, "privateLinkServiceId", _service_of(previous), link.service)
    refuse_change(endpoint, "groupIds", part, [link.part])


def _check_nic(endpoint: ResourceId, properties: Fields, nic: ResourceId, world: World) -> None:
    """Refuse the name of a NIC that is somebody else's."""
    there = world.get(nic)
    owner = there["properties"].get("privateEndpoint", {}).get("id", "") if there else str(endpoint)
    if owner.lower() != endpoint.key:
        what = f"there is a NIC {nic} already that is not the endpoint's"
        raise properties.error("InvalidRequestFormat", what, "customNetworkInterfaceName")


def _service_of(document: Document) -> ResourceId:
    return parse(document["properties"][CONNECTIONS][0]["properties"]["privateLinkServiceId"])


def _connection(endpoint: ResourceId, link: _Link) -> Document:
    resource = endpoint.child(CONNECTIONS, link.name)
    properties: Document = {
        "provisioningState": "Succeeded",
        "privateLinkServiceId": str(link.service),
        "groupIds": [link.part],
        "privateLinkServiceConnectionState": APPROVED,
    }
    if link.message:
        properties["requestMessage"] = link.message
    return {"name": link.name, "id": str(resource), "type": resource.type, "properties": properties}
