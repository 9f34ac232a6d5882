"""Documents as a GET shows them: with what others' references to them add, and with their etags.

An etag is a digest of the view, so it changes with the resource and with whoever comes to refer to it or ceases to;
sub-resources share their parent's. Who refers to what is an index of the world: a view looks up, it does not search.
Source: recorded answers of the resource manager.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any, NamedTuple

from podvnet.fabric.arm.backend_pool import member_name
from podvnet.fabric.arm.express_route_circuits import live_authorizations
from podvnet.fabric.arm.internal_names import complete_dns_settings
from podvnet.fabric.arm.private_dns_zones import complete_view
from podvnet.fabric.arm.private_link import complete_links
from podvnet.fabric.arm.service_addresses import live_states
from podvnet.fabric.arm.virtual_network_peerings import live_view
from podvnet.fabric.arm.world import (
    CIRCUITS,
    ENDPOINT_POLICIES,
    LOAD_BALANCERS,
    NAT_GATEWAYS,
    NETWORK_INTERFACES,
    PRIVATE_ZONES,
    PUBLIC_ADDRESSES,
    PUBLIC_PREFIXES,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    SUBNETS,
    VIRTUAL_NETWORKS,
    Document,
    World,
)


class _Back(NamedTuple):
    """A member that shows who refers here: its name, the kinds of referrers, and whether it is a list."""

    member: str
    kinds: tuple[str, ...]
    many: bool = True


_BACK: dict[str, tuple[_Back, ...]] = {
    SECURITY_GROUPS: (
        _Back("networkInterfaces", ("networkInterfaces",)),
        _Back("subnets", ("subnets",)),
    ),
    ROUTE_TABLES: (_Back("subnets", ("subnets",)),),
    NAT_GATEWAYS: (_Back("subnets", ("subnets",)),),
    SUBNETS: (
        _Back("ipConfigurations", ("ipConfigurations", "frontendIPConfigurations")),
        _Back("privateEndpoints", ("privateEndpoints",)),
    ),
    ENDPOINT_POLICIES: (_Back("subnets", ("subnets",)),),
    PUBLIC_ADDRESSES: (
        _Back("ipConfiguration", ("ipConfigurations", "frontendIPConfigurations"), many=False),
        _Back("natGateway", ("natGateways",), many=False),
    ),
    PUBLIC_PREFIXES: (
        _Back("publicIPAddresses", ("publicIPAddresses",)),
        _Back("loadBalancerFrontendIpConfiguration", ("frontendIPConfigurations",), many=False),
        _Back("natGateway", ("natGateways",), many=False),
    ),
    f"{LOAD_BALANCERS}/frontendIPConfigurations": (
        _Back("loadBalancingRules", ("loadBalancingRules",)),
        _Back("inboundNatRules", ("inboundNatRules",)),
        _Back("outboundRules", ("outboundRules",)),
    ),
    f"{LOAD_BALANCERS}/backendAddressPools": (
        _Back("backendIPConfigurations", ("ipConfigurations",)),
        _Back("loadBalancingRules", ("loadBalancingRules",)),
        _Back("inboundNatRules", ("inboundNatRules",)),
        _Back("outboundRules", ("outboundRules",)),
    ),
    f"{LOAD_BALANCERS}/probes": (_Back("loadBalancingRules", ("loadBalancingRules",)),),
    f"{LOAD_BALANCERS}/inboundNatRules": (_Back("backendIPConfiguration", ("ipConfigurations",), many=False),),
}


def view(document: Document, world: World) -> Document:
    """The document as a GET shows it."""
    found, digest = _view(document, world)
    _mark(found, digest)
    return found


def etag(document: Document, world: World) -> str:
    """The etag of a document, which its sub-resources share: ``W/"<guid>"``."""
    return _view(document, world)[1]


def _view(document: Document, world: World) -> tuple[Document, str]:
    """The document without etags, and the etag."""
    # Documents are plain JSON: this copies several times faster than copy.deepcopy.
    found: Document = json.loads(json.dumps({key: value for key, value in document.items() if key != "_fabric"}))
    _complete(found, world)
    if document["type"] == VIRTUAL_NETWORKS:
        live_view(found, world)
    if document["type"] == NETWORK_INTERFACES:
        complete_dns_settings(found, world)
    if document["type"] == PRIVATE_ZONES:
        complete_view(found)
    if document["type"] == CIRCUITS:
        live_authorizations(found, world)
    live_states(found, world)
    complete_links(found, world)
    return found, f'W/"{_digest(found)}"'


def _digest(part: Document) -> uuid.UUID:
    return uuid.UUID(bytes=hashlib.sha256(json.dumps(part, sort_keys=True).encode()).digest()[:16], version=4)


def _complete(part: Document, world: World) -> None:
    """Add who refers to a resource or sub-resource and to those within it."""
    properties = part["properties"]
    key = part["id"].lower()
    for back in _BACK.get(part["type"], ()):
        users = world.users(key, *back.kinds)
        if users:
            properties[back.member] = [{"id": user} for user in users] if back.many else {"id": users[0]}
    if part["type"] == f"{LOAD_BALANCERS}/backendAddressPools":
        for user in properties.get("backendIPConfigurations", []):
            properties["loadBalancerBackendAddresses"].append(_member(part, user["id"]))
        rules = properties.get("outboundRules", [])
        if rules:
            properties["outboundRule"] = dict(rules[0])
    for each in _within(properties):
        _complete(each, world)


def _member(pool: Document, configuration: str) -> Document:
    """What a pool of NICs shows for a member among its addresses."""
    name = member_name(configuration)
    return {
        "name": name,
        "id": f"{pool['id']}/loadBalancerBackendAddresses/{name}",
        "type": f"{pool['type']}/loadBalancerBackendAddresses",
        "properties": {"networkInterfaceIPConfiguration": {"id": configuration}},
    }


def _within(properties: Document) -> list[Document]:
    """The sub-resources among the members: objects of a list that have an id and a type."""
    return [
        each
        for members in properties.values()
        if isinstance(members, list)
        for each in members
        if isinstance(each, dict) and "id" in each and "type" in each
    ]


def _mark(part: Any, digest: str) -> None:
    part["etag"] = digest
    for each in _within(part["properties"]):
        # Record sets and links are resources of their own, with etags in the way of the DNS resource provider.
        _mark(each, str(_digest(each)) if part["type"] == PRIVATE_ZONES else digest)
