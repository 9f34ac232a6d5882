"""The first line of a trace names the culprit: fifty mistakes of the kinds that people make, each the only one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from podvnet.fabric.hop_counters import HopCounters
from podvnet.fabric.trace import trace_of
from podvnet.model.arm_error import ArmErrorsError
from podvnet.plan.evaluate import Evaluator
from podvnet.testing.draft import Draft, network_id

WORLDS = 5
Mistake = Callable[[Draft, random.Random], str]


def healthy() -> Draft:
    """Spokes a and b that reach each other by the appliance of a hub, with groups on subnets and NICs that allow it."""
    made = Draft()
    made.network("hub", "10.0.0.0/16", edge="10.0.9.0/24")
    made.network("a", "10.1.0.0/16", s="10.1.1.0/24")
    made.network("b", "10.2.0.0/16", s="10.2.1.0/24")
    for spoke in ("a", "b"):
        made.peer("hub", spoke, forwarded=True)
        made.peer(spoke, "hub", forwarded=True)
        made.table(f"routes-{spoke}", across="10.0.0.0/8 10.0.9.4")
        made.group(f"subnet-{spoke}", "400 Inbound Allow * 10.0.0.0/8 * * *", "400 Outbound Allow * * * 10.0.0.0/8 *")
        made.group(f"nic-{spoke}", "400 Inbound Allow * 10.0.0.0/8 * * *", "400 Outbound Allow * * * 10.0.0.0/8 *")
        made.guard(f"{spoke}/s", group=f"subnet-{spoke}", table=f"routes-{spoke}")
    made.nic("from", "a/s", "10.1.1.4>203.0.113.1", "10.1.1.5", group="nic-a")
    made.nic("to", "b/s", "10.2.1.4>203.0.113.2", group="nic-b")
    made.nic("gate", "hub/edge", "10.0.9.4>203.0.113.3", forwarding=True)
    return made


def denying_rule(made: Draft, dice: random.Random) -> str:
    place, direction = dice.choice([("subnet-a", "Outbound"), ("nic-a", "Outbound"), ("subnet-b", "Inbound"),
                                    ("nic-b", "Inbound")])  # fmt: skip
    sides = dice.choice(["* * * *", "* * * 443", "10.1.0.0/16 * * *", "* * 10.2.1.4 400-500"])
    priority = dice.randrange(101, 399)
    allow = f"400 {direction} Allow * * * * *"
    made.group(place, f"{priority} {direction} Deny Tcp {sides}", allow)
    return f"securityRules/rule-{priority} of {place}"


def forgotten_rule(made: Draft, dice: random.Random) -> str:
    """The other spoke is no part of the tag VirtualNetwork, unless a rule allows it; the port allowed is another."""
    place = dice.choice(["subnet-b", "nic-b"])
    made.group(place, f"400 Inbound Allow Tcp * * * {dice.randrange(1, 400)}", "450 Inbound Deny * * * * *")
    return f"securityRules/rule-450 of {place}"


def black_hole(made: Draft, dice: random.Random) -> str:
    length = dice.choice(["10.2.0.0/16", "10.2.1.0/24", "10.2.1.4/32"])
    made.table("routes-a", across="10.0.0.0/8 10.0.9.4", hole=f"{length} {dice.choice(['none', 'gateway'])}")
    return "route hole of routes-a"


def missing_forwarding(made: Draft, dice: random.Random) -> str:
    made.intent.nics[network_id("networkInterfaces", "gate").key] = replace(
        made.intent.nics[network_id("networkInterfaces", "gate").key], ip_forwarding=False
    )
    return "NIC gate: the appliance's NIC has no IP forwarding"


def wrong_appliance(made: Draft, dice: random.Random) -> str:
    address = dice.choice(["10.0.9.5", "10.0.9.44", "10.9.9.4", "10.2.9.4"])
    made.table("routes-a", across=f"10.0.0.0/8 {address}")
    return f"route across of route table routes-a leads to {address}"


def closed_peering(made: Draft, dice: random.Random) -> str:
    here, there = dice.choice([("hub", "a"), ("a", "hub"), ("hub", "b"), ("b", "hub")])
    _change_peering(made, here, there, access=False)
    return f"peering {here}/to-{there}: allowVirtualNetworkAccess is false"


def unforwarded_peering(made: Draft, dice: random.Random) -> str:
    _change_peering(made, "b", "hub", forwarded=False)
    return "peering b/to-hub: allowForwardedTraffic is false"


def missing_peering(made: Draft, dice: random.Random) -> str:
    """The spokes are taken to be joined because the hub is peered with both."""
    made.table("routes-a", unused="192.0.2.0/24 none")
    return "virtual network b, which has 10.2.1.4, is not peered with a"


def stopped(made: Draft, dice: random.Random) -> str:
    name = dice.choice(["from", "to", "gate"])
    key = f"/{name}-vm"
    found = next(machine for machine in made.intent.machines.values() if machine.id.key.endswith(key))
    made.intent.machines[found.id.key] = replace(found, running=False)
    return f"NIC {name}"


def loop(made: Draft, dice: random.Random) -> str:
    made.table("routes-hub", back=f"{dice.choice(['10.2.0.0/16', '10.2.1.0/24', '10.2.1.4/32'])} 10.0.9.4")
    made.guard("hub/edge", table="routes-hub")
    return "route back of route table routes-hub leads it back"


def _change_peering(made: Draft, here: str, there: str, **flags: bool) -> None:
    key = network_id("virtualNetworks", here).key
    network = made.intent.virtual_networks[key]
    made.intent.virtual_networks[key] = replace(
        network,
        peerings=tuple(
            replace(each, access=flags.get("access", each.access), forwarded=flags.get("forwarded", each.forwarded))
            if each.remote.name == there
            else each
            for each in network.peerings
        ),
    )


MISTAKES: tuple[Mistake, ...] = (
    denying_rule, forgotten_rule, black_hole, missing_forwarding, wrong_appliance, closed_peering,
    unforwarded_peering, missing_peering, stopped, loop,
)  # fmt: skip


def ask(made: Draft, source: str = "from", destination: str = "to") -> dict[str, Any]:
    evaluator = Evaluator(made.intent)
    counters = HopCounters(evaluator, lambda _: {}, lambda *_: {})
    return trace_of(evaluator, counters, source=source, destination=destination, protocol="tcp", port=443)


def test_without_a_mistake_the_packet_arrives() -> None:
    assert ask(healthy())["summary"] == "delivered to NIC to"


@pytest.mark.parametrize("seed", range(WORLDS))
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_the_first_line_names_the_culprit(mistake: Mistake, seed: int) -> None:
    made = healthy()
    culprit = mistake(made, random.Random(seed))
    found = ask(made)
    assert culprit in found["summary"]
    assert found["verdict"] == "Dropped"
    assert found["remedy"]


def test_there_are_fifty() -> None:
    assert len(MISTAKES) * WORLDS == 50


@pytest.mark.parametrize(
    ("source", "destination", "summary"),
    [
        (
            "from",
            "168.63.129.16",
            "dropped at virtual network a: the platform serves TCP 53, 80, 32526 and UDP 53 at 168.63.129.16",
        ),
        ("from@10.1.1.5", "198.51.100.7", "dropped at NIC from: 10.1.1.5 has no public address to leave with"),
        ("from", "198.51.100.7", "leaves to the internet as 203.0.113.1"),
        ("10.1.1.4", "to-vm", "delivered to NIC to"),
        ("from-vm", "10.2.1.4", "delivered to NIC to"),
        (str(network_id("networkInterfaces", "FROM")), "to", "delivered to NIC to"),
    ],
)
def test_who_is_meant(source: str, destination: str, summary: str) -> None:
    made = healthy()
    made.group("nic-a", "400 Outbound Allow * * * * *")
    made.group("subnet-a", "400 Outbound Allow * * * * *")
    assert ask(made, source, destination)["summary"] == summary


def test_a_name_that_several_have_is_not_guessed() -> None:
    made = healthy()
    found = made.intent.nics[network_id("networkInterfaces", "from").key]
    twin = replace(found, id=replace(found.id, resource_group="other"))
    made.intent.nics[twin.id.key] = twin
    with pytest.raises(ArmErrorsError, match="AmbiguousName: several are named 'from'; give the id of one: "):
        ask(made)
