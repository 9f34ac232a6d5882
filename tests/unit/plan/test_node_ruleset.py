"""Whose packets a VM translates, as text for the kernel."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from podvnet.model.address import Mac
from podvnet.model.attachment import Node
from podvnet.plan.node_ruleset import node_ruleset, public_elements

NODE = Node("eth0", 2, Mac("00:0d:3a:00:00:01"), (IPv4Address("10.1.0.4"),), (IPv4Network("10.1.0.0/24"),), mtu=1500)


def test_pods_with_public_addresses_of_their_own_are_let_go_before_others_are_translated() -> None:
    text = node_ruleset(NODE, "azure0", pods_may_ask_platform=False).text
    chain = text[text.index("chain translate") :].splitlines()[2:5]
    assert [line.strip() for line in chain if "ct status dnat" not in line] == [
        "ip saddr @public4 return",
        'ip saddr @pods4 ip daddr != @network4 oifname { "eth0", "azure0" } snat ip to 10.1.0.4',
    ]


def test_the_set_of_those_pods_holds_what_it_is_told_and_nothing_else() -> None:
    assert public_elements(()) == "flush set inet podvnet public4\n"
    assert public_elements([IPv4Address("10.1.0.9"), IPv4Address("10.1.0.8")]) == (
        "flush set inet podvnet public4\nadd element inet podvnet public4 { 10.1.0.8, 10.1.0.9 }\n"
    )
