"""Microsoft.Network/loadBalancers: the whole, its frontends, and what must agree between its parts.

A load balancer is one document: rules name their frontend, pool and probe by the ids these will have.
Sources: Azure documents "Azure Load Balancer components", "Backend pool management", "Multiple frontends for Azure Load
Balancer", "High availability ports overview", "Troubleshoot common Azure deployment errors with Azure Load Balancer".
"""

from __future__ import annotations

from ipaddress import ip_network
from itertools import pairwise

from podvnet.fabric.arm.backend_pool import settle_pool
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker, refuse_use
from podvnet.fabric.arm.load_balancing_rules import Parts, settle_nat_rule, settle_outbound, settle_probe, settle_rule
from podvnet.fabric.arm.membership import check_member, nat_rules_of, network_of_balancer, pools_of, pools_of_rule
from podvnet.fabric.arm.nat_ports import keep_nat_ports
from podvnet.fabric.arm.private_address import Allotment, Wish, place_of, read_wish
from podvnet.fabric.arm.public_ip_addresses import refuse_shared, refuse_taken
from podvnet.fabric.arm.public_ip_prefixes import refuse_change, version_of, zones_of
from podvnet.fabric.arm.resource_type import check_name, head, stable_guid
from podvnet.fabric.arm.world import (
    LOAD_BALANCERS,
    PUBLIC_ADDRESSES,
    PUBLIC_PREFIXES,
    SUBNETS,
    Document,
    World,
)
from podvnet.model import limits
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId, parse

_CHILDREN = ("backendAddressPools", "probes", "loadBalancingRules", "inboundNatRules", "outboundRules")
_PORTS_PER_ADDRESS = 64_000
_LAST_PORT = 65535
"""Ports of a frontend address that outbound rules can share out."""


class LoadBalancers:
    """The type."""

    full_type = LOAD_BALANCERS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a load balancer; choose the dynamic addresses of its frontends."""
        document = head(resource, body)
        previous = world.get(resource)
        body.refuse_unsupported("extendedLocation")
        properties = body.fields("properties")
        properties.allow("provisioningState", "resourceGuid")
        properties.refuse_unsupported("inboundNatPools")
        properties.only("scope", "Public", "Private")
        inner = body.fields("sku")
        sku = {"name": _sku(inner), "tier": "Regional"}
        inner.only("tier", "Regional")
        inner.refuse_unread()
        if previous:
            refuse_change(resource, "sku", previous["sku"], sku)
        linker = Linker(resource, document["location"], world)
        frontends = _frontends(resource, properties, linker, sku, world)
        if not frontends and any(next(properties.each(kind), None) is not None for kind in _CHILDREN):
            raise properties.error(
                "LoadBalancerWithoutFrontendIPCantHaveChildResources",
                f"Load balancer {resource} does not have frontend ipconfigs and cannot have child resources",
            )
        pools = [settle_pool(resource, each, linker, world) for each in properties.each("backendAddressPools")]
        probes = [settle_probe(resource, each) for each in properties.each("probes")]
        parts = Parts(resource, frontends, pools, probes)
        lists: dict[str, list[Document]] = {
            "frontendIPConfigurations": frontends,
            "backendAddressPools": pools,
            "loadBalancingRules": [settle_rule(parts, each) for each in properties.each("loadBalancingRules")],
            "probes": probes,
            "inboundNatRules": [settle_nat_rule(parts, each) for each in properties.each("inboundNatRules")],
            "outboundRules": [settle_outbound(parts, each) for each in properties.each("outboundRules")],
        }
        for kind, members in lists.items():
            _check_names(properties, kind, members)
        _check_limits(properties, lists)
        _check_ports(properties, lists)
        _check_rules(properties, lists)
        _check_outbound(properties, lists, world)
        properties.refuse_unread()
        body.refuse_unread()
        document["sku"] = sku
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            **lists,
            "inboundNatPools": [],
        }
        document["_fabric"] = {}
        _check_networks(properties, document)
        if previous:
            keep_nat_ports(document, previous)
            _check_members(properties, previous, document, world)
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A load balancer goes only when no ip-configuration is behind it."""
        prefix = f"{resource.key}/"
        for key in sorted(key for key in world.referrers if key.startswith(prefix)):
            if world.users(key, "ipConfigurations"):
                refuse_use(parse(key), world, "InUseLoadBalancerCannotBeDeleted", "Part of a load balancer")


def _sku(fields: Fields) -> str:
    name = fields.text("name", "Standard")
    if name.lower() in {"gateway", "service"}:
        raise fields.error("UnsupportedProperty", f"this fabric does not carry out {name!r} yet", "name")
    if name.lower() == "basic":
        raise fields.error("InvalidRequestFormat", "Azure retired the Basic SKU on 30 September 2025", "name")
    return fields.choice("name", "Standard", "Standard")


def _frontends(balancer: ResourceId, properties: Fields, linker: Linker, sku: Document, world: World) -> list[Document]:
    found: list[Document] = []
    wishes: dict[str, list[Wish]] = {}
    subnets: dict[str, Document] = {}
    publics: list[tuple[str, str]] = []
    for each in properties.each("frontendIPConfigurations"):
        frontend, inner = _frontend(balancer, each, linker, world)
        if "subnet" in frontend["properties"]:
            key = frontend["properties"]["subnet"]["id"].lower()
            subnets[key] = frontend["properties"]["subnet"]
            wishes.setdefault(key, []).append(read_wish(frontend["name"], inner, blocks=False))
        elif inner.text("privateIPAddress"):
            raise inner.error("InvalidRequestFormat", "a public frontend has no private address", "privateIPAddress")
        inner.allow("privateIPAddressVersion", "privateIPAllocationMethod", "privateIPAddress")
        public = frontend["properties"].get("publicIPAddress", frontend["properties"].get("publicIPPrefix"))
        if public:
            publics.append((public["id"], frontend["id"]))
            # az says IPv4 of every frontend.
            if inner.text("privateIPAddressVersion").lower() == "ipv6" and _version(frontend, world) == 4:
                what = f"public IP address {public['id']} is IPv4"
                raise inner.error("InvalidRequestFormat", what, "privateIPAddressVersion")
            if world.documents[public["id"].lower()]["sku"]["name"] != sku["name"]:
                raise inner.error(
                    "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed",
                    f"{sku['name']} sku load balancer {balancer} cannot reference public IP address {public['id']} of"
                    " another sku",
                )
        inner.refuse_unread()
        each.refuse_unread()
        found.append(frontend)
    refuse_shared(properties, publics)
    _check_names(properties, "frontendIPConfigurations", found)
    _give_addresses(balancer, found, wishes, world)
    _check_versions(balancer, properties, found, world)
    return found


def _frontend(balancer: ResourceId, fields: Fields, linker: Linker, world: World) -> tuple[Document, Fields]:
    name = fields.required("name")
    resource = balancer.child("frontendIPConfigurations", name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    zones = zones_of(fields)
    inner = fields.fields("properties")
    inner.allow("provisioningState", "inboundNatRules", "inboundNatPools", "outboundRules", "loadBalancingRules")
    inner.refuse_unsupported("gatewayLoadBalancer")
    subnet = linker.one(inner, "subnet", SUBNETS)
    public = linker.one(inner, "publicIPAddress", PUBLIC_ADDRESSES)
    prefix = linker.one(inner, "publicIPPrefix", PUBLIC_PREFIXES)
    if (subnet is not None) + (public is not None) + (prefix is not None) != 1:
        raise inner.error("InvalidRequestFormat", "has one of subnet, publicIPAddress and publicIPPrefix")
    if zones and subnet is None:
        raise fields.error("InvalidRequestFormat", "zones of a public frontend are those of its address", "zones")
    settled: Document = {"provisioningState": "Succeeded", "privateIPAllocationMethod": "Dynamic"}
    if subnet:
        settled["subnet"] = {"id": subnet["id"]}
    if public:
        refuse_taken(inner, public, balancer, world)
        settled["publicIPAddress"] = {"id": public["id"]}
    if prefix:
        _refuse_used_prefix(inner, prefix, balancer, world)
        settled["publicIPPrefix"] = {"id": prefix["id"]}
    document = {
        "name": name,
        "id": str(resource),
        "type": f"{LOAD_BALANCERS}/frontendIPConfigurations",
        "properties": settled,
    }
    return document | ({"zones": zones} if zones else {}), inner


def _check_versions(balancer: ResourceId, properties: Fields, frontends: list[Document], world: World) -> None:
    """Refuse frontends that are all IPv6: Azure wants one of IPv4 beside them."""
    if frontends and all(_version(each, world) == 6 for each in frontends):
        raise properties.error(
            "AtleastOneIpV4RequiredForIpV6LbFrontendIpConfiguration",
            "At least one IPv4 frontend ipConfiguration is required for an IPv6 frontend ipConfiguration on the load"
            f" balancer '{balancer}'",
            "frontendIPConfigurations",
        )


def _version(frontend: Document, world: World) -> int:
    """The IP version of a settled frontend: a public one has that of its address, whatever else it says."""
    inner = frontend["properties"]
    public = inner.get("publicIPAddress", inner.get("publicIPPrefix"))
    if public:
        return version_of(world.documents[public["id"].lower()])
    return 6 if inner["privateIPAddressVersion"] == "IPv6" else 4


def _refuse_used_prefix(fields: Fields, prefix: Document, balancer: ResourceId, world: World) -> None:
    for user in world.users(prefix["id"].lower()):
        if parse(user).top != balancer:
            raise fields.error(
                "PublicIPPrefixInUse", f"public IP prefix {prefix['id']} is already used by {user}", "publicIPPrefix"
            )


def _give_addresses(
    balancer: ResourceId, frontends: list[Document], wishes: dict[str, list[Wish]], world: World
) -> None:
    previous = world.get(balancer)
    held = previous["properties"]["frontendIPConfigurations"] if previous else []
    for key, asked in wishes.items():
        subnet = world.find(parse(key))
        if subnet is None:
            continue
        kept = {
            each["name"].lower(): place_of(each)
            for each in held
            if each["properties"].get("subnet", {}).get("id", "").lower() == key
        }
        places = Allotment(subnet, balancer.key, world).give(asked, kept)
        for frontend in frontends:
            wish = next((wish for wish in asked if wish.name == frontend["name"]), None)
            if wish:
                frontend["properties"] |= {
                    "privateIPAddress": str(places[wish.name]),
                    "privateIPAllocationMethod": "Static" if wish.static is not None else "Dynamic",
                    "privateIPAddressVersion": f"IPv{wish.version}",
                }


def _check_names(properties: Fields, kind: str, members: list[Document]) -> None:
    seen: set[str] = set()
    for each in members:
        if each["name"].lower() in seen:
            raise properties.error("InvalidRequestFormat", f"two are called {each['name']!r}", kind)
        seen.add(each["name"].lower())


def _check_limits(properties: Fields, lists: dict[str, list[Document]]) -> None:
    rules = len(lists["loadBalancingRules"]) + len(lists["inboundNatRules"])
    for what, count, limit, code in (
        ("frontends", len(lists["frontendIPConfigurations"]), limits.FRONTENDS_PER_LOAD_BALANCER,
         "FrontendIPConfigurationCountLimitReached"),
        ("load balancing and NAT rules", rules, limits.RULES_PER_LOAD_BALANCER, "LoadBalancerRuleCountLimitReached"),
        ("outbound rules", len(lists["outboundRules"]), limits.OUTBOUND_RULES_PER_LOAD_BALANCER,
         "OutboundRuleCountLimitReached"),
    ):  # fmt: skip
        if count > limit:
            raise properties.error(code, f"a load balancer has at most {limit} {what}, not {count}")


def _check_ports(properties: Fields, lists: dict[str, list[Document]]) -> None:
    """A frontend, a protocol and a port lead to one rule; a rule of all ports takes the place of every other."""
    rules = [*lists["loadBalancingRules"], *lists["inboundNatRules"]]
    runs: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for position, rule in enumerate(rules):
        inner = rule["properties"]
        for protocol in ("Tcp", "Udp") if inner["protocol"] == "All" else (inner["protocol"],):
            place = inner["frontendIPConfiguration"]["id"], protocol
            runs.setdefault(place, []).append((*_frontend_ports(inner), position))
    for (frontend, _), taken in runs.items():
        taken.sort()
        for (_, last, position), (start, _, following) in pairwise(taken):
            if start <= last:
                earlier, later = (rules[each] for each in sorted((position, following)))
                pair = later["name"], earlier["name"]
                raise _port_conflict(properties, pair, frontend, later["properties"]["protocol"], start)


def _frontend_ports(rule: Document) -> tuple[int, int]:
    """The first and the last port of a frontend that a rule is about."""
    if "frontendPortRangeStart" in rule:
        return rule["frontendPortRangeStart"], rule["frontendPortRangeEnd"]
    port = rule["frontendPort"]
    return (port, port) if port else (0, _LAST_PORT)


def _port_conflict(properties: Fields, rules: tuple[str, str], frontend: str, protocol: str, port: int) -> ArmError:
    return properties.error(
        "RulesUseSameFrontendPortAndProtocol",
        f"Rules {rules[0]} and {rules[1]} use the same frontend {frontend}, protocol {protocol} and port {port}",
    )


def _check_rules(properties: Fields, lists: dict[str, list[Document]]) -> None:
    """Rules to one pool need different protocols or backend ports, or floating addresses."""
    seen: dict[tuple[str, str, int], Document] = {}
    floating: dict[tuple[str, str, int, str], Document] = {}
    for rule in lists["loadBalancingRules"]:
        inner = rule["properties"]
        for pool in pools_of_rule(rule):
            place = (pool, inner["protocol"], inner["backendPort"])
            twin = floating.setdefault((*place, inner["frontendIPConfiguration"]["id"]), rule)
            if twin is not rule and inner["enableFloatingIP"] and twin["properties"]["enableFloatingIP"]:
                raise properties.error(
                    "RulesUseSameBackendPortProtocolAndPoolAndFrontendIPWithFloatingIPEnabled",
                    f"Load balancing rules {twin['name']} and {rule['name']} with floating IP enabled use the same"
                    f" protocol {inner['protocol']}, backend port {inner['backendPort']} and frontend IP"
                    f" {inner['frontendIPConfiguration']['id']}, and must not be used with the same backend address"
                    f" pool {pool.rsplit('/', 1)[-1]}",
                    "loadBalancingRules",
                )
            other = seen.setdefault(place, rule)
            if other is not rule and not (inner["enableFloatingIP"] and other["properties"]["enableFloatingIP"]):
                raise properties.error(
                    "RulesUseSameBackendPortProtocolAndPool",
                    f"Load balancing rules {other['name']} and {rule['name']} with floating IP disabled use the same"
                    f" protocol {inner['protocol']} and backend port {inner['backendPort']}, and must not be used with"
                    f" the same backend address pool {pool.rsplit('/', 1)[-1]}",
                    "loadBalancingRules",
                )


def _check_outbound(properties: Fields, lists: dict[str, list[Document]], world: World) -> None:
    frontends = {each["id"].lower(): each for each in lists["frontendIPConfigurations"]}
    pools = {each["id"].lower(): each for each in lists["backendAddressPools"]}
    spoken: dict[tuple[str, str], str] = {}
    for rule in lists["outboundRules"]:
        inner = rule["properties"]
        addresses = 0
        for reference in inner["frontendIPConfigurations"]:
            protocols = ("Tcp", "Udp") if inner["protocol"] == "All" else (inner["protocol"],)
            for protocol in protocols:
                other = spoken.setdefault((reference["id"].lower(), protocol), rule["name"])
                if other != rule["name"]:
                    raise properties.error(
                        "MoreThanOneOutboundRuleUsingSameFrontendIPConfigurationAndProtocolIsNotSupported",
                        f"It is not supported to have more than a single outbound rule using frontendIPConfiguration"
                        f" {reference['id']} with same or overlapping protocol: {other}, {rule['name']}",
                        "outboundRules",
                    )
            settled = frontends[reference["id"].lower()]["properties"]
            if "subnet" in settled:
                raise properties.error(
                    "InvalidRequestFormat", f"outbound rule {rule['name']} needs public frontends", "outboundRules"
                )
            prefix = settled.get("publicIPPrefix")
            addresses += (
                ip_network(world.documents[prefix["id"].lower()]["properties"]["ipPrefix"]).num_addresses
                if prefix
                else 1
            )
        pool = inner["backendAddressPool"]["id"].lower()
        members = len(world.users(pool, "ipConfigurations"))
        members += len(pools[pool]["properties"].get("loadBalancerBackendAddresses", []))
        wanted, there = inner["allocatedOutboundPorts"] * max(members, 1), addresses * _PORTS_PER_ADDRESS
        if wanted > there:
            raise properties.error(
                "SpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAvailablePorts",
                f"Specified allocated outbound ports {inner['allocatedOutboundPorts']} for outbound rule {rule['name']}"
                f" and {members} members exceed the total number of available ports {there}",
                "outboundRules",
            )


def _check_networks(properties: Fields, document: Document) -> None:
    """All frontends are public, or all in one virtual network; pools of addresses are in that one as well."""
    frontends = document["properties"]["frontendIPConfigurations"]
    networks = {
        str(parse(each["properties"]["subnet"]["id"]).parent) if "subnet" in each["properties"] else "the internet"
        for each in frontends
    }
    if len(networks) > 1:
        raise properties.error(
            "InvalidRequestFormat",
            f"frontends must all be public or all in one virtual network, not {' and '.join(sorted(networks))}",
            "frontendIPConfigurations",
        )
    here = network_of_balancer(document)
    for pool in document["properties"]["backendAddressPools"]:
        there = pool["properties"].get("virtualNetwork", {}).get("id")
        if here is not None and there is not None and parse(there) != here:
            raise properties.error(
                "NetworkInterfaceAndInternalLoadBalancerMustUseSameVnet",
                f"backend pool {pool['id']} is in {there}, internal load balancer {document['id']} in {here}",
                "backendAddressPools",
            )


def _check_members(properties: Fields, previous: Document, document: Document, world: World) -> None:
    """What NICs are behind stays, and they can be behind what becomes of it."""
    key = document["id"].lower()
    nics: dict[str, Document] = {}
    for kind in ("backendAddressPools", "inboundNatRules"):
        kept = {each["id"].lower(): each for each in document["properties"][kind]}
        for old in previous["properties"][kind]:
            target = old["id"].lower()
            users = world.users(target, "ipConfigurations")
            if not users:
                continue
            if target not in kept:
                refuse_use(parse(old["id"]), world, "InUseLoadBalancerChildCannotBeDeleted", "Part of a load balancer")
            changed = kept[target]["properties"].keys() & {"virtualNetwork", "backendAddressPool"}
            if changed or kept[target]["properties"].get("loadBalancerBackendAddresses"):
                raise properties.error(
                    "InvalidRequestFormat", f"{old['id']} has NICs ({users[0]}) and takes nothing else", kind
                )
            nics |= {
                nic: world.documents[nic] for nic in (user.lower().rsplit("/", 2)[0] for user in users)
            }  # fmt: skip
    for nic in nics.values():
        configurations = nic["properties"]["ipConfigurations"]
        balancers = {
            top: world.documents[top]
            for each in configurations
            for top in (parse(part).top.key for part in (*pools_of(each), *nat_rules_of(each)))
        }
        check_member(parse(nic["id"]), properties, configurations, balancers | {key: document})
