"""What the rules of a load balancer must not have in common: frontend ports, backend ports, outbound ports.

Sources: Azure documents "Multiple frontends for Azure Load Balancer", "High availability ports overview", "Troubleshoot
common Azure deployment errors with Azure Load Balancer".
"""

from __future__ import annotations

from ipaddress import ip_network
from itertools import pairwise

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.membership import pools_of_rule
from podvnet.fabric.arm.world import Document, World
from podvnet.model.arm_error import ArmError

_PORTS_PER_ADDRESS = 64_000
"""Ports of a frontend address that outbound rules can share out."""
_LAST_PORT = 65535


def check_ports(properties: Fields, lists: dict[str, list[Document]]) -> None:
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


def check_rules(properties: Fields, lists: dict[str, list[Document]]) -> None:
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


def check_outbound(properties: Fields, lists: dict[str, list[Document]], world: World) -> None:
    """Outbound rules speak for a public frontend and a protocol once, and share out no more ports than there are."""
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
