"""The resource manager's document of a NIC: what each ip-configuration is a member of, and the document with changes.

An ip-configuration that was made for one pod's address is known by its name (:data:`PLACED`), one of the pool by
:data:`~podvnet.azure.nic_document.OWN`; nothing else is ever written.
Source: Azure REST reference "Network Interfaces - Create Or Update" (a PUT replaces the whole list).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from podvnet.azure.error import bad_document
from podvnet.azure.nic_document import OWN, Document, read_addresses
from podvnet.model.nic_membership import MemberConfiguration, NewPublicAddress, NicMembership, Owner, Placement
from podvnet.model.pod_ask import Members
from podvnet.model.resource_id import ResourceId, parse

PLACED = "podvnet-pod-"
"""How the names of ip-configurations begin that an agent made for one pod's address."""


def read_membership(document: Document, nic: ResourceId) -> NicMembership:
    """Read what the ip-configurations of a NIC are members of.

    Raises:
        SourceError: it is no document of a NIC.
    """
    found: list[MemberConfiguration] = []
    groups: frozenset[ResourceId] = frozenset()
    try:
        for each in document["properties"]["ipConfigurations"]:
            properties = each["properties"]
            if properties.get("privateIPAddressVersion", "IPv4") != "IPv4":
                continue
            members = _members(properties)
            if properties.get("primary"):
                groups = members.groups
            owner = _owner(each["name"], properties)
            found.append(MemberConfiguration(each["name"], read_addresses(properties), owner, members))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise bad_document(str(nic), f"{type(error).__name__}: {error}") from error
    return NicMembership(nic, groups, tuple(found))


def with_members(document: Document, put: Iterable[Placement], remove: Collection[str]) -> Document:
    """The document to write.

    Args:
        document: as the resource manager gave it.
        put: ip-configurations as they should be; one that is not there is made, with its address for good.
        remove: the names of those to leave out.
    """
    properties = document["properties"]
    every = [each for each in properties["ipConfigurations"] if each["name"] not in remove]
    places = {read_addresses(each["properties"]): position for position, each in enumerate(every)}
    primary = next((each for each in every if each["properties"].get("primary")), every[0])["properties"]
    for placement in put:
        position = places.get((placement.address,))
        if position is not None:
            before = every[position]
            every[position] = before | {"properties": _written(before["properties"], placement.members)}
            continue
        fresh = {
            "primary": False,
            "privateIPAddress": str(placement.address),
            "privateIPAllocationMethod": "Static",
            "privateIPAddressVersion": "IPv4",
            "subnet": {"id": primary["subnet"]["id"]},
        }
        name = PLACED + str(placement.address).replace(".", "-")
        every.append({"name": name, "properties": _written(fresh, placement.members)})
    return document | {"properties": properties | {"ipConfigurations": every}}


def public_address(document: Document, nic: ResourceId, wanted: NewPublicAddress) -> Document:
    """The document of a public address to be made beside a NIC. Tags say what it is for, should all else be lost."""
    properties: Document = {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}
    if wanted.idle_timeout is not None:
        properties["idleTimeoutInMinutes"] = wanted.idle_timeout
    return {
        "location": document["location"],
        "sku": {"name": "Standard"},
        "tags": {"podvnet-nic": nic.name, "podvnet-pod": wanted.pod},
        "properties": properties,
    }


def _owner(name: str, properties: Document) -> Owner:
    if properties.get("primary"):
        return Owner.PRIMARY
    if name.startswith(PLACED):
        return Owner.POD
    return Owner.POOL if name.startswith(OWN) else Owner.OTHER


def _members(properties: Document) -> Members:
    public = properties.get("publicIPAddress")
    return Members(
        _read(properties, "applicationSecurityGroups"),
        parse(public["id"]) if public else None,
        _read(properties, "loadBalancerBackendAddressPools"),
        _read(properties, "loadBalancerInboundNatRules"),
    )


def _read(properties: Document, key: str) -> frozenset[ResourceId]:
    return frozenset(parse(each["id"]) for each in properties.get(key) or ())


def _written(properties: Document, members: Members) -> Document:
    """Properties of an ip-configuration with other members; what belongs to nothing has no key."""
    lists = {
        "applicationSecurityGroups": members.groups,
        "loadBalancerBackendAddressPools": members.pools,
        "loadBalancerInboundNatRules": members.nat_rules,
    }
    written = {key: value for key, value in properties.items() if key not in lists and key != "publicIPAddress"}
    for key, ids in lists.items():
        if ids:
            written[key] = [{"id": text} for text in sorted(map(str, ids))]
    if members.public:
        written["publicIPAddress"] = {"id": str(members.public)}
    return written
