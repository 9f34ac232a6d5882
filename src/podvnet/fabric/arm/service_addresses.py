"""Public addresses of Azure's services, out of the prefixes of their tags, and rules that name subnets.

Source: Azure documents "Virtual network service tags" and "Virtual network service endpoints".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from ipaddress import IPv4Address, IPv4Network, ip_address

from podvnet.fabric.arm.world import INTERNET_HOSTS, SQL_SERVERS, STORAGE_ACCOUNTS, SUBNETS, Document, World
from podvnet.model.address import Address
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId, parse
from podvnet.model.service import ServiceKind
from podvnet.model.service_tag import endpoint_prefixes

_SIZE = 4
"""Addresses that are set aside for a service: the first is nobody's, then one for each of its names."""
_KINDS = {STORAGE_ACCOUNTS: ServiceKind.STORAGE, SQL_SERVERS: ServiceKind.SQL}


def choose_number(resource: ResourceId, world: World) -> int:
    """The smallest positive number of a service that no other of its type has and whose addresses nobody has.

    Raises:
        ArmError: there are no addresses left.
    """
    taken = {each["_fabric"]["number"] for each in world.of_type(resource.type)}
    hosts = {ip_address(each["properties"]["address"]) for each in world.of_type(INTERNET_HOSTS)}
    pool = _pool(resource.type)
    for number in range(1, pool.num_addresses // _SIZE):
        if number not in taken and not hosts.intersection(_run(pool, number)):
            return number
    raise ArmError(
        "SubscriptionQuotaExceeded", f"the addresses of {resource.type} ({pool}) are given out", target=str(resource)
    )


def addresses(full_type: str, number: int) -> list[IPv4Address]:
    """The addresses of the service of a type that has this number."""
    return _run(_pool(full_type), number)


def is_given_out(address: Address, world: World) -> bool:
    """Tell whether a service has an address."""
    return any(
        address in addresses(full_type, each["_fabric"]["number"])
        for full_type in _KINDS
        if address in _pool(full_type)
        for each in world.of_type(full_type)
    )


def refuse_taken_name(resource: ResourceId, code: str, world: World) -> None:
    """Refuse a name that a service of another group has: it is the first label of a public host name.

    Raises:
        ArmError: ``code``, with status 409.
    """
    if not is_free_name(resource.type, resource.name, world, but=resource):
        raise ArmError(
            code, f"The name {resource.name} is already taken.", status=HTTPStatus.CONFLICT, target=str(resource)
        )


def is_free_name(full_type: str, name: str, world: World, but: ResourceId | None = None) -> bool:
    """Tell whether no service of a type, ``but`` one, has a name."""
    return not any(
        each["name"].lower() == name.lower() and (but is None or each["id"].lower() != but.key)
        for each in world.of_type(full_type)
    )


def check_service_name(resource: ResourceId, pattern: str, code: str) -> None:
    """Refuse a name that cannot be the first label of the service's host names.

    Raises:
        ArmError: ``code``.
    """
    if not re.fullmatch(pattern, resource.name):
        raise ArmError(code, f"{resource.name} is not a valid name; it must match {pattern}.", target=str(resource))


def endpoint_of(subnet: ResourceId, kind: ServiceKind, world: World) -> bool | None:
    """Whether a subnet has the endpoint of a service; None when there is no such subnet."""
    found = world.find(subnet) if subnet.type.lower() == SUBNETS.lower() else None
    if found is None:
        return None
    return any(each["service"] == kind for each in found["properties"].get("serviceEndpoints", []))


def live_states(view: Document, world: World) -> None:
    """Say of each rule that names a subnet how it is with that subnet now."""
    properties = view["properties"]
    if view["type"] == STORAGE_ACCOUNTS:
        for rule in properties["networkAcls"]["virtualNetworkRules"]:
            there = endpoint_of(parse(rule["id"]), ServiceKind.STORAGE, world) is not None
            rule["state"] = "Succeeded" if there else "NetworkSourceDeleted"
    elif view["type"] == SQL_SERVERS:
        for rule in properties["virtualNetworkRules"]:
            subnet = parse(rule["properties"]["virtualNetworkSubnetId"])
            has = endpoint_of(subnet, ServiceKind.SQL, world)
            rule["properties"]["state"] = "Ready" if has else "Failed" if has is None else "Initializing"


def _pool(full_type: str) -> IPv4Network:
    """The largest of the prefixes of the service's tag."""
    found = [each for each in endpoint_prefixes(_KINDS[full_type]) if isinstance(each, IPv4Network)]
    return max(found, key=lambda prefix: prefix.num_addresses)


def _run(pool: IPv4Network, number: int) -> list[IPv4Address]:
    return list(_addresses(pool, number))


def _addresses(pool: IPv4Network, number: int) -> Iterator[IPv4Address]:
    first = int(pool.network_address) + number * _SIZE
    return (IPv4Address(first + offset) for offset in range(1, _SIZE))
