"""Microsoft.Network/routeTables and their routes.

Source: Azure document "Virtual network traffic routing": next hops that can be written, service tags as prefixes.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import refuse_use
from podvnet.fabric.arm.resource_type import check_name, head, stable_guid
from podvnet.fabric.arm.service_tags import service_tag
from podvnet.fabric.arm.world import ROUTE_TABLES, Document, World
from podvnet.model import limits
from podvnet.model.resource_id import ResourceId, parse
from podvnet.model.routing import NextHop, RouteTable, UserRoute

_NEXT_HOPS = ("VirtualNetworkGateway", "VnetLocal", "Internet", "VirtualAppliance", "None")


class RouteTables:
    """The type."""

    full_type = ROUTE_TABLES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a table with its routes."""
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow("provisioningState", "resourceGuid", "subnets")
        properties.only("disablePeeringRoute", "None")
        propagation = properties.flag("disableBgpRoutePropagation", default=False)
        routes = [_route(resource, each) for each in properties.each("routes")]
        _check_routes(properties, routes)
        properties.refuse_unread()
        body.refuse_unread()
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "disableBgpRoutePropagation": propagation,
            "routes": routes,
        }
        previous = world.get(resource)
        number = previous["_fabric"]["number"] if previous else world.free_number(ROUTE_TABLES)
        document["_fabric"] = {"number": number}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A table goes only when no subnet has it."""
        refuse_use(resource, world, "InUseRouteTableCannotBeDeleted", "Route table")


def intent_of(document: Document) -> RouteTable:
    """The table as the compilers see it."""
    properties = document["properties"]
    return RouteTable(
        id=parse(document["id"]),
        number=document["_fabric"]["number"],
        routes=tuple(_user_route(each["name"], each["properties"]) for each in properties["routes"]),
        propagates_gateway_routes=not properties["disableBgpRoutePropagation"],
    )


def _user_route(name: str, properties: Document) -> UserRoute:
    prefix, hop = properties["addressPrefix"], properties.get("nextHopIpAddress")
    tag = service_tag(prefix) or ""
    return UserRoute(
        name=name,
        next_hop=NextHop(properties["nextHopType"]),
        prefix=None if tag else ip_network(prefix),
        tag=tag,
        appliance=ip_address(hop) if hop else None,
    )


def _route(table: ResourceId, fields: Fields) -> Document:
    name = fields.required("name")
    resource = table.child("routes", name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    properties = fields.fields("properties")
    properties.allow("provisioningState", "hasBgpOverride")
    text = properties.required("addressPrefix")
    prefix = service_tag(text) or str(properties.prefix(text, "addressPrefix"))
    kind = properties.choice("nextHopType", "", *_NEXT_HOPS)
    hop = properties.text("nextHopIpAddress")
    if bool(hop) != (kind == "VirtualAppliance"):
        what = f"cannot be given with {kind}" if hop else "is required with VirtualAppliance"
        raise properties.error("InvalidRequestFormat", what, "nextHopIpAddress")
    if hop:
        _check_hop(properties, prefix, hop)
    properties.refuse_unread()
    fields.refuse_unread()
    settled = {"provisioningState": "Succeeded", "addressPrefix": prefix, "nextHopType": kind}
    settled |= {"nextHopIpAddress": hop} if hop else {}
    return {
        "name": name,
        "id": str(resource),
        "type": f"{ROUTE_TABLES}/routes",
        "properties": settled | {"hasBgpOverride": False},
    }


def _check_hop(properties: Fields, prefix: str, hop: str) -> None:
    try:
        address = ip_address(hop)
    except ValueError:
        raise properties.error("InvalidRequestFormat", f"{hop!r} is no address", "nextHopIpAddress") from None
    if "/" in prefix and (":" in prefix) != (address.version == 6):
        raise properties.error(
            "InvalidRequestFormat", f"{hop} is not of the IP version of {prefix}", "nextHopIpAddress"
        )


def _check_routes(properties: Fields, routes: list[Document]) -> None:
    if len(routes) > limits.ROUTES_PER_TABLE:
        raise properties.error(
            "RouteCountLimitReached",
            f"a table has at most {limits.ROUTES_PER_TABLE} routes, not {len(routes)}",
            "routes",
        )
    names: set[str] = set()
    prefixes: dict[str, str] = {}
    for route in routes:
        if route["name"].lower() in names:
            raise properties.error("InvalidRequestFormat", f"two routes are called {route['name']!r}", "routes")
        names.add(route["name"].lower())
        prefix = route["properties"]["addressPrefix"]
        if prefix in prefixes:
            raise properties.error(
                "RouteConflict",
                f"Route {route['name']} conflicts with route {prefixes[prefix]}. Routes cannot have the same"
                " AddressPrefix",
                "routes",
            )
        prefixes[prefix] = route["name"]
    tags = sum("/" not in prefix for prefix in prefixes)
    if tags > limits.TAG_ROUTES_PER_TABLE:
        raise properties.error(
            "RouteCountLimitReached",
            f"a table has at most {limits.TAG_ROUTES_PER_TABLE} routes to service tags, not {tags}",
            "routes",
        )
