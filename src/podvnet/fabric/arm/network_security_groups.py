"""Microsoft.Network/networkSecurityGroups: the group, its rules and the six that every group has.

Source: Azure documents "Network security groups" (rules, priorities, limits, the default rules) and "How network
security groups filter network traffic".
"""

from __future__ import annotations

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker, refuse_use
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.security_rule import rule_intent, settle_rule
from podvnet.fabric.arm.world import SECURITY_GROUPS, Document, World
from podvnet.model import limits
from podvnet.model.resource_id import ResourceId, parse
from podvnet.model.security import SecurityGroup

_DEFAULT_RULES = (
    ("AllowVnetInBound", 65000, "Inbound", "VirtualNetwork", "VirtualNetwork", "Allow",
     "Allow inbound traffic from all VMs in VNET"),
    ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "AzureLoadBalancer", "*", "Allow",
     "Allow inbound traffic from azure load balancer"),
    ("DenyAllInBound", 65500, "Inbound", "*", "*", "Deny", "Deny all inbound traffic"),
    ("AllowVnetOutBound", 65000, "Outbound", "VirtualNetwork", "VirtualNetwork", "Allow",
     "Allow outbound traffic from all VMs to all VMs in VNET"),
    ("AllowInternetOutBound", 65001, "Outbound", "*", "Internet", "Allow",
     "Allow outbound traffic from all VMs to Internet"),
    ("DenyAllOutBound", 65500, "Outbound", "*", "*", "Deny", "Deny all outbound traffic"),
)  # fmt: skip
"""Name, priority, direction, source, destination, access, description: as the resource manager spells them."""


class NetworkSecurityGroups:
    """The type."""

    full_type = SECURITY_GROUPS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a group with its rules."""
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow(
            "provisioningState", "resourceGuid", "defaultSecurityRules", "subnets", "networkInterfaces", "flowLogs"
        )
        flush = properties.flag("flushConnection", default=False)
        linker = Linker(resource, document["location"], world)
        rules = [settle_rule(resource, each, linker, world) for each in properties.each("securityRules")]
        _check_rules(properties, rules)
        properties.refuse_unread()
        body.refuse_unread()
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "securityRules": rules,
            "defaultSecurityRules": [_default_rule(resource, each) for each in _DEFAULT_RULES],
        }
        if properties.has("flushConnection"):
            document["properties"]["flushConnection"] = flush
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A group goes only when no subnet and no NIC has it."""
        refuse_use(resource, world, "InUseNetworkSecurityGroupCannotBeDeleted", "Network security group")


def intent_of(document: Document) -> SecurityGroup:
    """The group as the compilers see it."""
    properties = document["properties"]
    rules = [rule_intent(kind, each) for kind in ("securityRules", "defaultSecurityRules") for each in properties[kind]]
    return SecurityGroup(
        id=parse(document["id"]),
        rules=tuple(sorted(rules, key=lambda rule: rule.priority)),
        flush=properties.get("flushConnection", False),
    )


def _check_rules(properties: Fields, rules: list[Document]) -> None:
    if len(rules) > limits.RULES_PER_SECURITY_GROUP:
        raise properties.error(
            "SecurityRuleCountLimitReached",
            f"a group has at most {limits.RULES_PER_SECURITY_GROUP} rules, not {len(rules)}",
            "securityRules",
        )
    names: set[str] = set()
    places: dict[tuple[str, int], str] = {}
    addresses = {"source": 0, "destination": 0}
    groups: set[str] = set()
    for rule in rules:
        inner = rule["properties"]
        if rule["name"].lower() in names:
            raise properties.error("InvalidRequestFormat", f"two rules are called {rule['name']!r}", "securityRules")
        names.add(rule["name"].lower())
        place = inner["direction"], inner["priority"]
        if place in places:
            raise properties.error(
                "SecurityRuleConflict",
                f"Security rule {rule['name']} conflicts with rule {places[place]}. Rules cannot have the same"
                " Priority and Direction",
                "securityRules",
            )
        places[place] = rule["name"]
        for side in addresses:
            addresses[side] += len(inner[f"{side}AddressPrefixes"]) or 1
            groups |= {each["id"].lower() for each in inner.get(f"{side}ApplicationSecurityGroups", [])}
    for side, count in addresses.items():
        if count > limits.ADDRESSES_PER_SECURITY_GROUP_SIDE:
            raise properties.error(
                "SecurityRuleAddressPrefixCountLimitReached",
                f"the rules of a group name at most {limits.ADDRESSES_PER_SECURITY_GROUP_SIDE} {side} addresses,"
                f" not {count}",
                "securityRules",
            )
    if len(groups) > limits.APPLICATION_GROUPS_PER_SECURITY_GROUP:
        raise properties.error(
            "ApplicationSecurityGroupCountLimitReached",
            f"the rules of a group name at most {limits.APPLICATION_GROUPS_PER_SECURITY_GROUP} application security"
            f" groups, not {len(groups)}",
            "securityRules",
        )


def _default_rule(group: ResourceId, rule: tuple[str, int, str, str, str, str, str]) -> Document:
    name, priority, direction, source, destination, access, description = rule
    return {
        "name": name,
        "id": str(group.child("defaultSecurityRules", name)),
        "type": f"{SECURITY_GROUPS}/defaultSecurityRules",
        "properties": {
            "provisioningState": "Succeeded",
            "description": description,
            "protocol": "*",
            "sourcePortRange": "*",
            "destinationPortRange": "*",
            "sourceAddressPrefix": source,
            "destinationAddressPrefix": destination,
            "access": access,
            "priority": priority,
            "direction": direction,
            "sourcePortRanges": [],
            "destinationPortRanges": [],
            "sourceAddressPrefixes": [],
            "destinationAddressPrefixes": [],
        },
    }
