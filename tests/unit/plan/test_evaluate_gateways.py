"""What becomes of packets between virtual networks and on premises, by Azure's documents."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from podvnet.model.gateway import GatewayKind
from podvnet.model.verdict import Check, Trace, Verdict
from podvnet.plan.evaluate import Evaluator, SenderError, evaluate
from podvnet.plan.remedy import named
from podvnet.testing.draft import network_id
from podvnet.testing.gateway_draft import GatewayDraft

OFFICE, FACTORY = "198.51.100.1", "198.51.100.2"
OUT = "tcp 10.0.2.4 > 192.168.0.9 80"
OUT_OF_SPOKE = "tcp 10.1.2.4 > 192.168.0.9 80"
IN = "tcp 192.168.0.9 > 10.0.2.4 80"
INTO_SPOKE = "tcp 192.168.0.9 > 10.1.2.4 80"


def draft(*, up: bool = True, written: bool = True, circuit: bool = False, learned: bool = True) -> GatewayDraft:
    """A hub with an appliance, a VPN and perhaps ExpressRoute; a spoke that uses them, one that does not; two sites.

    Args:
        up: the VPN's tunnel to the office carries packets.
        written: the office's prefix is written in the local network gateway, or else learned by BGP.
        circuit: the office has a circuit as well.
        learned: its BGP speaks.
    """
    made = GatewayDraft()
    made.network(
        "hub", "10.0.0.0/16", plain="10.0.2.0/24", edge="10.0.9.0/24", GatewaySubnet="10.0.255.0/27"
    )  # fmt: skip
    made.network("spoke", "10.1.0.0/16", plain="10.1.2.0/24", routed="10.1.3.0/24")
    made.network("apart", "10.2.0.0/16", plain="10.2.2.0/24")
    made.peer("hub", "spoke", lends=True, forwarded=True)
    made.peer("spoke", "hub", uses=True, forwarded=True)
    made.peer("hub", "apart", lends=True)
    made.peer("apart", "hub")
    made.nic("h", "hub/plain", "10.0.2.4>203.0.113.1")
    made.nic("gate", "hub/edge", "10.0.9.4>203.0.113.9", forwarding=True)
    made.nic("s", "spoke/plain", "10.1.2.4>203.0.113.2")
    made.nic("a", "apart/plain", "10.2.2.4>203.0.113.3")
    made.site("office", OFFICE, "192.168.0.0/24", circuits=("key",), printer="192.168.0.9")
    made.site("factory", FACTORY, "192.168.7.0/24", robot="192.168.7.9")
    made.gateway("vpn", "hub", "10.0.255.30")
    if written:
        made.connect("to-office", "vpn", OFFICE, "192.168.0.0/24", up=up)
    else:
        made.connect("to-office", "vpn", OFFICE, peer="192.168.0.1", up=up)
        if learned:
            made.learn("vpn", "192.168.0.1", "192.168.0.0/24")
    made.connect("to-factory", "vpn", FACTORY, "192.168.7.0/24")
    made.connect("to-nowhere", "vpn", "198.51.100.3", "192.168.9.0/24")
    if circuit:
        made.gateway("er", "hub", "10.0.255.29", GatewayKind.EXPRESS_ROUTE)
        made.connect_circuit("line", "er", "key", "172.31.0.0/30", "172.31.0.4/30")
        made.learn("er", "172.31.0.1", "192.168.0.0/24", path=(12076, 65010))
    return made


def outcome(trace: Trace) -> str:
    """The verdict, gateways and connections that passed it, the NICs after the sender; or what dropped it, where."""
    culprit = trace.culprit
    if culprit is None:
        by = [hop.where.name for hop in trace.hops if hop.check in {Check.GATEWAY, Check.SITE}]
        nics = [nic.name for nic in trace.nics[bool(trace.hops[0].check is Check.SPOOFING) :]]
        return " ".join((trace.verdict, *by, *nics))
    assert culprit.remedy.endswith(".")
    return f"{culprit.check} {culprit.where.name}"


ROWS: list[tuple[str, GatewayDraft, str, str]] = [
    ("a host on premises is reached", draft(), OUT, "ReachedOnPremises vpn office"),
    ("from a spoke, by transit", draft(), OUT_OF_SPOKE, "ReachedOnPremises vpn office"),
    ("and reaches the hub", draft(), IN, "Delivered office to-office vpn h"),
    ("and the spoke, whose link it takes", draft(), INTO_SPOKE, "Delivered office to-office vpn s"),
    ("by what BGP has learned as well", draft(written=False), OUT, "ReachedOnPremises vpn office"),
    ("when the tunnel is down, packets are dropped by the connection", draft(up=False), OUT, "Gateway to-office"),
    ("both ways", draft(up=False), IN, "Gateway to-office"),
    ("when BGP is down, the route is gone", draft(written=False, learned=False), OUT, "Route plain"),
    ("a peer that does not use the gateway has no way", draft(), "tcp 10.2.2.4 > 192.168.0.9 80", "Route plain"),
    ("and none leads to it", draft(), "tcp 192.168.0.9 > 10.2.2.4 80", "Gateway vpn"),
    ("of both ways ExpressRoute is preferred", draft(circuit=True), OUT, "ReachedOnPremises er office"),
    ("by the site as well", draft(circuit=True), IN, "Delivered office line er h"),
    ("and the other site is reached by the VPN", draft(circuit=True), "udp 10.0.2.4 > 192.168.7.9 53",
     "ReachedOnPremises vpn factory"),
    ("nobody there has the address", draft(), "tcp 10.0.2.4 > 192.168.0.77 80", "Site office"),
    ("nobody here has", draft(), "tcp 192.168.0.9 > 10.0.2.99 80", "Owner hub"),
    ("a device that is not of the fabric gets what is for it", draft(), "tcp 10.0.2.4 > 192.168.9.9 80",
     "ReachedOnPremises vpn"),
    ("one site reaches another by the gateway", draft(), "tcp 192.168.7.9 > 192.168.0.9 80",
     "ReachedOnPremises factory to-factory vpn office"),
    ("GRE is not carried in", draft(), "47 192.168.0.9 > 10.0.2.4", "Carried hub"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "made", "packet", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_packets_pass_gateways_as_documented(what: str, made: GatewayDraft, packet: str, expected: str) -> None:
    assert outcome(evaluate(made.intent, made.flow(packet))) == expected, what


def test_a_packet_with_a_source_of_the_virtual_network_does_not_come_in_by_a_gateway() -> None:
    made = draft()
    vpn = made.intent.gateways[network_id("virtualNetworkGateways", "vpn").key]
    evaluator = Evaluator(made.intent)
    assert outcome(evaluator.evaluate(made.flow("tcp 10.0.2.9 > 10.0.2.4 80"), vpn)) == "Gateway hub"
    assert outcome(evaluator.evaluate(made.flow("tcp 168.63.129.16 > 10.0.2.4 80"), vpn)) == "Gateway hub"
    # the gateway itself says when a packet is too large
    assert outcome(evaluator.evaluate(made.flow("icmp 10.0.255.30 > 10.0.2.4"), vpn)) == "Delivered vpn h"
    assert outcome(evaluator.evaluate(made.flow("tcp 10.0.2.9 > 10.1.2.4 80"), vpn)) == "Delivered vpn s"


@pytest.mark.parametrize(
    ("rule", "packet", "expected"),
    [
        ("", IN, "Delivered office to-office vpn h"),
        ("100 Inbound Deny * 192.168.0.0/24 * * *", IN, "SecurityRule plain"),
        ("100 Inbound Deny * Internet * * *", IN, "Delivered office to-office vpn h"),
        ("100 Outbound Deny * * * VirtualNetwork *", OUT, "SecurityRule plain"),
        ("100 Outbound Deny * * * Internet *", OUT, "ReachedOnPremises vpn office"),
    ],
)
def test_security_groups_take_what_is_on_premises_for_the_virtual_network(
    rule: str, packet: str, expected: str
) -> None:
    made = draft()
    made.group("web", *filter(None, [rule]))
    made.guard("hub/plain", group="web")
    assert outcome(evaluate(made.intent, made.flow(packet))) == expected


def test_an_appliance_stands_before_the_subnets_by_the_gateway_subnets_route_table() -> None:
    made = draft()
    made.table("entry", hub="10.0.2.0/24 10.0.9.4", spoke="10.1.0.0/16 10.0.9.4", gone="10.0.3.0/24 none")
    made.guard("hub/GatewaySubnet", table="entry")
    assert outcome(evaluate(made.intent, made.flow(IN))) == "Delivered office to-office vpn gate h"
    assert outcome(evaluate(made.intent, made.flow(INTO_SPOKE))) == "Delivered office to-office vpn gate s"
    gone = evaluate(made.intent, made.flow("tcp 192.168.0.9 > 10.0.3.4 80"))
    assert outcome(gone) == "Route GatewaySubnet"
    assert gone.culprit
    assert gone.culprit.remedy == "Remove route gone of route table entry, or give it another next hop type."


def test_an_appliance_sends_on_to_the_gateway() -> None:
    made = draft()
    made.table("out", all="192.168.0.0/16 10.0.9.4")
    made.guard("spoke/plain", table="out")
    # longer ones of gateways go before it, so the table must not have them
    made.deafen("out")
    assert outcome(evaluate(made.intent, made.flow(OUT_OF_SPOKE))) == "ReachedOnPremises vpn office gate"


def test_spokes_reach_each_other_by_the_gateway_where_a_route_says_so() -> None:
    made = draft()
    made.network("third", "10.3.0.0/16", plain="10.3.2.0/24")
    made.peer("hub", "third", lends=True)
    made.peer("third", "hub", uses=True)
    made.nic("t", "third/plain", "10.3.2.4")
    made.table("across", way="10.3.0.0/16 gateway")
    made.guard("spoke/plain", table="across")
    assert outcome(evaluate(made.intent, made.flow("tcp 10.1.2.4 > 10.3.2.4 80"))) == "Delivered vpn t"


def test_networks_that_are_connected_by_gateways_reach_each_other() -> None:
    made = draft()
    made.network("far", "10.9.0.0/16", plain="10.9.2.0/24", GatewaySubnet="10.9.255.0/27")
    made.nic("f", "far/plain", "10.9.2.4")
    made.gateway("theirs", "far", "10.9.255.30")
    made.connect_networks("to-far", "vpn", "theirs")
    made.connect_networks("to-hub", "theirs", "vpn")
    assert outcome(evaluate(made.intent, made.flow("tcp 10.0.2.4 > 10.9.2.4 80"))) == "Delivered vpn theirs f"
    assert outcome(evaluate(made.intent, made.flow("tcp 10.9.2.4 > 10.0.2.4 80"))) == "Delivered theirs vpn h"


def test_gateways_that_send_to_each_other_do_not_do_so_for_ever() -> None:
    made = draft()
    made.network("far", "10.9.0.0/16", GatewaySubnet="10.9.255.0/27")
    made.gateway("theirs", "far", "10.9.255.30")
    made.connect_networks("to-far", "vpn", "theirs")
    made.connect_networks("to-hub", "theirs", "vpn")
    made.learn("vpn", "10.9.255.30", "172.20.0.0/16")
    made.learn("theirs", "10.0.255.30", "172.20.0.0/16")
    assert outcome(evaluate(made.intent, made.flow("tcp 10.0.2.4 > 172.20.0.1 80"))) == "Loop theirs"


def test_a_default_route_by_a_gateway_takes_what_would_leave_to_the_internet() -> None:
    made = draft()
    made.learn("vpn", "192.168.0.1", "0.0.0.0/0")
    trace = evaluate(made.intent, made.flow("tcp 10.0.2.4 > 198.51.100.77 443"))
    assert trace.verdict is Verdict.REACHED_ON_PREMISES
    assert trace.way_out is None


def test_a_users_default_route_to_a_gateway_that_has_none_ends_there() -> None:
    made = draft()
    made.table("forced", all="0.0.0.0/0 gateway")
    made.guard("hub/plain", table="forced")
    culprit = evaluate(made.intent, made.flow("tcp 10.0.2.4 > 203.0.113.77 443")).culprit
    assert culprit
    assert (culprit.check, culprit.where.name) == (Check.GATEWAY, "vpn")
    assert culprit.reason == "no connection of it leads to 203.0.113.77"


REMEDIES: list[tuple[GatewayDraft, str, str]] = [
    (draft(up=False), OUT,
     ("Give connection to-office and the device on premises at 198.51.100.1 the same shared key and the same IPsec"
     " policy, and let them reach each other by UDP 500 and 4500.")),
    (draft(written=False, learned=False), OUT,
     ("Let site office, which has 192.168.0.9, announce it by BGP to gateway vpn, or add a prefix with it to the local"
     " network gateway of a connection.")),
    (draft(), "tcp 10.2.2.4 > 192.168.0.9 80",
     ("Put a gateway into virtual network apart, or let it use a peer's (useRemoteGateways, allowGatewayTransit), and"
     " connect that with site office, which has 192.168.0.9.")),
    (draft(), "tcp 192.168.0.9 > 10.2.2.4 80",
     ("Let virtual network apart use gateway vpn: peer it with virtual network hub, allowGatewayTransit there and"
     " useRemoteGateways here.")),
    (draft(), "tcp 10.0.2.4 > 192.168.0.77 80",
     "Add a host with 192.168.0.77 to site office, or send to one it has: printer (192.168.0.9)."),
]  # fmt: skip


@pytest.mark.parametrize(("made", "packet", "remedy"), REMEDIES)
def test_the_remedy_names_what_to_change(made: GatewayDraft, packet: str, remedy: str) -> None:
    culprit = evaluate(made.intent, made.flow(packet)).culprit
    assert culprit
    assert culprit.remedy == remedy


def test_a_table_without_propagation_is_named_where_it_keeps_a_route_away() -> None:
    made = draft()
    made.table("deaf")
    made.deafen("deaf")
    made.guard("hub/plain", table="deaf")
    culprit = evaluate(made.intent, made.flow(OUT)).culprit
    assert culprit
    assert culprit.remedy == (
        "Set disableBgpRoutePropagation of route table deaf to false, so that the routes of gateways hold."
    )


def test_a_circuit_without_a_session_is_named() -> None:
    made = draft(circuit=True)
    made.intent = replace(made.intent, connected=frozenset(), learned=frozenset())
    made.intent.connections.pop(network_id("connections", "to-office").key)
    trace = evaluate(made.intent, made.flow(IN))
    assert trace.culprit
    assert named(trace.culprit.where) == "connection line"
    assert "speak BGP" in trace.culprit.remedy


def test_who_has_learned_a_route_and_from_whom_is_said() -> None:
    made = draft(written=False)
    reasons = [hop.reason for hop in evaluate(made.intent, made.flow(OUT)).hops]
    assert "gateway's route: 192.168.0.0/24 to VirtualNetworkGateway vpn" in reasons
    assert "192.168.0.0/24, learned from 192.168.0.1 (AS path 65010), is by connection to-office" in reasons


def test_an_address_of_nobody_is_no_sender() -> None:
    made = draft()
    with pytest.raises(SenderError, match="no NIC has the address"):
        evaluate(made.intent, made.flow("tcp 172.20.0.1 > 10.0.2.4 80"))


def test_a_public_prefix_on_premises_is_reached_with_the_private_source() -> None:
    made = draft()
    made.site("campus", "198.51.100.4", "192.0.2.0/24", desk="192.0.2.9")
    made.connect("to-campus", "vpn", "198.51.100.4", "192.0.2.0/24")
    trace = evaluate(made.intent, made.flow("tcp 10.1.2.4 > 192.0.2.9 80"))
    assert outcome(trace) == "ReachedOnPremises vpn campus"
    assert trace.arrival.source == ip_address("10.1.2.4")
    assert (
        outcome(evaluate(made.intent, made.flow("tcp 192.0.2.9 > 10.1.2.4 80"))) == "Delivered campus to-campus vpn s"
    )
