"""Security groups, by Azure's documents: each row is a behaviour that they describe."""

from __future__ import annotations

import pytest

from podvnet.model.verdict import Check, Trace
from podvnet.plan.evaluate import evaluate
from podvnet.testing.draft import Draft

LOCAL = "tcp 10.0.1.4 > 10.0.2.4 80"
LOCAL6 = "tcp fd00:1::4 > fd00:2::4 80"
OUT = "tcp 10.0.1.4 > 198.51.100.7 443"


def draft(*, front: str = "", back: str = "", one: str = "", two: str = "", table: str = "") -> Draft:
    """Two subnets with a NIC in each, and the groups of one rule each that are wanted; the one of ``x`` is ``g-x``."""
    made = Draft()
    made.network("hub", "10.0.0.0/16", "fd00::/16", front="10.0.1.0/24,fd00:1::/64", back="10.0.2.0/24,fd00:2::/64")
    for name, rules in (("front", front), ("back", back), ("one", one), ("two", two)):
        if rules:
            made.group(f"g-{name}", *(rule for rule in rules.split(" / ") if rule != "defaults"))
    if table:
        made.table("rt", extra=table)
    made.guard("hub/front", group="g-front" if front else "", table="rt" if table else "")
    made.guard("hub/back", group="g-back" if back else "", table="rt" if table else "")
    made.nic("one", "hub/front", "10.0.1.4>203.0.113.1@web", "fd00:1::4", group="g-one" if one else "")
    made.nic("two", "hub/back", "10.0.2.4@db", "10.0.2.5@pod", "fd00:2::4@db", group="g-two" if two else "")
    return made


def outcome(trace: Trace) -> str:
    """The verdict, and the rule that dropped the packet with its group."""
    culprit = trace.culprit
    if culprit is None:
        return trace.verdict
    assert culprit.check is Check.SECURITY_RULE
    assert culprit.rule
    assert culprit.group
    assert culprit.remedy.count(culprit.group.name) == 1, "the remedy names the group to change"
    return f"{culprit.group.name} {culprit.rule.name.split('/')[1]}"


IN, OUTWARDS = "Inbound", "Outbound"

ROWS: list[tuple[str, dict[str, str], str, str]] = [
    ("no group at any level passes everything", {}, LOCAL, "Delivered"),
    ("the default rules pass what stays in the virtual network",
     {"one": "defaults", "two": "defaults"}, LOCAL, "Delivered"),
    ("so they do with IPv6", {"front": "defaults", "back": "defaults"}, LOCAL6, "Delivered"),
    ("the default rules pass what leaves to the internet", {"one": "defaults"}, OUT, "LeftToInternet"),
    ("the lower number wins, in whatever order rules are written",
     {"two": "300 Inbound Allow * * * * * / 200 Inbound Deny * * * * *"}, LOCAL, "g-two rule-200"),
    ("the first match ends the evaluation",
     {"two": "200 Inbound Allow * * * * * / 300 Inbound Deny * * * * *"}, LOCAL, "Delivered"),
    ("a rule of the other direction is not asked", {"two": "100 Outbound Deny * * * * *"}, LOCAL, "Delivered"),
    ("outbound, the NIC is asked before the subnet",
     {"one": "100 Outbound Deny * * * * *", "front": "100 Outbound Deny * * * * *"}, LOCAL, "g-one rule-100"),
    ("inbound, the subnet is asked before the NIC",
     {"two": "100 Inbound Deny * * * * *", "back": "100 Inbound Deny * * * * *"}, LOCAL, "g-back rule-100"),
    ("outbound, what the NIC allows the subnet may deny",
     {"one": "100 Outbound Allow * * * * *", "front": "100 Outbound Deny * * * * *"}, LOCAL, "g-front rule-100"),
    ("inbound, what the subnet allows the NIC may deny",
     {"back": "100 Inbound Allow * * * * *", "two": "100 Inbound Deny * * * * *"}, LOCAL, "g-two rule-100"),
    ("the sender's outbound rules come before the receiver's inbound rules",
     {"front": "100 Outbound Deny * * * * *", "back": "100 Inbound Deny * * * * *"}, LOCAL, "g-front rule-100"),
    ("traffic inside one subnet is filtered both ways",
     {"back": "100 Inbound Deny Tcp 10.0.2.5 * 10.0.2.4 80"}, "tcp 10.0.2.5 > 10.0.2.4 80", "g-back rule-100"),
    ("a rule of TCP is about TCP", {"two": "100 Inbound Deny Tcp * * * *"}, LOCAL, "g-two rule-100"),
    ("a rule of TCP is not about UDP",
     {"two": "100 Inbound Deny Tcp * * * *"}, "udp 10.0.1.4 > 10.0.2.4 80", "Delivered"),
    ("a rule of ICMP is about ICMP of both families, IPv4",
     {"two": "100 Inbound Deny Icmp * * * *"}, "icmp 10.0.1.4 > 10.0.2.4", "g-two rule-100"),
    ("a rule of ICMP is about ICMP of both families, IPv6",
     {"two": "100 Inbound Deny Icmp * * * *"}, "icmp fd00:1::4 > fd00:2::4", "g-two rule-100"),
    ("a rule of ICMP ignores its ports",
     {"two": "100 Inbound Deny Icmp * 7 * 9"}, "icmp 10.0.1.4 > 10.0.2.4", "g-two rule-100"),
    ("a rule of ESP is about ESP", {"two": "100 Inbound Deny Esp * * * *"}, "50 10.0.1.4 > 10.0.2.4", "g-two rule-100"),
    ("a rule of AH is about AH", {"two": "100 Inbound Deny Ah * * * *"}, "51 10.0.1.4 > 10.0.2.4", "g-two rule-100"),
    ("a rule of AH is not about ESP", {"two": "100 Inbound Deny Ah * * * *"}, "50 10.0.1.4 > 10.0.2.4", "Delivered"),
    ("a rule of every protocol is about SCTP too",
     {"two": "100 Inbound Deny * * * * *"}, "132 10.0.1.4 > 10.0.2.4", "g-two rule-100"),
    ("a rule of every protocol and some ports is about UDP",
     {"two": "100 Inbound Deny * * * * 53"}, "udp 10.0.1.4 > 10.0.2.4 53", "g-two rule-100"),
    ("a rule with ports is not about ICMP",
     {"two": "100 Inbound Deny * * * * 80"}, "icmp 10.0.1.4 > 10.0.2.4", "Delivered"),
    ("the first port of a range is in it", {"two": "100 Inbound Deny Tcp * * * 80-90"}, LOCAL, "g-two rule-100"),
    ("the last port of a range is in it", {"two": "100 Inbound Deny Tcp * * * 70-80"}, LOCAL, "g-two rule-100"),
    ("the port after a range is not", {"two": "100 Inbound Deny Tcp * * * 70-79"}, LOCAL, "Delivered"),
    ("one of several ports is enough", {"two": "100 Inbound Deny Tcp * * * 22,79-81,443"}, LOCAL, "g-two rule-100"),
    ("source ports are the sender's", {"two": "100 Inbound Deny Tcp * 40000 * *"}, LOCAL, "g-two rule-100"),
    ("and not the receiver's", {"two": "100 Inbound Deny Tcp * 80 * *"}, LOCAL, "Delivered"),
    ("one of several prefixes is enough",
     {"two": "100 Inbound Deny * 10.9.0.0/16,10.0.1.4 * * *"}, LOCAL, "g-two rule-100"),
    ("a prefix that does not hold the source does not match",
     {"two": "100 Inbound Deny * 10.9.0.0/16 * * *"}, LOCAL, "Delivered"),
    ("both sides must match", {"two": "100 Inbound Deny * 10.0.1.4 * 10.0.2.5 *"}, LOCAL, "Delivered"),
    ("a prefix of IPv4 is not about IPv6", {"two": "100 Inbound Deny * 0.0.0.0/0 * * *"}, LOCAL6, "Delivered"),
    ("a prefix of IPv6 is", {"two": "100 Inbound Deny * ::/0 * * *"}, LOCAL6, "g-two rule-100"),
    ("any source is of both families", {"two": "100 Inbound Deny * * * * *"}, LOCAL6, "g-two rule-100"),
    ("rules are of each address: one pod of a NIC",
     {"two": "100 Inbound Deny * * * 10.0.2.5 *"}, "tcp 10.0.1.4 > 10.0.2.5 80", "g-two rule-100"),
    ("and not of its neighbour", {"two": "100 Inbound Deny * * * 10.0.2.5 *"}, LOCAL, "Delivered"),
    ("VirtualNetwork is the address space",
     {"two": "100 Inbound Deny * VirtualNetwork * * *"}, LOCAL, "g-two rule-100"),
    ("of both families", {"two": "100 Inbound Deny * VirtualNetwork * * *"}, LOCAL6, "g-two rule-100"),
    ("VirtualNetwork is not the internet", {"one": "100 Outbound Deny * * * VirtualNetwork *"}, OUT, "LeftToInternet"),
    ("VirtualNetwork widens by user-defined routes",
     {"one": "100 Outbound Deny * * * VirtualNetwork *", "table": "198.51.100.0/24 internet"}, OUT, "g-one rule-100"),
    ("so a default route makes all addresses VirtualNetwork",
     {"one": "100 Outbound Deny * * * Internet *", "table": "0.0.0.0/0 internet"}, OUT, "LeftToInternet"),
    ("Internet is what VirtualNetwork is not", {"one": "100 Outbound Deny * * * Internet *"}, OUT, "g-one rule-100"),
    ("Internet is no address of the virtual network",
     {"one": "100 Outbound Deny * * * Internet *"}, LOCAL, "Delivered"),
    ("a service's tag is its prefixes",
     {"one": "100 Outbound Deny * * * Storage *"}, "tcp 10.0.1.4 > 20.60.1.1 443", "g-one rule-100"),
    ("with a region too",
     {"one": "100 Outbound Deny * * * Storage.WestEurope *"}, "tcp 10.0.1.4 > 20.60.1.1 443", "g-one rule-100"),
    ("and no others", {"one": "100 Outbound Deny * * * Sql *"}, "tcp 10.0.1.4 > 20.60.1.1 443", "LeftToInternet"),
    ("a service is of AzureCloud",
     {"one": "100 Outbound Deny * * * AzureCloud *"}, "tcp 10.0.1.4 > 20.60.1.1 443", "g-one rule-100"),
    ("AzureLoadBalancer is no NIC", {"two": "100 Inbound Deny * AzureLoadBalancer * * *"}, LOCAL, "Delivered"),
    ("a tag of the platform matches no packet between NICs",
     {"one": "100 Outbound Deny * * * AzurePlatformDNS *"}, LOCAL, "Delivered"),
    ("an application security group is its ip-configurations",
     {"two": "100 Inbound Deny * @web * @db *"}, LOCAL, "g-two rule-100"),
    ("not all of the NIC: a pod by its own address", {"two": "100 Inbound Deny * @web * @pod *"}, LOCAL, "Delivered"),
    ("one of several groups is enough", {"two": "100 Inbound Deny * @db,@web * * *"}, LOCAL, "g-two rule-100"),
    ("a group has members of both families", {"two": "100 Inbound Deny * * * @db *"}, LOCAL6, "g-two rule-100"),
    ("a group without members matches nothing", {"two": "100 Inbound Deny * @nobody * * *"}, LOCAL, "Delivered"),
]  # fmt: skip


@pytest.mark.parametrize(("groups", "packet", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_documented(groups: dict[str, str], packet: str, expected: str) -> None:
    made = draft(**groups)
    assert outcome(evaluate(made.intent, made.flow(packet))) == expected


def test_the_default_rules_deny_what_comes_from_no_address_of_the_virtual_network() -> None:
    """An appliance may send from any address; the receiver's group asks what it is."""
    made = draft(two="defaults")
    gate = made.nic("gate", "hub/front", "10.0.1.9", forwarding=True)
    trace = evaluate(made.intent, made.flow("tcp 198.51.100.7 > 10.0.2.4 80"), gate)
    assert outcome(trace) == "g-two DenyAllInBound"


def test_the_rules_that_decided_are_hops_in_order() -> None:
    made = draft(one="defaults", front="defaults", back="defaults", two="defaults")
    trace = evaluate(made.intent, made.flow(LOCAL))
    asked = [(hop.where.name, hop.group.name if hop.group else "") for hop in trace.hops if hop.rule]
    assert asked == [("one", "g-one"), ("front", "g-front"), ("back", "g-back"), ("two", "g-two")]
    assert all(hop.allowed and not hop.remedy for hop in trace.hops)


@pytest.mark.parametrize(
    ("rule", "remedy"),
    [
        (
            "300 Inbound Deny * * * * *",
            "Add a rule with a priority below 300 to security group g-two that allows",
        ),
        (
            "100 Inbound Deny * * * * *",
            "Change or remove securityRules/rule-100 of security group g-two, which has the first priority, to allow",
        ),
    ],
)
def test_the_remedy_is_a_rule_that_can_be_written(rule: str, remedy: str) -> None:
    made = draft(two=rule)
    culprit = evaluate(made.intent, made.flow(LOCAL)).culprit
    assert culprit
    assert culprit.remedy == f"{remedy} inbound TCP from 10.0.1.4 to 10.0.2.4, port 80."


@pytest.mark.parametrize(
    ("rule", "packet", "expected"),
    [
        ("100 Outbound Deny * * * * *", "tcp 10.0.1.4 > 169.254.169.254 80", "AnsweredByPlatform"),
        ("100 Outbound Deny * * * * *", "tcp 10.0.1.4 > 168.63.129.16 80", "AnsweredByPlatform"),
        ("100 Outbound Deny * * * AzurePlatformIMDS *", "tcp 10.0.1.4 > 169.254.169.254 80", "g-one rule-100"),
        ("100 Outbound Deny * * * AzurePlatformIMDS *", "tcp 10.0.1.4 > 168.63.129.16 80", "AnsweredByPlatform"),
        ("100 Outbound Deny * * * AzurePlatformDNS *", "udp 10.0.1.4 > 168.63.129.16 53", "g-one rule-100"),
        ("100 Outbound Deny * * * AzurePlatformDNS *", "tcp 10.0.1.4 > 168.63.129.16 80", "AnsweredByPlatform"),
        ("100 Outbound Deny * 10.0.9.9 * AzurePlatformIMDS *", "tcp 10.0.1.4 > 169.254.169.254 80",
         "AnsweredByPlatform"),
        ("100 Outbound Deny * * * AzurePlatformLKM *", "tcp 10.0.1.4 > 169.254.169.254 80", "AnsweredByPlatform"),
    ],
)  # fmt: skip
def test_the_platform_is_kept_away_by_its_own_tags_only(rule: str, packet: str, expected: str) -> None:
    made = draft(one=rule)
    assert outcome(evaluate(made.intent, made.flow(packet))) == expected


def test_a_subnet_keeps_the_platform_away_too() -> None:
    made = draft(front="100 Outbound Deny * * * AzurePlatformIMDS *")
    culprit = evaluate(made.intent, made.flow("tcp 10.0.1.4 > 169.254.169.254 80")).culprit
    assert culprit
    assert culprit.where.name == "front"
    assert culprit.remedy == (
        "Remove securityRules/rule-100 of security group g-front: only it keeps AzurePlatformIMDS away."
    )
