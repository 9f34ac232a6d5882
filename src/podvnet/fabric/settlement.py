"""A whole set of wanted resources against the present ones: what changes, or everything that is wrong with it.

Pure: works on a copy of the world and returns it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from podvnet.fabric.arm.application_security_groups import ApplicationSecurityGroups
from podvnet.fabric.arm.children import spelt_as
from podvnet.fabric.arm.circuit_links import check_links
from podvnet.fabric.arm.connections import Connections
from podvnet.fabric.arm.express_route_circuits import ExpressRouteCircuits, follow_circuits
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.flow_logs import drop_orphans
from podvnet.fabric.arm.gateway_subnet import check_gateway_subnets
from podvnet.fabric.arm.internet_hosts import InternetHosts
from podvnet.fabric.arm.linked import same_region
from podvnet.fabric.arm.load_balancers import LoadBalancers
from podvnet.fabric.arm.local_network_gateways import LocalNetworkGateways
from podvnet.fabric.arm.nat_gateways import NatGateways
from podvnet.fabric.arm.nat_ports import give_nat_ports
from podvnet.fabric.arm.network_interfaces import NetworkInterfaces
from podvnet.fabric.arm.network_security_groups import NetworkSecurityGroups
from podvnet.fabric.arm.network_watchers import NetworkWatchers
from podvnet.fabric.arm.on_premises_sites import OnPremisesSites
from podvnet.fabric.arm.private_dns_links import follow_networks
from podvnet.fabric.arm.private_dns_zone_groups import follow_zone_groups
from podvnet.fabric.arm.private_dns_zones import PrivateDnsZones
from podvnet.fabric.arm.private_endpoint_nics import endpoint_of, follow_endpoints
from podvnet.fabric.arm.private_endpoints import PrivateEndpoints
from podvnet.fabric.arm.public_ip_addresses import PublicIpAddresses
from podvnet.fabric.arm.public_ip_prefixes import PublicIpPrefixes
from podvnet.fabric.arm.resource_type import ResourceType
from podvnet.fabric.arm.route_tables import RouteTables
from podvnet.fabric.arm.service_endpoint_policies import ServiceEndpointPolicies
from podvnet.fabric.arm.service_tag_prefixes import ServiceTags
from podvnet.fabric.arm.sql_servers import SqlServers
from podvnet.fabric.arm.storage_accounts import StorageAccounts
from podvnet.fabric.arm.user_assigned_identities import UserAssignedIdentities
from podvnet.fabric.arm.virtual_machines import VirtualMachines, place_nics
from podvnet.fabric.arm.virtual_network_gateways import VirtualNetworkGateways
from podvnet.fabric.arm.virtual_network_peerings import pair_peerings
from podvnet.fabric.arm.virtual_networks import VirtualNetworks
from podvnet.fabric.arm.world import NETWORK_INTERFACES, VIRTUAL_NETWORKS, Document, World, shown
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.resource_id import ResourceId, Scope, make, parse

TYPES: dict[str, ResourceType] = {
    each.full_type.lower(): each
    for each in (
        InternetHosts(),
        ServiceTags(),
        UserAssignedIdentities(),
        ApplicationSecurityGroups(),
        NetworkSecurityGroups(),
        RouteTables(),
        PublicIpPrefixes(),
        PublicIpAddresses(),
        NatGateways(),
        ServiceEndpointPolicies(),
        OnPremisesSites(),
        ExpressRouteCircuits(),
        VirtualNetworks(),
        VirtualNetworkGateways(),
        LocalNetworkGateways(),
        Connections(),
        PrivateDnsZones(),
        LoadBalancers(),
        NetworkInterfaces(),
        NetworkWatchers(),
        VirtualMachines(),
        StorageAccounts(),
        SqlServers(),
        PrivateEndpoints(),
    )
}
"""In the order in which resources may refer to one another."""
_ORDER = {full_type: position for position, full_type in enumerate(TYPES)}


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One resource that is created, updated or deleted; ``details`` say which members change, for a person to read."""

    action: str
    id: str
    type: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """The world as it will be, and how it differs from the one before."""

    world: World
    changes: tuple[ResourceChange, ...]


def settle_all(wanted: list[Document], world: World, removable: set[str]) -> Settlement:
    """Settle a complete set of resources.

    Args:
        wanted: documents with full ids.
        world: the present resources; not changed.
        removable: keys of present resources that go when they are not wanted.

    Raises:
        ArmErrorsError: every resource that is refused, with its reason.
    """
    draft = world.copy()
    keys = {document["id"].lower() for document in wanted}
    # The NICs of private endpoints go and stay with these.
    gone = sorted(key for key in removable - keys if not _is_endpoints(world.documents[key]))
    for key in gone:
        draft.remove(key)
    errors = _settle_each(wanted, draft)
    if not errors:
        follow_endpoints(draft)
        errors += _still_used(gone, world, draft)
    if not errors:
        try:
            complete(draft)
        except ArmError as error:
            errors.append(error)
    if errors:
        raise ArmErrorsError(tuple(errors))
    return Settlement(draft, changes_between(world, draft))


def settle_removal(keys: set[str], world: World) -> Settlement:
    """Take resources out, all others staying as they are. Those that are not there are no error.

    Raises:
        ArmErrorsError: what others use.
    """
    draft = world.copy()
    gone = sorted(keys & world.documents.keys())
    for key in gone:
        draft.remove(key)
    follow_endpoints(draft)
    errors = tuple(_still_used(gone, world, draft))
    if errors:
        raise ArmErrorsError(errors)
    complete(draft)
    return Settlement(draft, changes_between(world, draft))


def complete(world: World) -> None:
    """Bring up to date what resources say about one another, once all are settled.

    Raises:
        ArmError: the NICs of a VM are in several virtual networks, there is no default outbound address left, an
            inbound NAT rule has too few ports for its pool, a gateway's subnet has what it cannot be with, or circuits
            that meet have a link in common.
    """
    follow_endpoints(world)
    place_nics(world)
    pair_peerings(world)
    check_gateway_subnets(world)
    check_links(follow_circuits(world), world)
    drop_orphans(world)
    give_nat_ports(world)
    follow_zone_groups(world)
    follow_networks(world)


def _is_endpoints(document: Document) -> bool:
    return document["type"] == NETWORK_INTERFACES and bool(endpoint_of(document))


def settle(document: Document, world: World) -> Document:
    """Settle one document.

    Raises:
        ArmError: its type is unknown, or it is refused.
    """
    try:
        resource = parse(document["id"])
    except ValueError as problem:
        raise ArmError("InvalidRequestContent", str(problem)) from None
    found = TYPES.get(resource.type.lower())
    if found is None:
        known = ", ".join(each.full_type for each in TYPES.values())
        raise ArmError(
            "InvalidResourceType", f"{resource.type} is not a type this fabric knows ({known})", target=str(resource)
        )
    # Types may be written in any case; documents carry them as Azure spells them.
    scope = Scope(resource.subscription, resource.resource_group)
    resource = make(scope, found.full_type, *(name for _, name in resource.path))
    previous = world.get(resource)
    if previous:
        # Names keep the case they were created with: others refer to them so.
        resource, document = parse(previous["id"]), spelt_as(previous, document)
    _refuse_move(resource, document.get("location"), previous)
    return found.settle(resource, Fields(document, "", str(resource)), world)


def _refuse_move(resource: ResourceId, location: object, previous: Document | None) -> None:
    """Refuse another region than the one a resource is in. Source: ARM's error ``InvalidResourceLocation``."""
    if previous and isinstance(location, str) and location and not same_region(previous["location"], location):
        raise ArmError(
            "InvalidResourceLocation",
            f"The resource '{resource.name}' already exists in location '{previous['location']}' in resource group"
            f" '{resource.resource_group}'. A resource with the same name cannot be created in location"
            f" '{location}'. Please select a new resource name.",
            status=HTTPStatus.CONFLICT,
            target=str(resource),
        )


def changes_between(before: World, after: World) -> tuple[ResourceChange, ...]:
    """List what differs, deletions first."""
    changes = [
        ResourceChange("delete", document["id"], document["type"])
        for key, document in before.documents.items()
        if key not in after.documents
    ]
    for key, document in after.documents.items():
        old = before.documents.get(key)
        if old is None:
            changes.append(ResourceChange("create", document["id"], document["type"]))
        elif old is not document and old != document:
            details = tuple(_differences(shown(old), shown(document), ""))
            changes.append(ResourceChange("update", document["id"], document["type"], details))
    return tuple(changes)


def _still_used(gone: list[str], world: World, draft: World) -> Iterator[ArmError]:
    """What the rest of the world, as it is to be, does not let go."""
    for key in gone:
        document = world.documents[key]
        try:
            TYPES[document["type"].lower()].check_removal(parse(document["id"]), draft)
        except ArmError as error:
            yield error


def _settle_each(wanted: list[Document], draft: World) -> list[ArmError]:
    """Put every document into a draft, settled; return what is wrong with those that are refused to the last."""
    unpeered = _unpeered(wanted, draft)
    waiting = sorted(unpeered + wanted, key=_rank)
    provisional = {id(document) for document in unpeered}  # the whole of each follows, and says the same error
    while True:
        errors: list[ArmError] = []
        refused: list[Document] = []
        for document in waiting:
            try:
                draft.put(settle(document, draft))
            except ArmError as error:
                if id(document) not in provisional:
                    errors.append(error)
                    refused.append(document)
        # What one is refused, an address or a NIC, another that stands later may have given up meanwhile.
        if not refused or len(refused) == len(waiting):
            return errors
        waiting = refused


def _unpeered(wanted: list[Document], draft: World) -> list[Document]:
    """The new virtual networks of a set without their peerings: two of them may be peered with each other."""
    found = []
    for document in wanted:
        properties = document.get("properties")
        if (
            document.get("type", "").lower() == VIRTUAL_NETWORKS.lower()
            and document["id"].lower() not in draft.documents
            and isinstance(properties, dict)
            and properties.get("virtualNetworkPeerings")
        ):
            rest = {key: value for key, value in properties.items() if key != "virtualNetworkPeerings"}
            found.append(document | {"properties": rest})
    return found


def _rank(document: Document) -> int:
    return _ORDER.get(document["type"].lower(), len(_ORDER))


def _differences(old: Any, new: Any, path: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(old.keys() | new.keys()):
            found += _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return found
    if isinstance(old, list) and isinstance(new, list) and _named(old) and _named(new):
        return _differences({each["name"]: each for each in old}, {each["name"]: each for each in new}, path)
    if old == new:
        return []
    if new is None:
        return [f"- {path}"]
    return [f"+ {path}" if old is None else f"~ {path}: {_short(old)} → {_short(new)}"]


def _named(values: list[Any]) -> bool:
    return all(isinstance(each, dict) and "name" in each for each in values)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
