"""Microsoft.Network/loadBalancers: the whole, and what must agree between its parts and with those behind it.

A load balancer is one document: rules name their frontend, pool and probe by the ids these will have.
Sources: Azure documents "Azure Load Balancer components", "Backend pool management", "Troubleshoot common Azure
deployment errors with Azure Load Balancer".
"""

from __future__ import annotations

from podvnet.fabric.arm.backend_pool import settle_pool
from podvnet.fabric.arm.balancer_frontends import settle_frontends
from podvnet.fabric.arm.balancer_rule_conflicts import check_outbound, check_ports, check_rules
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker, refuse_use
from podvnet.fabric.arm.load_balancing_rules import Parts, settle_nat_rule, settle_outbound, settle_probe, settle_rule
from podvnet.fabric.arm.membership import check_member, nat_rules_of, network_of_balancer, pools_of
from podvnet.fabric.arm.nat_ports import keep_nat_ports
from podvnet.fabric.arm.public_ip_prefixes import refuse_change
from podvnet.fabric.arm.resource_type import check_names, head, stable_guid
from podvnet.fabric.arm.world import LOAD_BALANCERS, Document, World
from podvnet.model import limits
from podvnet.model.resource_id import ResourceId, parse

_CHILDREN = ("backendAddressPools", "probes", "loadBalancingRules", "inboundNatRules", "outboundRules")


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
        frontends = settle_frontends(resource, properties, linker, sku, world)
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
            check_names(properties, kind, members)
        _check_limits(properties, lists)
        check_ports(properties, lists)
        check_rules(properties, lists)
        check_outbound(properties, lists, world)
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
