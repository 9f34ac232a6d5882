"""Security rules as nftables text, member by member."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from podvnet.model.resource_id import Scope, make
from podvnet.model.security import Direction, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.plan.security_program import asked_groups, compile_group, members_set

HERE = (ip_network("10.1.0.0/16"), ip_network("fd00:1::/48"))
EVERYTHING = (ip_network("0.0.0.0/0"),)
WEB = make(Scope(), "Microsoft.Network/applicationSecurityGroups", "web")
SET4, SET6 = members_set(WEB, 4), members_set(WEB, 6)
RULE = SecurityRule("securityRules/r", 100, Direction.INBOUND, True, Protocol.ANY, Side(), Side())


def group(*rules: SecurityRule) -> SecurityGroup:
    return SecurityGroup(make(Scope(), "Microsoft.Network/networkSecurityGroups", "guard"), rules)


def lines(rule: SecurityRule, virtual_network: tuple[object, ...] = HERE) -> list[str]:
    text = compile_group(group(rule), virtual_network).inbound.text  # type: ignore[arg-type]
    return [line.strip().removesuffix(' counter return comment "securityRules/r"') for line in text.splitlines()]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Side(), ['counter return comment "securityRules/r"']),
        (Side((ip_network("10.0.0.4/32"),)), ["ip saddr { 10.0.0.4/32 }"]),
        (Side((ip_network("10.0.1.0/24"), ip_network("10.0.0.0/24"))), ["ip saddr { 10.0.0.0/23 }"]),
        (Side((ip_network("10.0.0.0/8"), ip_network("10.9.0.0/16"))), ["ip saddr { 10.0.0.0/8 }"]),
        (Side((ip_network("fd00::/8"),)), ["ip6 saddr { fd00::/8 }"]),
        (Side((ip_network("0.0.0.0/0"),)), ["meta nfproto ipv4"]),
        (Side((ip_network("::/0"),)), ["meta nfproto ipv6"]),
        (Side(tag="VirtualNetwork"), ["ip saddr { 10.1.0.0/16 }", "ip6 saddr { fd00:1::/48 }"]),
        (Side(tag="Internet"), ["ip saddr != { 10.1.0.0/16 }", "ip6 saddr != { fd00:1::/48 }"]),
        (
            Side(tag="AzureLoadBalancer"),
            ["ip saddr { 168.63.129.16/32 }", "ip6 saddr { fe80::1234:5678:9abc/128 }"],
        ),
        (Side(groups=(WEB,)), [f"ip saddr @{SET4}", f"ip6 saddr @{SET6}"]),
        (Side(tag="AzureSentinel"), []),
    ],
)
def test_sources(source: Side, expected: list[str]) -> None:
    assert lines(replace(RULE, source=source)) == expected


def test_a_destination_is_matched_as_such() -> None:
    assert lines(replace(RULE, destination=Side((ip_network("10.0.0.0/8"),)))) == ["ip daddr { 10.0.0.0/8 }"]


def test_where_the_virtual_network_is_everything_the_internet_is_nothing_of_that_family() -> None:
    internet = replace(RULE, source=Side(tag="Internet"))
    assert lines(internet, EVERYTHING) == ["meta nfproto ipv6"]
    assert lines(replace(RULE, source=Side(tag="VirtualNetwork")), EVERYTHING) == ["meta nfproto ipv4"]


def test_sides_of_two_families_never_meet() -> None:
    four, six = Side((ip_network("10.0.0.0/8"),)), Side((ip_network("fd00::/8"),))
    assert lines(replace(RULE, source=four, destination=six)) == []
    assert lines(replace(RULE, source=Side(tag="VirtualNetwork"), destination=six)) == [
        "ip6 saddr { fd00:1::/48 } ip6 daddr { fd00::/8 }"
    ]


@pytest.mark.parametrize(
    ("protocol", "source", "destination", "expected"),
    [
        (Protocol.TCP, Side(), Side(), "meta l4proto tcp"),
        (Protocol.UDP, Side(), Side(ports=((53, 53),)), "meta l4proto udp th dport { 53 }"),
        (Protocol.TCP, Side(ports=((1, 9),)), Side(ports=((80, 80), (8000, 8999))),
         "meta l4proto tcp th sport { 1-9 } th dport { 80, 8000-8999 }"),
        (Protocol.ANY, Side(), Side(ports=((80, 80),)), "meta l4proto { tcp, udp } th dport { 80 }"),
        (Protocol.ICMP, Side(), Side(ports=((80, 80),)), "meta l4proto { 1, 58 }"),
        (Protocol.ESP, Side(), Side(), "meta l4proto { 50 }"),
        (Protocol.AH, Side(), Side(), "meta l4proto { 51 }"),
    ],
)  # fmt: skip
def test_protocols_and_ports(protocol: Protocol, source: Side, destination: Side, expected: str) -> None:
    assert lines(replace(RULE, protocol=protocol, source=source, destination=destination)) == [expected]


def test_what_denies_drops_and_says_which_rule_it_is() -> None:
    text = compile_group(group(replace(RULE, allow=False)), HERE).inbound.text
    assert text.strip() == 'counter drop comment "securityRules/r"'


def test_each_direction_has_its_own_rules() -> None:
    chains = compile_group(group(RULE, replace(RULE, name="securityRules/o", direction=Direction.OUTBOUND)), HERE)
    assert "securityRules/r" in chains.inbound.text
    assert "securityRules/o" not in chains.inbound.text
    assert "securityRules/o" in chains.outbound.text
    assert chains.platform is None


def test_only_denials_of_the_platform_reach_the_platform() -> None:
    denial = SecurityRule(
        "securityRules/p",
        100,
        Direction.OUTBOUND,
        False,
        Protocol.ANY,
        Side(),
        Side(tag="AzurePlatformIMDS"),
    )
    everything = replace(denial, name="securityRules/all", destination=Side())
    chains = compile_group(group(denial, everything), HERE)
    assert chains.platform is not None
    assert chains.platform.text.strip() == 'ip daddr 169.254.169.254 counter drop comment "securityRules/p"'


def test_a_denial_of_the_platform_is_about_its_own_sources_and_ports_only() -> None:
    narrow = SecurityRule(
        "securityRules/p",
        100,
        Direction.OUTBOUND,
        False,
        Protocol.TCP,
        Side(prefixes=(ip_network("10.0.0.4/32"),)),
        Side(tag="AzurePlatformIMDS", ports=((80, 80),)),
    )
    chains = compile_group(group(narrow), HERE)
    assert chains.platform is not None
    assert chains.platform.text.strip() == (
        "ip saddr { 10.0.0.4/32 } ip daddr 169.254.169.254 meta l4proto tcp th dport { 80 }"
        ' counter drop comment "securityRules/p"'
    )
    assert "securityRules/p" not in chains.outbound.text


def test_another_text_is_another_chain_and_the_same_text_the_same() -> None:
    one = compile_group(group(RULE), HERE)
    assert one == compile_group(group(RULE), HERE)
    assert one.inbound.name != compile_group(group(replace(RULE, allow=False)), HERE).inbound.name
    assert one.inbound.name != one.outbound.name


def test_the_groups_that_rules_ask() -> None:
    assert asked_groups(group(replace(RULE, destination=Side(groups=(WEB,))))) == {WEB}
    assert not asked_groups(group(RULE))
