"""The virtual networks that private DNS zones are linked to, and the VMs that are registered by that.

Only the primary address of a VM's primary NIC is registered. A link whose virtual network is deleted goes with it.
Source: Azure documents "What is a virtual network link?", "What is the auto registration feature in Azure DNS private
zones?" and "Azure Private DNS FAQ".
"""

from __future__ import annotations

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.private_dns_records import LABEL, is_registered, registered_set
from podvnet.fabric.arm.resource_type import check_name
from podvnet.fabric.arm.virtual_machines import host_name
from podvnet.fabric.arm.world import PRIVATE_ZONES, VIRTUAL_MACHINES, VIRTUAL_NETWORKS, Document, World
from podvnet.model import limits
from podvnet.model.arm_error import ArmError
from podvnet.model.dns import ZoneLink
from podvnet.model.resource_id import ResourceId, Scope, parse

KIND = "virtualNetworkLinks"
GLOBAL = "global"
REGISTERED_TTL = 10
"""Seconds that the records of registered VMs may be kept."""


def settle_links(zone: ResourceId, properties: Fields, world: World) -> list[Document]:
    """Check and complete the links of a zone.

    Raises:
        ArmError: one is refused.
    """
    links = [_settled(zone, each, world) for each in properties.each(KIND)]
    if len(links) > limits.LINKS_PER_ZONE:
        raise properties.error("BadRequest", f"a zone has at most {limits.LINKS_PER_ZONE} links", KIND)
    registering = sum(each["properties"]["registrationEnabled"] for each in links)
    if registering > limits.REGISTRATION_LINKS_PER_ZONE:
        what = f"at most {limits.REGISTRATION_LINKS_PER_ZONE} links of a zone may have registrationEnabled"
        raise properties.error("BadRequest", what, KIND)
    names: set[str] = set()
    networks: set[str] = set()
    for each in links:
        network = _network(each)
        if each["name"].lower() in names:
            raise properties.error("BadRequest", f"two links are called {each['name']!r}", KIND)
        if network in networks:
            raise _overlap(each, zone.name, zone.name)
        names.add(each["name"].lower())
        networks.add(network)
        _check_other_zones(zone, each, world)
    return links


def link_of(document: Document) -> ZoneLink:
    """A link as resolvers see it."""
    properties = document["properties"]
    return ZoneLink(
        parse(properties["virtualNetwork"]["id"]),
        properties["registrationEnabled"],
        properties["resolutionPolicy"] == "NxDomainRedirect",
    )


def follow_networks(world: World) -> None:
    """Take out links whose virtual networks are gone, and register the VMs that there are."""
    for zone in list(world.of_type(PRIVATE_ZONES)):
        before = zone["properties"]
        links = [each for each in before[KIND] if _network(each) in world.documents]
        networks = {_network(each) for each in links if each["properties"]["registrationEnabled"]}
        resource = parse(zone["id"])
        kept = [each for each in before["A"] if not is_registered(each)]
        taken = {each["name"].lower() for each in (*kept, *before["CNAME"])}
        hosts = {host: found for host, found in _hosts(networks, world).items() if host.lower() not in taken}
        room = limits.RECORD_SETS_PER_ZONE - sum(len(before[kind]) for kind in before if kind.isupper())
        room += len(before["A"]) - len(kept)
        registered = [registered_set(resource, host, hosts[host], REGISTERED_TTL) for host in sorted(hosts)[:room]]
        after = before | {KIND: links, "A": [*kept, *registered]}
        if after != before:
            world.put(zone | {"properties": after})


def _hosts(networks: set[str], world: World) -> dict[str, list[str]]:
    """The VMs of virtual networks: host name to primary addresses."""
    found: dict[str, list[str]] = {}
    for machine in world.of_type(VIRTUAL_MACHINES) if networks else ():
        nic = world.documents[machine["properties"]["networkProfile"]["networkInterfaces"][0]["id"].lower()]
        configurations = nic["properties"]["ipConfigurations"]
        first = next(each["properties"] for each in configurations if each["properties"]["primary"])
        host = host_name(machine)
        if first["subnet"]["id"].lower().rsplit("/", 2)[0] in networks and LABEL.fullmatch(host):
            found.setdefault(host.lower(), []).append(first["privateIPAddress"])
    return found


def _settled(zone: ResourceId, fields: Fields, world: World) -> Document:
    name = fields.required("name")
    resource = zone.child(KIND, name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    location = fields.text("location", GLOBAL)
    if location.lower() != GLOBAL:
        raise fields.error("LocationNotAvailableForResourceType", f"must be {GLOBAL!r}, not {location!r}", "location")
    tags = {str(key): str(value) for key, value in fields.mapping("tags").items()}
    properties = fields.fields("properties")
    properties.allow("provisioningState", "virtualNetworkLinkState")
    network = properties.reference("virtualNetwork", Scope(zone.subscription, zone.resource_group), VIRTUAL_NETWORKS)
    found = world.get(network)
    if found is None:
        what = f"The virtual network '{network}' does not exist. Create it before it is linked."
        raise properties.error("BadRequest", what, "virtualNetwork")
    previous = world.find(resource)
    if previous and _network(previous) != network.key:
        what = f"the virtual network of a link cannot be changed from {previous['properties']['virtualNetwork']['id']}"
        raise properties.error("BadRequest", what, "virtualNetwork")
    settled: Document = {
        "provisioningState": "Succeeded",
        "virtualNetwork": {"id": found["id"]},
        "registrationEnabled": properties.flag("registrationEnabled", default=False),
        "virtualNetworkLinkState": "Completed",
        "resolutionPolicy": properties.choice("resolutionPolicy", "Default", "Default", "NxDomainRedirect"),
    }
    properties.refuse_unread()
    fields.refuse_unread()
    document: Document = {"id": str(resource), "name": name, "type": f"{PRIVATE_ZONES}/{KIND}", "location": GLOBAL}
    return document | ({"tags": tags} if tags else {}) | {"properties": settled}


def _check_other_zones(zone: ResourceId, link: Document, world: World) -> None:
    """A virtual network registers in one zone, and sees one zone of a name."""
    for user in world.users(_network(link), KIND):
        other = parse(user)
        found = world.find(other)
        if other.top == zone or found is None:
            continue
        if other.top.name.lower() == zone.name.lower():
            raise _overlap(link, zone.name, str(other.top))
        if link["properties"]["registrationEnabled"] and found["properties"]["registrationEnabled"]:
            raise ArmError(
                "BadRequest",
                "A virtual network cannot be linked to multiple zones with auto-registration enabled. Virtual network"
                f" {link['properties']['virtualNetwork']['id']} is already linked to {other.top} with"
                " auto-registration enabled.",
                target=link["id"],
            )


def _overlap(link: Document, name: str, other: str) -> ArmError:
    return ArmError(
        "BadRequest",
        "A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to link virtual"
        f" network {link['properties']['virtualNetwork']['id']} with '{name}', and it is linked to '{other}' already.",
        target=link["id"],
    )


def _network(link: Document) -> str:
    key: str = link["properties"]["virtualNetwork"]["id"].lower()
    return key
