"""One rule of a network security group.

What can be one or many has two members, ``sourcePortRange`` and ``sourcePortRanges``: one value is shown in the first
with the second empty, several in the second with the first left out.
Sources: Azure document "Network security groups"; recorded answers of the resource manager.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

from podvnet.fabric.arm.application_security_groups import groups_of_rule, network_of
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker
from podvnet.fabric.arm.resource_type import check_name
from podvnet.fabric.arm.service_tags import PLATFORM_TAGS, service_tag
from podvnet.fabric.arm.world import APPLICATION_GROUPS, SECURITY_GROUPS, Document, World
from podvnet.model import limits
from podvnet.model.address import parse_prefix
from podvnet.model.resource_id import ResourceId, parse
from podvnet.model.security import ALL_PORTS, Direction, PortRange, Protocol, SecurityRule, Side

_PROTOCOLS = ("Tcp", "Udp", "Icmp", "Esp", "Ah", "*")
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
_LOWEST, _HIGHEST = 100, 4096
_DESCRIPTION_LENGTH = 140


def settle_rule(group: ResourceId, fields: Fields, linker: Linker, world: World) -> Document:
    """Check and complete one rule.

    Raises:
        ArmError: it is refused.
    """
    name = fields.required("name")
    resource = group.child("securityRules", name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    properties = fields.fields("properties")
    properties.allow("provisioningState")
    priority = properties.integer("priority")
    if not _LOWEST <= priority <= _HIGHEST:
        raise properties.error(
            "SecurityRuleInvalidPriority",
            f"Security rule has invalid Priority. Value provided: {priority} Allowed range {_LOWEST}-{_HIGHEST}",
            "priority",
        )
    direction = properties.choice("direction", "", "Inbound", "Outbound")
    access = properties.choice("access", "", "Allow", "Deny")
    settled: Document = {
        "provisioningState": "Succeeded",
        "protocol": properties.choice("protocol", "", *_PROTOCOLS),
        "access": access,
        "priority": priority,
        "direction": direction,
    }
    description = properties.text("description")
    if len(description) > _DESCRIPTION_LENGTH:
        raise properties.error("InvalidRequestFormat", f"has at most {_DESCRIPTION_LENGTH} characters", "description")
    if description:
        settled["description"] = description
    named: list[str] = []
    for side in ("source", "destination"):
        settled |= _ports(properties, side) | _addresses(properties, side, linker)
        single = settled.get(f"{side}AddressPrefix")
        named += settled[f"{side}AddressPrefixes"] or ([single] if single else [])
    _check_addresses(properties, named, direction, access)
    properties.refuse_unread()
    fields.refuse_unread()
    rule = {"name": name, "id": str(resource), "type": f"{SECURITY_GROUPS}/securityRules", "properties": settled}
    networks = {network_of(each, world) for each in groups_of_rule(rule)} - {None}
    if len(networks) > 1:
        raise properties.error(
            "AllApplicationSecurityGroupsInSecurityRuleMustBeFromSameVnet",
            f"Security Rule {resource} has Application Security Groups (ASGs) from multiple virtual networks"
            f" ({', '.join(sorted(map(str, networks)))}). All ASGs on the Security Rule must be from the same virtual"
            " network.",
        )
    return rule


def rule_intent(kind: str, rule: Document) -> SecurityRule:
    """A settled rule as the compilers see it; ``kind`` is the list it stands in."""
    inner = rule["properties"]
    return SecurityRule(
        name=f"{kind}/{rule['name']}",
        priority=inner["priority"],
        direction=Direction(inner["direction"]),
        allow=inner["access"] == "Allow",
        protocol=Protocol(inner["protocol"]),
        source=_side(inner, "source"),
        destination=_side(inner, "destination"),
    )


def _side(inner: Document, side: str) -> Side:
    ports = inner.get(f"{side}PortRanges") or [inner[f"{side}PortRange"]]
    addresses = inner.get(f"{side}AddressPrefixes") or [inner.get(f"{side}AddressPrefix", "*")]
    tag = next((each for each in addresses if service_tag(each)), "")
    prefixes = tuple(ip_network(each) for each in addresses if each not in {"*", tag})
    groups = tuple(parse(each["id"]) for each in inner.get(f"{side}ApplicationSecurityGroups", []))
    return Side(prefixes, tag, groups, ALL_PORTS if "*" in ports else tuple(map(_port_range, ports)))


def _port_range(text: str) -> PortRange:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _values(properties: Fields, key: str, plural: str, code: str) -> list[str]:
    """The values of a member with two forms."""
    one, many = properties.text(key), properties.texts(plural)
    if one and many:
        raise properties.error("InvalidRequestFormat", f"cannot stand beside {key}", plural)
    if len(many) > 1 and "*" in many:
        raise properties.error(code, "'*' stands for all and takes nothing beside it", plural)
    return list(dict.fromkeys(many)) or ([one] if one else [])


def _forms(key: str, plural: str, values: list[str]) -> Document:
    return {key: values[0], plural: []} if len(values) == 1 else {plural: values}


def _ports(properties: Fields, side: str) -> Document:
    key, plural = f"{side}PortRange", f"{side}PortRanges"
    code = "SecurityRuleInvalidPortRange"
    values = _values(properties, key, plural, code)
    if not values:
        raise properties.error(code, "is required", key)
    for value in values:
        found = _PORTS.fullmatch(value)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if value != "*" and not first <= last <= 65535:
            raise properties.error(
                code,
                f"Security rule has invalid Port range. Value provided: {value}. Value should be an integer OR integer"
                " range with '-' delimiter. Valid range 0-65535",
                key,
            )
    return _forms(key, plural, values)


def _addresses(properties: Fields, side: str, linker: Linker) -> Document:
    key, plural, group_key = f"{side}AddressPrefix", f"{side}AddressPrefixes", f"{side}ApplicationSecurityGroups"
    code = "SecurityRuleInvalidAddressPrefix"
    values = [_address(properties, key, text) for text in _values(properties, key, plural, code)]
    groups = linker.each(properties, group_key, APPLICATION_GROUPS)
    if groups and values:
        raise properties.error(
            "InvalidRequestFormat", "a side is addresses or application security groups, not both", group_key
        )
    if len(groups) > limits.APPLICATION_GROUPS_PER_RULE_SIDE:
        raise properties.error(
            "NumberOfApplicationSecurityGroupsReferencedInSecurityRuleLimitReached",
            f"a side names at most {limits.APPLICATION_GROUPS_PER_RULE_SIDE}, not {len(groups)}",
            group_key,
        )
    if groups:
        return {plural: [], group_key: [{"id": each["id"]} for each in groups]}
    if not values:
        raise properties.error(code, "is required", key)
    tags = [value for value in values if service_tag(value)]
    if len(tags) > 1:
        raise properties.error(code, f"a side takes one service tag, not {' and '.join(tags)}", plural)
    return _forms(key, plural, values)


def _address(properties: Fields, key: str, text: str) -> str:
    """An address, a prefix, a tag or all: as it is shown."""
    if text == "*":
        return text
    tag = service_tag(text)
    if tag:
        return tag
    try:
        if "/" in text:
            parse_prefix(text)
        else:
            ip_address(text)
    except ValueError as problem:
        hint = f" ({problem})" if "host bits" in str(problem) else ""
        raise properties.error(
            "SecurityRuleInvalidAddressPrefix",
            f"Security rule has invalid Address prefix. Value provided: {text}{hint}. It is neither an address, nor a"
            " prefix, nor '*', nor a service tag",
            key,
        ) from None
    return text


def _check_addresses(properties: Fields, named: list[str], direction: str, access: str) -> None:
    versions = {6 if ":" in text else 4 for text in named if text != "*" and not service_tag(text)}
    if len(versions) > 1:
        raise properties.error(
            "SecurityRuleInvalidAddressPrefix", "Security rule has IPv4 and IPv6 addresses; one of a rule is allowed"
        )
    platform = next((text for text in named if text in PLATFORM_TAGS), None)
    if platform and (direction, access) != ("Outbound", "Deny"):
        raise properties.error(
            "SecurityRuleInvalidAccessType",
            f"Security rule has invalid Access type. {platform} is for outbound rules that deny only, not for"
            f" {direction} {access}",
            "access",
        )
