"""What a NIC's ip-configurations are members of: application security groups, and pools of load balancers.

The same rules hold whoever changes, the NIC or the load balancer.
Sources: Azure documents "Application security groups", "Troubleshoot common Azure deployment errors with Azure Load
Balancer", "Azure subscription limits" (load balancer).
"""

from __future__ import annotations

from collections.abc import Iterable

from podvnet.fabric.arm.application_security_groups import groups_beside, network_of
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.world import Document, World
from podvnet.model import limits
from podvnet.model.resource_id import ResourceId, parse


def check_groups(nic: ResourceId, properties: Fields, configurations: list[Document], world: World) -> None:
    """Refuse memberships in application security groups that cannot be.

    Raises:
        ArmError: which one.
    """
    joined: dict[str, int] = {}
    for each in configurations:
        groups = [group["id"].lower() for group in each["properties"].get("applicationSecurityGroups", [])]
        if len(groups) > limits.APPLICATION_GROUPS_PER_IP_CONFIGURATION:
            raise properties.error(
                "ApplicationSecurityGroupCountLimitReached",
                f"an ip-configuration is in at most {limits.APPLICATION_GROUPS_PER_IP_CONFIGURATION}, not in"
                f" {len(groups)}",
                "ipConfigurations",
            )
        for group in groups:
            joined[group] = joined.get(group, 0) + 1
    here = _network_of(configurations)
    for group, count in joined.items():
        own = f"{nic.key}/"
        others = sum(
            1 for key in world.referrers.get(group, {}) if "/ipconfigurations/" in key and not key.startswith(own)
        )
        if others + count > limits.IP_CONFIGURATIONS_PER_APPLICATION_GROUP:
            raise properties.error(
                "ApplicationSecurityGroupIpConfigurationCountLimitReached",
                f"{group} has at most {limits.IP_CONFIGURATIONS_PER_APPLICATION_GROUP} members, not {others + count}",
                "ipConfigurations",
            )
        for beside in (group, *groups_beside(group, world)):
            there = network_of(beside, world, but=nic.key)
            if there is not None and there != here:
                raise properties.error(
                    "ApplicationSecurityGroupsNotInSameVnet",
                    f"members of {beside}, and of the groups that stand in one security rule with it, are in {there};"
                    f" {nic} is in {here}",
                    "ipConfigurations",
                )


def check_load_balancers(nic: ResourceId, properties: Fields, configurations: list[Document], world: World) -> None:
    """Refuse memberships in load balancers that cannot be.

    Raises:
        ArmError: which one.
    """
    pools = {pool for each in configurations for pool in pools_of(each)}
    rules = {rule for each in configurations for rule in nat_rules_of(each)}
    if not pools and not rules:
        return
    balancers: dict[str, Document] = {}
    for key in pools | rules:
        balancer = world.documents[parse(key).top.key]
        balancers[balancer["id"].lower()] = balancer
    for pool in sorted(pools):
        _check_pool(nic, properties, pool, configurations, world)
    for rule in sorted(rules):
        _check_nat_rule(nic, properties, rule, configurations, world)
    check_member(nic, properties, configurations, balancers)


def check_member(
    nic: ResourceId, properties: Fields, configurations: list[Document], balancers: dict[str, Document]
) -> None:
    """Refuse load balancers that one NIC cannot be behind all of.

    Args:
        nic: the NIC.
        properties: where errors point.
        configurations: its ip-configurations.
        balancers: by id key, every load balancer that they are behind.

    Raises:
        ArmError: what is in the way.
    """
    here = _network_of(configurations)
    kinds: dict[bool, str] = {}
    for balancer in balancers.values():
        network = network_of_balancer(balancer)
        internal = network is not None
        if internal in kinds:
            another = "NetworkInterfaceUsesMultipleLoadBalancersOfSameType"
            raise properties.error(
                "AnotherInternalLoadBalancerExists" if internal else another,
                f"Network interface {nic} is in backends of {kinds[internal]} and {balancer['id']}; of load balancers"
                f" that are {'internal' if internal else 'public'} one is allowed",
            )
        kinds[internal] = balancer["id"]
        if network is not None and network != here:
            raise properties.error(
                "NetworkInterfaceAndInternalLoadBalancerMustUseSameVnet",
                f"Network interface {nic} is in {here}, internal load balancer {balancer['id']} in {network}",
            )
    by_pool = _rules_by_pool(balancers.values())
    count = sum(
        sum(len(by_pool.get(pool, [])) for pool in pools_of(each)) + len(nat_rules_of(each)) for each in configurations
    )
    if count > limits.LOAD_BALANCER_RULES_PER_NIC:
        raise properties.error(
            "LoadBalancerRuleCountLimitReachedForNic",
            f"Network interface {nic} is behind {count} load balancing and NAT rules; at most"
            f" {limits.LOAD_BALANCER_RULES_PER_NIC}",
        )
    checked: set[tuple[str, ...]] = set()
    for each in configurations:
        pools = tuple(sorted(pools_of(each)))
        if len(pools) > 1 and pools not in checked:
            checked.add(pools)
            _check_rules(properties, each, [rule for pool in pools for rule in by_pool.get(pool, [])])


def pools_of(configuration: Document) -> list[str]:
    """The id keys of the backend pools an ip-configuration is in."""
    return [each["id"].lower() for each in configuration["properties"].get("loadBalancerBackendAddressPools", [])]


def nat_rules_of(configuration: Document) -> list[str]:
    """The id keys of the inbound NAT rules that lead to an ip-configuration."""
    return [each["id"].lower() for each in configuration["properties"].get("loadBalancerInboundNatRules", [])]


def network_of_balancer(balancer: Document) -> ResourceId | None:
    """The virtual network an internal load balancer is in; None for a public one."""
    for frontend in balancer["properties"]["frontendIPConfigurations"]:
        if "subnet" in frontend["properties"]:
            return parse(frontend["properties"]["subnet"]["id"]).parent
    return None


def pools_of_rule(rule: Document) -> list[str]:
    """The id keys of the pools that a load balancing rule leads to."""
    return [each["id"].lower() for each in rule["properties"].get("backendAddressPools", [])]


def is_ip_based(pool: Document) -> bool:
    """A pool whose members are written as addresses, not on NICs."""
    return bool(pool["properties"].get("loadBalancerBackendAddresses")) or "virtualNetwork" in pool["properties"]


def _check_pool(nic: ResourceId, properties: Fields, key: str, configurations: list[Document], world: World) -> None:
    pool = world.find(parse(key))
    if pool is None or is_ip_based(pool):
        raise properties.error(
            "InvalidRequestFormat", f"backend pool {key} is made of addresses and takes no NICs", "ipConfigurations"
        )
    own = f"{nic.key}/"
    others = [
        each for each in world.referrers.get(key, {}) if "/ipconfigurations/" in each and not each.startswith(own)
    ]
    count = len(others) + sum(key in pools_of(each) for each in configurations)
    if count > limits.MEMBERS_PER_BACKEND_POOL:
        raise properties.error(
            "BackendAddressPoolMemberCountLimitReached",
            f"backend pool {key} has at most {limits.MEMBERS_PER_BACKEND_POOL} members, not {count}",
            "ipConfigurations",
        )
    if others:
        there = _network_of(world.documents[others[0].rsplit("/", 2)[0]]["properties"]["ipConfigurations"])
        if there != _network_of(configurations):
            raise properties.error(
                "BackendAddressPoolMembersNotInSameVnet",
                f"the members of backend pool {key} are in {there}; {nic} is in {_network_of(configurations)}",
                "ipConfigurations",
            )


def _check_nat_rule(
    nic: ResourceId, properties: Fields, key: str, configurations: list[Document], world: World
) -> None:
    rule = world.find(parse(key))
    if rule is None or "backendAddressPool" in rule["properties"]:
        raise properties.error(
            "InvalidRequestFormat", f"inbound NAT rule {key} leads to a backend pool", "ipConfigurations"
        )
    own = f"{nic.key}/"
    holders = [each for each in world.users(key, "ipConfigurations") if not each.lower().startswith(own)]
    holders += [each["id"] for each in configurations if key in nat_rules_of(each)]
    if len(holders) > 1:
        raise properties.error(
            "InboundNatRuleReferencedByMultipleIpConfigs",
            f"inbound NAT rule {key} leads to one ip-configuration, not to {' and '.join(holders)}",
            "ipConfigurations",
        )


def _check_rules(properties: Fields, configuration: Document, rules: Iterable[tuple[str, Document]]) -> None:
    """Two rules may not hand an ip-configuration the same protocol and port, unless floating addresses differ."""
    seen: dict[tuple[str, str, int], Document] = {}
    for balancer, rule in rules:
        inner = rule["properties"]
        place = balancer, inner["protocol"], inner["backendPort"]
        other = seen.setdefault(place, rule)
        if other["id"] != rule["id"] and not (inner["enableFloatingIP"] and other["properties"]["enableFloatingIP"]):
            raise properties.error(
                "RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig",
                f"Load balancing rules {other['id']} and {rule['id']} use the same backend port {inner['backendPort']}"
                f" and protocol {inner['protocol']} and lead to the same ip-configuration {configuration['id']}",
            )


def _rules_by_pool(balancers: Iterable[Document]) -> dict[str, list[tuple[str, Document]]]:
    """By id key of a pool: the rules that lead to it, each with the id of its load balancer."""
    found: dict[str, list[tuple[str, Document]]] = {}
    for balancer in balancers:
        for rule in balancer["properties"]["loadBalancingRules"]:
            for pool in pools_of_rule(rule):
                found.setdefault(pool, []).append((balancer["id"], rule))
    return found


def _network_of(configurations: list[Document]) -> ResourceId:
    return parse(configurations[0]["properties"]["subnet"]["id"]).parent
