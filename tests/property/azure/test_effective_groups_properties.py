"""The fabric shows the rules that hold at a NIC, the agent reads them: what they mean must come through."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from podvnet.azure.effective_groups import read_groups
from podvnet.fabric.api.effective import effective_groups
from podvnet.model.security import Direction
from podvnet.plan.evaluate import Evaluator
from podvnet.plan.security_evaluation import deciding_rule, groups_of
from podvnet.testing.draft import Draft

SIDES = (
    "*", "0.0.0.0/0", "::/0", "10.0.0.0/16", "10.0.1.4/32,10.0.1.5/32", "fd00:1::4/128", "VirtualNetwork", "Internet",
    "Storage", "20.60.0.0/24,Storage", "10.9.0.0/16,AzureSentinel", "AzureSentinel", "@web", "@web,@db", "@nobody",
)  # fmt: skip
PORTS = ("*", "80", "22,80-90", "0-65535")
ADDRESSES = {
    4: ("10.0.1.4", "10.0.1.5", "10.0.9.9", "10.9.0.1", "20.60.0.10", "198.51.100.7"),
    6: ("fd00:1::4", "fd00:9::9", "2001:db8::1"),
}
FLOWS = [
    Draft.flow(f"{protocol} {source} > {destination} {port}".rstrip())
    for addresses in ADDRESSES.values()
    for source, destination in itertools.product(addresses, repeat=2)
    for protocol, port in (("tcp", "80"), ("tcp", "443"), ("udp", "85"), ("icmp", ""), ("50", ""))
]


@st.composite
def rules(draw: st.DrawFn) -> list[str]:
    """Rules of a draft, each with a priority of its own."""
    return [
        " ".join(
            (
                str(priority),
                draw(st.sampled_from(("Inbound", "Outbound"))),
                draw(st.sampled_from(("Allow", "Deny"))),
                draw(st.sampled_from(("*", "Tcp", "Udp", "Icmp", "Esp"))),
                draw(st.sampled_from(SIDES)),
                draw(st.sampled_from(PORTS[:2])),
                draw(st.sampled_from(SIDES)),
                draw(st.sampled_from(PORTS)),
            )
        )
        for priority in range(100, 100 + draw(st.integers(0, 4)))
    ]


@given(own=rules(), shared=rules())
def test_the_rules_that_are_shown_decide_as_the_rules_that_hold(own: list[str], shared: list[str]) -> None:
    draft = Draft()
    draft.network("hub", "10.0.0.0/16", "fd00::/16", front="10.0.1.0/24,fd00:1::/64")
    draft.group("own", *own)
    draft.group("shared", *shared)
    draft.guard("hub/front", group="shared")
    nic = draft.nic("one", "hub/front", "10.0.1.4@web", "10.0.1.5@db", "fd00:1::4@web", group="own")
    evaluator = Evaluator(draft.intent)
    read = read_groups(json.loads(json.dumps(effective_groups(evaluator, nic))), "the fabric")
    topology = evaluator.topology
    vantage = topology.vantage(nic)
    assert read.virtual_network == vantage.virtual_network
    for direction in Direction:
        for (where, group), heard in zip(
            groups_of(topology, nic, direction),
            (read.nic, read.subnet) if direction is Direction.OUTBOUND else (read.subnet, read.nic),
            strict=True,
        ):
            assert heard is not None
            assert heard.id == group.id
            for flow in FLOWS:
                held = deciding_rule(topology, vantage, group, direction, flow)
                shown = deciding_rule(topology, vantage, heard, direction, flow)
                assert (shown.name, shown.allow) == (held.name, held.allow), f"{where.name}: {flow}"
