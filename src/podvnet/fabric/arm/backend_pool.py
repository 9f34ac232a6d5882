"""A backend pool of a load balancer.

A pool of NICs is empty here: membership stands on the NICs' ip-configurations, and the pool only shows it. A pool of
addresses lists them, with the virtual network they are in; they need not exist yet.
Source: Azure document "Backend pool management".
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker
from podvnet.fabric.arm.resource_type import check_name
from podvnet.fabric.arm.world import LOAD_BALANCERS, SUBNETS, VIRTUAL_NETWORKS, Document, World
from podvnet.model import limits
from podvnet.model.resource_id import ResourceId, parse


def settle_pool(balancer: ResourceId, fields: Fields, linker: Linker, world: World) -> Document:
    """Check and complete a pool.

    Raises:
        ArmError: it is refused.
    """
    name = fields.required("name")
    resource = balancer.child("backendAddressPools", name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    inner = fields.fields("properties")
    inner.allow(
        "provisioningState", "backendIPConfigurations", "loadBalancingRules", "outboundRule", "outboundRules",
        "inboundNatRules", "location",
    )  # fmt: skip
    inner.refuse_unsupported("tunnelInterfaces", "syncMode")
    settled: Document = {"provisioningState": "Succeeded"}
    drain = inner.number("drainPeriodInSeconds", 0, 0, 4000)
    if drain:
        settled["drainPeriodInSeconds"] = drain
    network = linker.one(inner, "virtualNetwork", VIRTUAL_NETWORKS)
    addresses, networks = [], set() if network is None else {network["id"]}
    shown = {member_name(user).lower() for user in world.users(resource.key, "ipConfigurations")}
    for each in inner.each("loadBalancerBackendAddresses"):
        found = _address(each, linker, networks, world, shown)
        if found:
            addresses.append(found)
    _check_addresses(inner, addresses)
    if len(networks) > 1:
        raise inner.error("InvalidRequestFormat", f"addresses are in {' and '.join(sorted(networks))}; one is allowed")
    if addresses and not networks:
        raise inner.error("InvalidRequestFormat", "a pool of addresses needs their virtual network", "virtualNetwork")
    if networks:
        settled["virtualNetwork"] = {"id": networks.pop()}
    settled["loadBalancerBackendAddresses"] = addresses
    inner.refuse_unread()
    fields.refuse_unread()
    return {
        "name": name,
        "id": str(resource),
        "type": f"{LOAD_BALANCERS}/backendAddressPools",
        "properties": settled,
    }


def member_name(configuration: str) -> str:
    """What a pool of NICs calls a member among its addresses, by the id of its ip-configuration."""
    resource = parse(configuration)
    return f"{resource.resource_group}_{resource.parent.name}{resource.name}"


def _address(fields: Fields, linker: Linker, networks: set[str], world: World, shown: set[str]) -> Document | None:
    """One address; None for what stands for a NIC's ip-configuration. Adds its virtual network to ``networks``.

    ``shown`` are the names, in lower case, of the ip-configurations that the pool shows.
    """
    name = fields.required("name")
    check_name(name, name)
    fields.allow("id", "type", "etag")
    inner = fields.fields("properties")
    inner.allow("inboundNatRulesPortMapping")
    # The server's own words, sent back: whole, or by az, which leaves out what is read-only, as the bare name.
    if inner.has("networkInterfaceIPConfiguration") or (name.lower() in shown and not inner.has("ipAddress")):
        return None
    inner.allow("networkInterfaceIPConfiguration")
    inner.refuse_unsupported("loadBalancerFrontendIPConfiguration")
    text = inner.required("ipAddress")
    try:
        address = ip_address(text)
    except ValueError:
        raise inner.error("InvalidRequestFormat", f"{text!r} is no address", "ipAddress") from None
    network = linker.one(inner, "virtualNetwork", VIRTUAL_NETWORKS)
    subnet = linker.one(inner, "subnet", SUBNETS)
    if network:
        networks.add(network["id"])
    if subnet:
        networks.add(world.documents[parse(subnet["id"]).parent.key]["id"])
    for key in networks:
        space = world.documents[key.lower()]["properties"]["addressSpace"]["addressPrefixes"]
        if not any(address in ip_network(prefix) for prefix in space):
            raise inner.error("InvalidRequestFormat", f"{address} is not in {key}", "ipAddress")
    state = inner.choice("adminState", "None", "None", "Up", "Down")
    inner.refuse_unread()
    fields.refuse_unread()
    return {"name": name, "properties": {"ipAddress": str(address), "adminState": state}}


def _check_addresses(inner: Fields, addresses: list[Document]) -> None:
    key = "loadBalancerBackendAddresses"
    if len(addresses) > limits.MEMBERS_PER_BACKEND_POOL:
        raise inner.error(
            "BackendAddressPoolMemberCountLimitReached",
            f"a pool has at most {limits.MEMBERS_PER_BACKEND_POOL} members, not {len(addresses)}",
            key,
        )
    names: set[str] = set()
    seen: set[str] = set()
    for each in addresses:
        if each["name"].lower() in names:
            raise inner.error("InvalidRequestFormat", f"two are called {each['name']!r}", key)
        names.add(each["name"].lower())
        address = each["properties"]["ipAddress"]
        if address in seen:
            raise inner.error("InvalidRequestFormat", f"{address} is listed twice", key)
        seen.add(address)
