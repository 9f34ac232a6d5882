"""The first line of a trace names the culprit, of mistakes with load balancers, public addresses and ways out."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from podvnet.fabric.hop_counters import HopCounters
from podvnet.fabric.trace import trace_of
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.load_balancer import LoadBalancer
from podvnet.plan import names
from podvnet.plan.evaluate import Evaluator
from podvnet.testing.balancing_draft import BalancingDraft
from podvnet.testing.draft import network_id

WORLDS = 4
OUTSIDE, FAR = "198.51.100.7", "198.51.100.9"
Mistake = Callable[[BalancingDraft, random.Random], str]
Question = tuple[str, str, str, int]
INTERNAL: Question = ("client", "10.0.1.100", "tcp", 80)
PUBLIC: Question = (OUTSIDE, "203.0.113.10", "tcp", 80)
OUT: Question = ("m0", FAR, "tcp", 443)
ADDRESS: Question = (OUTSIDE, "203.0.113.20", "tcp", 22)


def healthy() -> BalancingDraft:
    """Two members behind an internal and a public load balancer, a client, and a server with a public address."""
    made = BalancingDraft()
    made.network("hub", "10.0.0.0/16", front="10.0.1.0/24", back="10.0.2.0/24")
    made.group("back", "100 Inbound Allow * * * * *")
    made.guard("hub/back", group="back")
    made.public("pip", "203.0.113.10/32")
    made.public("own", "203.0.113.20/32")
    made.nic("client", "hub/front", "10.0.1.4")
    made.nic("server", "hub/back", "10.0.2.20")
    made.own("server", "own")
    made.balancer("inner", "hub/front 10.0.1.100", rules={"web": "Tcp 80>8080 probe"})
    made.balancer("outer", "pip", rules={"web": "Tcp 80>8080 probe"}, outbound={"out": "Tcp f0"})
    for number in range(2):
        made.nic(f"m{number}", "hub/back", f"10.0.2.{4 + number}")
        for name in ("inner", "outer"):
            made.join(f"m{number}", name)
    for name in ("inner", "outer"):
        made.healthy(name, "10.0.2.4", "10.0.2.5")
    return made


def change(made: BalancingDraft, name: str, how: Callable[[LoadBalancer], LoadBalancer]) -> None:
    key = network_id("loadBalancers", name).key
    made.intent.load_balancers[key] = how(made.intent.load_balancers[key])


def no_rule(made: BalancingDraft, dice: random.Random, name: str) -> str:
    port = dice.choice([81, 443, 8080])

    def moved(found: LoadBalancer) -> LoadBalancer:
        return replace(found, rules=tuple(replace(each, frontend_port=port) for each in found.rules))

    change(made, name, moved)
    return f"dropped at frontend {name}/f0: no rule is about TCP port 80"


def no_rule_inside(made: BalancingDraft, dice: random.Random) -> str:
    return no_rule(made, dice, "inner")


def no_rule_outside(made: BalancingDraft, dice: random.Random) -> str:
    return no_rule(made, dice, "outer")


def sick(made: BalancingDraft, dice: random.Random, name: str) -> str:
    made.healthy(name)
    return f"dropped at backend pool {name}/pool: no member is healthy: none answers probe {name}/probe (Tcp port 8080)"


def sick_inside(made: BalancingDraft, dice: random.Random) -> str:
    return sick(made, dice, "inner")


def sick_outside(made: BalancingDraft, dice: random.Random) -> str:
    return sick(made, dice, "outer")


def empty(made: BalancingDraft, dice: random.Random) -> str:
    for name in ("m0", "m1"):
        key = network_id("networkInterfaces", name).key
        nic = made.intent.nics[key]
        made.intent.nics[key] = replace(nic, ip_configurations=(replace(nic.ip_configurations[0], pools=()),))
    return "dropped at backend pool inner/pool: has no member with an IPv4 address on a VM that runs"


def closed(made: BalancingDraft, dice: random.Random) -> str:
    """No group: what comes from the internet is dropped by default."""
    key = network_id("virtualNetworks", "hub").key
    network = made.intent.virtual_networks[key]
    subnets = tuple(replace(each, security_group=None) for each in network.subnets)
    made.intent.virtual_networks[key] = replace(network, subnets=subnets)
    return "neither it nor subnet hub/back has a security group"


def denied(made: BalancingDraft, dice: random.Random) -> str:
    priority = dice.randrange(101, 400)
    made.group("back", f"{priority} Inbound Deny * Internet * * *", f"{priority + 1} Inbound Allow * * * * *")
    return f"dropped by inbound securityRules/rule-{priority} of back"


def hairpin(made: BalancingDraft, dice: random.Random) -> str:
    """The client itself is the only member that is healthy."""
    made.intent.load_balancers.pop(network_id("loadBalancers", "outer").key)
    made.join("client", "inner")
    made.healthy("inner", "10.0.1.4")
    return "dropped at NIC client: the load balancer leads 10.0.1.4 back to itself"


def no_outbound(made: BalancingDraft, dice: random.Random) -> str:
    """The members' load balancer has no outbound rule, and that they are its members ends default outbound access."""
    key = network_id("networkInterfaces", "m0").key
    nic = made.intent.nics[key]
    config = replace(nic.ip_configurations[0], outbound=made.flow(f"tcp {FAR} > {FAR} 1").source)
    made.intent.nics[key] = replace(nic, ip_configurations=(config,))
    change(made, "outer", lambda found: replace(found, outbound_rules=()))
    return "so it has no default outbound access, and no outbound rule is about its TCP"


def no_ports(made: BalancingDraft, dice: random.Random) -> str:
    """The first member takes all there are."""
    size = dice.choice([64_000, 40_000, 32_008])

    def greedy(found: LoadBalancer) -> LoadBalancer:
        return replace(found, outbound_rules=tuple(replace(each, ports=size) for each in found.outbound_rules))

    change(made, "outer", greedy)
    made.nic("before", "hub/back", "10.0.2.3")
    for name in ("before", "m1"):
        made.join(name, "outer")
    return "outbound rule outer/out has no ports left for it"


def only_sends(made: BalancingDraft, dice: random.Random) -> str:
    """The public address was given to a NAT gateway."""
    key = network_id("networkInterfaces", "server").key
    nic = made.intent.nics[key]
    made.intent.nics[key] = replace(nic, ip_configurations=(replace(nic.ip_configurations[0], public=None),))
    made.gateway("gw", "hub/back", "own")
    return "dropped at NAT gateway gw: 203.0.113.20 is there to send from alone"


def switched_off(made: BalancingDraft, dice: random.Random) -> str:
    found = next(each for each in made.intent.machines.values() if each.id.name == "server-vm")
    made.intent.machines[found.id.key] = replace(found, running=False)
    return "NIC server, which has 10.0.2.20, is on no VM that runs"


MISTAKES: list[tuple[Mistake, Question]] = [
    (no_rule_inside, INTERNAL), (no_rule_outside, PUBLIC), (sick_inside, INTERNAL), (sick_outside, PUBLIC),
    (empty, INTERNAL), (closed, PUBLIC), (closed, ADDRESS), (denied, PUBLIC), (denied, ADDRESS), (hairpin, INTERNAL),
    (no_outbound, OUT), (no_ports, OUT), (only_sends, ADDRESS), (switched_off, ADDRESS),
]  # fmt: skip


def ask(made: BalancingDraft, question: Question, counters: dict[str, int] | None = None) -> dict[str, Any]:
    evaluator = Evaluator(made.intent)
    label = names.network_namespace(network_id("virtualNetworks", "hub"))
    known = HopCounters(evaluator, lambda where: (counters or {}) if where == label else {}, lambda *_: {})
    source, destination, protocol, port = question
    return trace_of(evaluator, known, source=source, destination=destination, protocol=protocol, port=port)


@pytest.mark.parametrize(
    ("question", "summary"),
    [
        (INTERNAL, r"delivered to NIC m\d as TCP from 10.0.1.4 to 10.0.2.\d, port 8080"),
        (PUBLIC, r"delivered to NIC m\d as TCP from 198.51.100.7 to 10.0.2.\d, port 8080"),
        (OUT, "leaves to the internet as 203.0.113.10, ports 1024 to 2047"),
        (ADDRESS, "delivered to NIC server as TCP from 198.51.100.7 to 10.0.2.20, port 22"),
        ((OUTSIDE, "server", "udp", 53), "delivered to NIC server as UDP from 198.51.100.7 to 10.0.2.20, port 53"),
        (("server", FAR, "icmp", 0), "leaves to the internet as 203.0.113.20"),
        (
            ("server", "203.0.113.10", "tcp", 80),
            r"delivered to NIC m\d as TCP from 203.0.113.20 to 10.0.2.\d, port 8080",
        ),
    ],
)
def test_without_a_mistake_the_packet_arrives(question: Question, summary: str) -> None:
    found = ask(healthy(), question)
    assert found["remedy"] == ""
    assert re.fullmatch(summary, found["summary"])


@pytest.mark.parametrize("seed", range(WORLDS))
@pytest.mark.parametrize(("mistake", "question"), MISTAKES, ids=lambda each: getattr(each, "__name__", str(each)))
def test_the_first_line_names_the_culprit(mistake: Mistake, question: Question, seed: int) -> None:
    made = healthy()
    culprit = mistake(made, random.Random(seed))
    found = ask(made, question)
    assert culprit in found["summary"]
    assert found["verdict"] == "Dropped"
    assert found["remedy"].endswith(".")


def test_every_packet_has_its_translation_in_the_document() -> None:
    found = ask(healthy(), OUT)
    assert (found["outbound"], found["egress"], found["outboundPorts"]) == (
        "203.0.113.10",
        "OutboundRule",
        [1024, 2047],
    )
    assert found["arrival"] == {
        "source": "203.0.113.10", "sourcePort": 1024, "destination": FAR, "destinationPort": 443,
    }  # fmt: skip
    inside = ask(healthy(), INTERNAL)
    assert (inside["outbound"], inside["egress"], inside["outboundPorts"]) == ("", "", [])
    assert inside["arrival"]["destinationPort"] == 8080
    assert inside["destinationPort"] == 80


def test_drops_have_the_counters_of_the_virtual_network() -> None:
    counted = {
        "no_frontend_rule": 1,
        "uninvited": 2,
        "no_backend": 3,
        "closed": 4,
        "no_outbound": 5,
        "nat_unsupported": 6,
    }
    made = healthy()
    dropping: list[tuple[Mistake, Question, int]] = [
        (no_rule_inside, INTERNAL, 1), (no_rule_outside, PUBLIC, 2), (sick_inside, INTERNAL, 3), (closed, PUBLIC, 4),
        (no_outbound, OUT, 5), (only_sends, ADDRESS, 2), (only_sends, ("server", FAR, "icmp", 0), 6),
    ]  # fmt: skip
    for mistake, question, count in dropping:
        made = healthy()
        mistake(made, random.Random(0))
        assert ask(made, question, counted)["hops"][-1]["counter"] == count


def test_the_internet_has_no_way_to_what_has_no_public_address() -> None:
    with pytest.raises(ArmErrorsError, match="NIC client has no IPv4 public address that the internet could send to"):
        ask(healthy(), (OUTSIDE, "client", "tcp", 80))
    with pytest.raises(ArmErrorsError, match=f"no NIC has the address {OUTSIDE}"):
        ask(healthy(), (OUTSIDE, "203.0.113.77", "tcp", 80))


def test_parts_of_a_load_balancer_are_called_by_both_names() -> None:
    found = ask(healthy(), INTERNAL)
    assert [hop["place"] for hop in found["hops"] if hop["check"] in {"Frontend", "Backend"}] == [
        "load balancing rule inner/web",
        "backend pool inner/pool",
    ]
