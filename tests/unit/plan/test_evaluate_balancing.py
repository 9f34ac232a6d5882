"""Load balancers and public addresses, by Azure's documents: who gets a packet, and how it looks then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from podvnet.model.flow import PORTED, Flow
from podvnet.model.flow_hash import member_index
from podvnet.model.load_balancer import LoadBalancer
from podvnet.model.verdict import Egress, Trace, Verdict
from podvnet.plan.evaluate import Evaluator, SenderError, evaluate
from podvnet.testing.balancing_draft import BalancingDraft
from podvnet.testing.draft import network_id

INNER = "hub/front 10.0.1.100"
MEMBERS = ("10.0.2.4", "10.0.2.5", "10.0.2.6")
OPEN = "100 Inbound Allow * * * * *"


def draft(*frontends: str, members: int = 3, group: bool = True, rules: dict[str, str] | None = None) -> BalancingDraft:
    """A client and so many members behind a load balancer; ``rules`` are load balancing rules by name."""
    made = BalancingDraft()
    made.network(
        "hub", "10.0.0.0/16", "fd00::/48", front="10.0.1.0/24,fd00:0:0:1::/64", back="10.0.2.0/24,fd00:0:0:2::/64",
    )  # fmt: skip
    made.public("pip", "203.0.113.10/32")
    made.public("pip6", "2001:db8::10/128")
    made.group("open", OPEN)
    if group:
        made.guard("hub/back", group="open")
    made.nic("client", "hub/front", "10.0.1.4>203.0.113.1", "fd00:0:0:1::4")
    made.balancer("lb", *(frontends or (INNER,)), rules=rules or {"web": "Tcp 80>8080"})
    for number, address in enumerate(MEMBERS[:members]):
        made.nic(f"m{number}", "hub/back", address, f"fd00:0:0:2::{4 + number}")
        made.join(f"m{number}", "lb")
        made.join(f"m{number}", "lb", 1)
    return made


def changed(made: BalancingDraft, change: Callable[[LoadBalancer], LoadBalancer]) -> None:
    key = network_id("loadBalancers", "lb").key
    made.intent.load_balancers[key] = change(made.intent.load_balancers[key])


def seen(trace: Trace) -> str:
    """What the receiver gets, and who it is; or what dropped the packet and where."""
    if trace.culprit:
        assert trace.culprit.remedy.endswith(".")
        return f"{trace.culprit.check} {trace.culprit.where.name}"
    assert trace.verdict is Verdict.DELIVERED, trace
    flow = trace.arrival
    return f"{flow.source} > {flow.destination} {flow.destination_port} at {trace.nics[-1].name}"


def ask(made: BalancingDraft, text: str) -> str:
    return seen(evaluate(made.intent, made.flow(text)))


ONE: list[tuple[str, tuple[str, ...], dict[str, str], str, str]] = [
    ("a rule leads to the backend port",
     (INNER,), {"web": "Tcp 80>8080"}, "tcp 10.0.1.4 > 10.0.1.100 80", "10.0.1.4 > 10.0.2.4 8080 at m0"),
    ("a port without a rule is dropped",
     (INNER,), {"web": "Tcp 80>8080"}, "tcp 10.0.1.4 > 10.0.1.100 8080", "Frontend f0"),
    ("so is another protocol",
     (INNER,), {"web": "Tcp 80>8080"}, "udp 10.0.1.4 > 10.0.1.100 80", "Frontend f0"),
    ("and one without ports",
     (INNER,), {"web": "Tcp 80>8080"}, "icmp 10.0.1.4 > 10.0.1.100", "Frontend f0"),
    ("rules of UDP are apart",
     (INNER,), {"web": "Tcp 80", "dns": "Udp 80>53"}, "udp 10.0.1.4 > 10.0.1.100 80", "10.0.1.4 > 10.0.2.4 53 at m0"),
    ("every frontend has rules of its own",
     (INNER, "hub/front 10.0.1.101"), {"web": "Tcp 80", "other": "Tcp 80>81 f1"}, "tcp 10.0.1.4 > 10.0.1.101 80",
     "10.0.1.4 > 10.0.2.4 81 at m0"),
    ("high-availability ports are every port",
     (INNER,), {"ha": "All 0"}, "tcp 10.0.1.4 > 10.0.1.100 4711", "10.0.1.4 > 10.0.2.4 4711 at m0"),
    ("and whatever has no ports",
     (INNER,), {"ha": "All 0"}, "icmp 10.0.1.4 > 10.0.1.100", "10.0.1.4 > 10.0.2.4 0 at m0"),
    ("a rule of the port comes before them",
     (INNER,), {"ha": "All 0", "web": "Tcp 80>8080"}, "tcp 10.0.1.4 > 10.0.1.100 80", "10.0.1.4 > 10.0.2.4 8080 at m0"),
    ("floating IP keeps the destination, and changes the port",
     (INNER,), {"web": "Tcp 80>8080 floating"}, "tcp 10.0.1.4 > 10.0.1.100 80", "10.0.1.4 > 10.0.1.100 8080 at m0"),
    ("frontends have IPv6",
     ("hub/front fd00:0:0:1::100",), {"web": "Tcp 80>8080"}, "tcp fd00:0:0:1::4 > fd00:0:0:1::100 80",
     "fd00:0:0:1::4 > fd00:0:0:2::4 8080 at m0"),
    ("the internet reaches a public frontend",
     ("pip",), {"web": "Tcp 80>8080"}, "tcp 198.51.100.7 > 203.0.113.10 80", "198.51.100.7 > 10.0.2.4 8080 at m0"),
    ("of IPv6 as well",
     ("pip6",), {"web": "Tcp 80>8080"}, "tcp 2001:db8:f::7 > 2001:db8::10 80",
     "2001:db8:f::7 > fd00:0:0:2::4 8080 at m0"),
    ("floating, with the public address",
     ("pip",), {"web": "Tcp 80 floating"}, "tcp 198.51.100.7 > 203.0.113.10 80",
     "198.51.100.7 > 203.0.113.10 80 at m0"),
    ("a public port without a rule is dropped",
     ("pip",), {"web": "Tcp 80"}, "tcp 198.51.100.7 > 203.0.113.10 81", "Frontend f0"),
    ("public frontends carry no ICMP",
     ("pip",), {"web": "Tcp 80"}, "icmp 198.51.100.7 > 203.0.113.10", "Frontend f0"),
    ("from inside one leaves and comes in again",
     ("pip",), {"web": "Tcp 80>8080"}, "tcp 10.0.1.4 > 203.0.113.10 80", "203.0.113.1 > 10.0.2.4 8080 at m0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("frontends", "rules", "packet", "expected"), [row[1:] for row in ONE], ids=[r[0] for r in ONE]
)
def test_one_member(frontends: tuple[str, ...], rules: dict[str, str], packet: str, expected: str) -> None:
    assert ask(draft(*frontends, members=1, rules=rules), packet) == expected


def five_tuple(flow: Flow) -> bytes:
    ports = b"".join(each.to_bytes(2, "big") + bytes(2) for each in (flow.source_port, flow.destination_port))
    return flow.source.packed + flow.destination.packed + (ports if flow.protocol in PORTED else b"")


def source(flow: Flow) -> bytes:
    return flow.source.packed + flow.destination.packed


def source_protocol(flow: Flow) -> bytes:
    return flow.source.packed + flow.destination.packed + bytes([flow.protocol, 0, 0, 0])


@pytest.mark.parametrize(
    ("mode", "fields", "spread"),
    [("Default", five_tuple, 3), ("SourceIP", source, 1), ("SourceIPProtocol", source_protocol, 1)],
)
@pytest.mark.parametrize(("client", "frontend"), [("10.0.1.4", INNER), ("fd00:0:0:1::4", "hub/front fd00:0:0:1::100")])
def test_the_distribution_mode_says_what_of_a_flow_decides(
    mode: str, fields: Callable[[Flow], bytes], spread: int, client: str, frontend: str
) -> None:
    made = draft(frontend, rules={"web": f"Tcp 80>8080 {mode}"})
    evaluator, places = Evaluator(made.intent), Counter[str]()
    for port in range(1024, 1324):
        flow = replace(made.flow(f"tcp {client} > {frontend.split()[1]} 80"), source_port=port)
        name = evaluator.evaluate(flow).nics[-1].name
        assert name == f"m{member_index(fields(flow), 3)}"
        places[name] += 1
    assert len(places) == spread


def test_a_packet_without_ports_is_spread_by_its_addresses() -> None:
    made = draft(rules={"ha": "All 0"})
    flow = made.flow("icmp 10.0.1.4 > 10.0.1.100")
    assert evaluate(made.intent, flow).nics[-1].name == f"m{member_index(source(flow), 3)}"


def test_only_healthy_members_get_new_flows() -> None:
    made = draft(rules={"web": "Tcp 80 probe"})
    made.healthy("lb", "10.0.2.5")
    assert ask(made, "tcp 10.0.1.4 > 10.0.1.100 80").endswith("at m1")
    made.healthy("lb")
    assert ask(made, "tcp 10.0.1.4 > 10.0.1.100 80") == "Backend pool"


def test_when_nobody_is_healthy_all_are_if_the_probe_says_so() -> None:
    made = draft(members=1)
    made.balancer("lb", INNER, all_up=True, rules={"web": "Tcp 80 probe"})
    assert ask(made, "tcp 10.0.1.4 > 10.0.1.100 80").endswith("at m0")


@pytest.mark.parametrize(
    ("states", "healthy", "expected"),
    [
        (("None", "None"), ("10.0.2.5",), "at m1"),
        (("Up", "None"), (), "at m0"),
        (("Down", "Up"), ("10.0.2.4",), "at m1"),
        (("Down", "None"), ("10.0.2.4",), "Backend pool"),
        (("Down", "Down"), MEMBERS, "Backend pool"),
    ],
)
def test_the_admin_state_comes_before_the_probe(
    states: tuple[str, str], healthy: tuple[str, ...], expected: str
) -> None:
    made = draft(members=0)
    made.nic("m0", "hub/back", "10.0.2.4")
    made.nic("m1", "hub/back", "10.0.2.5")
    pool = f"hub 10.0.2.4={states[0]} 10.0.2.5={states[1]}"
    made.balancer("lb", INNER, pool=pool, rules={"web": "Tcp 80 probe"})
    made.healthy("lb", *healthy)
    assert ask(made, "tcp 10.0.1.4 > 10.0.1.100 80").endswith(expected)


def test_an_address_in_a_pool_that_no_nic_has_gets_its_flows_all_the_same() -> None:
    made = draft(members=0)
    made.balancer("lb", INNER, pool="hub 10.0.2.77", rules={"web": "Tcp 80"})
    assert ask(made, "tcp 10.0.1.4 > 10.0.1.100 80") == "Owner hub"


def test_members_on_vms_that_do_not_run_get_nothing() -> None:
    made = draft(members=0)
    made.nic("off", "hub/back", "10.0.2.4", running=False)
    made.join("off", "lb")
    assert ask(made, "tcp 10.0.1.4 > 10.0.1.100 80") == "Backend pool"


def test_a_member_that_comes_to_itself_does_not_arrive() -> None:
    made = draft(members=1)
    trace = evaluate(made.intent, made.flow("tcp 10.0.2.4 > 10.0.1.100 80"))
    assert seen(trace) == "Hairpin m0"
    assert [nic.name for nic in trace.nics] == ["m0", "m0"]
    assert trace.arrival.source == trace.arrival.destination


def test_a_member_reaches_another_one_and_itself_by_floating_ip_or_a_public_frontend() -> None:
    made = draft(rules={"web": "Tcp 80 probe"})
    made.healthy("lb", "10.0.2.5")
    assert ask(made, "tcp 10.0.2.4 > 10.0.1.100 80") == "10.0.2.4 > 10.0.2.5 80 at m1"
    floating = draft(members=1, rules={"web": "Tcp 80 floating"})
    assert ask(floating, "tcp 10.0.2.4 > 10.0.1.100 80") == "10.0.2.4 > 10.0.1.100 80 at m0"
    public = draft("pip", members=1, rules={"web": "Tcp 80 snat"})
    assert ask(public, "tcp 10.0.2.4 > 203.0.113.10 80") == "203.0.113.10 > 10.0.2.4 80 at m0"


def test_an_inbound_nat_rule_leads_to_its_one_address_and_comes_first() -> None:
    made = draft("pip")
    made.balancer("lb", "pip", rules={"web": "Tcp 80"}, nat_rules={"ssh": "Tcp 2222>22"})
    made.join("m1", "lb", nat_rule="ssh")
    assert ask(made, "tcp 198.51.100.7 > 203.0.113.10 2222") == "198.51.100.7 > 10.0.2.5 22 at m1"
    assert ask(made, "udp 198.51.100.7 > 203.0.113.10 2222") == "Frontend f0"


def test_an_inbound_nat_rule_without_an_address_leads_nowhere() -> None:
    made = draft("pip")
    made.balancer("lb", "pip", nat_rules={"ssh": "Tcp 2222>22"})
    assert ask(made, "tcp 198.51.100.7 > 203.0.113.10 2222") == "Backend ssh"


def test_an_inbound_nat_rule_comes_before_high_availability_ports() -> None:
    made = draft()
    made.balancer("lb", INNER, rules={"ha": "All 0"}, nat_rules={"ssh": "Tcp 2222>22"})
    made.join("m2", "lb", nat_rule="ssh")
    assert ask(made, "tcp 10.0.1.4 > 10.0.1.100 2222") == "10.0.1.4 > 10.0.2.6 22 at m2"


@pytest.mark.parametrize(
    ("port", "expected"),
    [(2200, "10.0.2.4 22 at m0"), (2201, "10.0.2.6 22 at m2"), (2202, "Backend range"), (2300, "Frontend f0")],
)
def test_each_port_of_a_range_is_for_one_member(port: int, expected: str) -> None:
    made = draft("pip")
    made.balancer("lb", "pip", nat_rules={"range": "All 2200-2299>22 10.0.2.4=2200 10.0.2.6=2201"})
    for protocol in ("tcp", "udp"):
        assert ask(made, f"{protocol} 198.51.100.7 > 203.0.113.10 {port}").endswith(expected)


def test_a_peered_client_reaches_an_internal_frontend_if_both_sides_allow_it() -> None:
    made = draft(members=1)
    made.network("spoke", "10.1.0.0/16", s="10.1.1.0/24")
    made.peer("hub", "spoke")
    made.peer("spoke", "hub")
    made.nic("far", "spoke/s", "10.1.1.4")
    assert ask(made, "tcp 10.1.1.4 > 10.0.1.100 80") == "10.1.1.4 > 10.0.2.4 8080 at m0"
    assert ask(made, "tcp 10.1.1.4 > 10.0.1.100 81") == "Frontend f0"
    closed = draft(members=1)
    closed.network("spoke", "10.1.0.0/16", s="10.1.1.0/24")
    closed.peer("hub", "spoke")
    closed.peer("spoke", "hub", access=False)
    closed.nic("far", "spoke/s", "10.1.1.4")
    assert ask(closed, "tcp 10.1.1.4 > 10.0.1.100 80") == "Peering to-hub"


def test_a_route_of_the_clients_subnet_comes_before_the_frontend() -> None:
    made = draft(members=1)
    made.table("rt", hole="10.0.1.100/32 none")
    made.guard("hub/front", table="rt")
    assert ask(made, "tcp 10.0.1.4 > 10.0.1.100 80") == "Route front"


def test_an_appliance_on_the_way_sends_on_to_the_frontend() -> None:
    made = draft(members=1)
    made.nic("gate", "hub/back", "10.0.2.99", forwarding=True)
    made.table("rt", by="10.0.1.100/32 10.0.2.99")
    made.guard("hub/front", table="rt")
    trace = evaluate(made.intent, made.flow("tcp 10.0.1.4 > 10.0.1.100 80"))
    assert seen(trace) == "10.0.1.4 > 10.0.2.4 8080 at m0"
    assert [nic.name for nic in trace.nics] == ["client", "gate", "m0"]


@pytest.mark.parametrize(
    ("rule", "dropped"),
    [
        ("100 Outbound Deny Tcp * * 10.0.1.100 80", True),
        ("100 Outbound Deny Tcp * * 10.0.2.4 *", False),
        ("100 Outbound Deny Tcp * * * 8080", False),
    ],
)
def test_outbound_rules_see_the_frontend(rule: str, dropped: bool) -> None:
    made = draft(members=1)
    made.group("out", rule)
    made.guard("hub/front", group="out")
    assert (ask(made, "tcp 10.0.1.4 > 10.0.1.100 80") == "SecurityRule front") is dropped


@pytest.mark.parametrize("floating", ["", " floating"])
@pytest.mark.parametrize(
    ("rule", "dropped"),
    [
        ("90 Inbound Deny Tcp * * 10.0.2.4 8080", True),
        ("90 Inbound Deny Tcp 10.0.1.4 * * *", True),
        ("90 Inbound Deny Tcp * * 10.0.1.100 *", False),
        ("90 Inbound Deny Tcp * * * 80", False),
    ],
)
def test_inbound_rules_see_the_member_and_the_client(rule: str, dropped: bool, floating: str) -> None:
    made = draft(members=1, rules={"web": f"Tcp 80>8080{floating}"})
    made.group("in", rule)
    made.guard("hub/back", group="in")
    assert (ask(made, "tcp 10.0.1.4 > 10.0.1.100 80") == "SecurityRule back") is dropped


def test_public_frontends_are_closed_without_a_group_and_internal_ones_are_not() -> None:
    public = draft("pip", members=1, group=False)
    assert ask(public, "tcp 198.51.100.7 > 203.0.113.10 80") == "Open m0"
    assert ask(public, "tcp 10.0.1.4 > 203.0.113.10 80") == "Open m0"
    assert ask(draft(members=1, group=False), "tcp 10.0.1.4 > 10.0.1.100 80").endswith("at m0")
    public.group("nic", OPEN)
    key = network_id("networkInterfaces", "m0").key
    guarded = replace(public.intent.nics[key], security_group=network_id("networkSecurityGroups", "nic"))
    public.intent.nics[key] = guarded
    assert ask(public, "tcp 198.51.100.7 > 203.0.113.10 80").endswith("at m0")


def test_a_group_of_defaults_alone_lets_nobody_in_from_the_internet() -> None:
    made = draft("pip", members=1)
    made.group("open")
    assert ask(made, "tcp 198.51.100.7 > 203.0.113.10 80") == "SecurityRule back"
    assert ask(made, "tcp 10.0.1.4 > 203.0.113.10 80") == "SecurityRule back"


def test_a_public_address_is_that_of_one_address_for_all_protocols_and_ports() -> None:
    made = draft(members=2)
    made.own("m1", "pip")
    made.own("m1", "pip6", 1)
    assert ask(made, "tcp 198.51.100.7 > 203.0.113.10 4711") == "198.51.100.7 > 10.0.2.5 4711 at m1"
    assert ask(made, "icmp 198.51.100.7 > 203.0.113.10") == "198.51.100.7 > 10.0.2.5 0 at m1"
    assert ask(made, "50 198.51.100.7 > 203.0.113.10") == "198.51.100.7 > 10.0.2.5 0 at m1"
    assert ask(made, "47 198.51.100.7 > 203.0.113.10") == "Carried hub"
    assert ask(made, "udp 2001:db8:f::7 > 2001:db8::10 53") == "2001:db8:f::7 > fd00:0:0:2::5 53 at m1"


def test_a_public_address_of_a_vm_that_does_not_run_is_nobodys() -> None:
    made = draft()
    made.nic("off", "hub/back", "10.0.2.9", running=False)
    made.own("off", "pip")
    assert ask(made, "tcp 198.51.100.7 > 203.0.113.10 80") == "Owner hub"


def test_another_networks_public_address_is_reached_by_way_of_the_internet() -> None:
    made = draft(members=1)
    made.own("m0", "pip")
    made.network("far", "10.0.0.0/16", s="10.0.1.0/24")
    made.public("nat", "203.0.113.50/32")
    made.gateway("gw", "far/s", "nat")
    sender = made.nic("alien", "far/s", "10.0.1.4")
    trace = Evaluator(made.intent).evaluate(made.flow("tcp 10.0.1.4 > 203.0.113.10 80"), sender)
    assert seen(trace) == "203.0.113.50 > 10.0.2.4 80 at m0"
    assert trace.way_out
    assert trace.way_out.egress is Egress.NAT_GATEWAY
    assert trace.way_out.ports == (1024, 65535)


@pytest.mark.parametrize(("address", "where"), [("203.0.113.50", "gw"), ("203.0.113.1", "client")])
def test_nobody_comes_in_by_an_address_that_is_there_to_send_from(address: str, where: str) -> None:
    made = draft()
    made.public("nat", "203.0.113.50/32")
    made.gateway("gw", "hub/back", "nat")
    assert ask(made, f"tcp 198.51.100.7 > {address} 80") == f"PublicAddress {where}"


def test_who_can_be_in_the_internet() -> None:
    made = draft("pip")
    with pytest.raises(SenderError, match=r"no NIC has the address 198\.51\.100\.7"):
        evaluate(made.intent, made.flow("tcp 198.51.100.7 > 203.0.113.99 80"))
    with pytest.raises(SenderError, match=r"no NIC has the address 10\.0\.7\.7"):
        evaluate(made.intent, made.flow("tcp 10.0.7.7 > 203.0.113.10 80"))


def test_every_address_of_a_public_prefix_is_a_frontend() -> None:
    made = draft(members=1)
    made.public("prefix", "203.0.113.64/30")
    made.balancer("lb", "prefix", rules={"web": "Tcp 80"})
    for last in range(64, 68):
        assert ask(made, f"tcp 198.51.100.7 > 203.0.113.{last} 80").endswith("at m0")


def test_a_rule_without_a_pool_leads_nowhere() -> None:
    made = draft()
    changed(made, lambda found: replace(found, rules=tuple(replace(each, pool=None) for each in found.rules)))
    assert ask(made, "tcp 10.0.1.4 > 10.0.1.100 80") == "Backend web"
