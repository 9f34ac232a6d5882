"""Routes, by Azure's documents: each row is a behaviour that they describe."""

from __future__ import annotations

import pytest

from podvnet.model.verdict import Check, Trace
from podvnet.plan.evaluate import Evaluator, evaluate
from podvnet.testing.draft import Draft

LOCAL = "tcp 10.0.1.4 > 10.0.2.4 80"
LOCAL6 = "tcp fd00:0:0:1::4 > fd00:0:0:2::4 80"
OUT = "tcp 10.0.1.4 > 198.51.100.7 443"
STORAGE = "tcp 10.0.1.4 > 20.60.1.1 443"


def draft(*routes: str, prefixes: tuple[str, ...] = ("10.0.0.0/16", "fd00::/48")) -> Draft:
    """A hub with subnets front, which has the routes, back, and edge with the appliance 10.0.9.4 and some that fail."""
    made = Draft()
    made.network(
        "hub", *prefixes,
        front="10.0.1.0/24,fd00:0:0:1::/64", back="10.0.2.0/24,fd00:0:0:2::/64", edge="10.0.9.0/24,fd00:0:0:9::/64",
    )  # fmt: skip
    made.table("rt", **{f"r{position}": text for position, text in enumerate(routes)})
    made.guard("hub/front", table="rt")
    made.nic("one", "hub/front", "10.0.1.4>203.0.113.1", "10.0.1.5", "fd00:0:0:1::4")
    made.nic("two", "hub/back", "10.0.2.4", "fd00:0:0:2::4")
    made.nic("gate", "hub/edge", "10.0.9.4>203.0.113.9", "fd00:0:0:9::4", forwarding=True)
    made.nic("shut", "hub/edge", "10.0.9.5")
    made.nic("off", "hub/edge", "10.0.9.6", forwarding=True, running=False)
    made.nic("loose", "hub/edge", "10.0.9.7", forwarding=True, machine="")
    made.nic("plain", "hub/edge", "10.0.9.8", forwarding=True)
    return made


def outcome(trace: Trace) -> str:
    """The verdict and the NICs after the sender, or what dropped the packet and where."""
    culprit = trace.culprit
    if culprit is None:
        return " ".join((trace.verdict, *(nic.name for nic in trace.nics[1:])))
    assert culprit.remedy.endswith(".")
    return f"{culprit.check} {culprit.where.name}"


ROWS: list[tuple[str, tuple[str, ...], str, str]] = [
    ("the address space is local", (), LOCAL, "Delivered two"),
    ("of both families", (), LOCAL6, "Delivered two"),
    ("what is nowhere else is the internet's", (), OUT, "LeftToInternet"),
    ("10.0.0.0/8 is dropped where it is not of the virtual network", (), "tcp 10.0.1.4 > 10.7.0.1 80", "Route front"),
    ("172.16.0.0/12 is dropped", (), "tcp 10.0.1.4 > 172.31.255.254 80", "Route front"),
    ("172.32.0.0 is not of it", (), "tcp 10.0.1.4 > 172.32.0.1 80", "LeftToInternet"),
    ("192.168.0.0/16 is dropped", (), "tcp 10.0.1.4 > 192.168.1.1 80", "Route front"),
    ("100.64.0.0/10 is dropped", (), "tcp 10.0.1.4 > 100.127.0.1 80", "Route front"),
    ("a reserved prefix can be routed by a user",
     ("10.0.0.0/8 internet",), "tcp 10.0.1.4 > 10.7.0.1 80", "LeftToInternet"),
    ("a user's route to an equal prefix wins over the system's", ("0.0.0.0/0 none",), OUT, "Route front"),
    ("even over that of the virtual network itself", ("10.0.0.0/16 none",), LOCAL, "Route front"),
    ("but not over a longer one", ("10.0.0.0/8 none",), LOCAL, "Delivered two"),
    ("the longest prefix wins", ("10.0.2.0/24 none", "10.0.2.4/32 local"), LOCAL, "Delivered two"),
    ("in whatever order", ("10.0.2.4/32 none", "10.0.2.0/24 local"), LOCAL, "Route front"),
    ("a route of IPv4 is not about IPv6", ("0.0.0.0/0 none",), LOCAL6, "Delivered two"),
    ("a route of IPv6 is", ("fd00:0:0:2::/64 none",), LOCAL6, "Route front"),
    ("the next hop None drops", ("198.51.100.0/24 none",), OUT, "Route front"),
    ("a gateway that is not there drops", ("198.51.100.0/24 gateway",), OUT, "Route front"),
    ("a local route leads to no address outside", ("198.51.100.0/24 local",), OUT, "Owner hub"),
    ("a route of a subnet is not about what others send to it",
     ("10.0.1.0/24 none",), "tcp 10.0.2.4 > 10.0.1.4 80", "Delivered one"),
    ("a tag is all of its prefixes", ("Storage none",), STORAGE, "Route front"),
    ("and no others", ("Sql none",), STORAGE, "LeftToInternet"),
    ("a prefix wins over a tag that has it too", ("Storage none", "20.60.0.0/16 internet"), STORAGE, "LeftToInternet"),
    ("the tag of a region wins over that of the world",
     ("Storage none", "Storage.WestEurope internet"), STORAGE, "LeftToInternet"),
    ("a service wins over AzureCloud", ("AzureCloud none", "Storage internet"), STORAGE, "LeftToInternet"),
    ("a region of AzureCloud wins over the whole",
     ("AzureCloud none", "AzureCloud.WestEurope internet"), STORAGE, "LeftToInternet"),
    ("an appliance gets what is routed to it and sends it on", ("10.0.2.0/24 10.0.9.4",), LOCAL, "Delivered gate two"),
    ("of both families", ("fd00:0:0:2::/64 fd00:0:0:9::4",), LOCAL6, "Delivered gate two"),
    ("an appliance without an IPv6 address gets none", ("fd00:0:0:2::/64 10.0.9.8",), LOCAL6, "Appliance plain"),
    ("what is for the appliance itself ends there",
     ("10.0.9.0/24 10.0.9.4",), "tcp 10.0.1.4 > 10.0.9.4 22", "Delivered gate"),
    ("an appliance needs IP forwarding", ("10.0.2.0/24 10.0.9.5",), LOCAL, "Appliance shut"),
    ("an appliance must run", ("10.0.2.0/24 10.0.9.6",), LOCAL, "Appliance off"),
    ("an appliance must be on a VM", ("10.0.2.0/24 10.0.9.7",), LOCAL, "Appliance loose"),
    ("an appliance's address must be some NIC's", ("10.0.2.0/24 10.0.9.99",), LOCAL, "Appliance hub"),
    ("an appliance must be reached without another", ("10.0.2.0/24 10.7.0.4",), LOCAL, "Appliance hub"),
    ("forced tunnelling: an appliance that translates nothing sends its clients' packets by their own way out",
     ("0.0.0.0/0 10.0.9.4",), OUT, "LeftToInternet gate"),
    ("a secondary address has no default way out", (), "tcp 10.0.1.5 > 198.51.100.7 443", "Outbound one"),
    ("IPv6 has no default way out", (), "tcp fd00:0:0:1::4 > 2001:db8::1 443", "Outbound one"),
    ("an address that no NIC has is dropped", (), "tcp 10.0.1.4 > 10.0.2.77 80", "Owner hub"),
    ("the gateway of a subnet does not answer", (), "icmp 10.0.1.4 > 10.0.1.1", "Owner hub"),
    ("an address of a stopped VM is dropped", (), "tcp 10.0.1.4 > 10.0.9.6 80", "Owner hub"),
    ("an address of a NIC without VM is dropped", (), "tcp 10.0.1.4 > 10.0.9.7 80", "Owner hub"),
    ("the metadata service is not routed",
     ("0.0.0.0/0 none", "169.254.169.254/32 none"), "tcp 10.0.1.4 > 169.254.169.254 80", "AnsweredByPlatform"),
    ("the wireserver is not routed",
     ("0.0.0.0/0 none", "168.63.129.16/32 none"), "tcp 10.0.1.4 > 168.63.129.16 32526", "AnsweredByPlatform"),
    ("IP-in-IP is not carried", (), "4 10.0.1.4 > 10.0.2.4", "Carried hub"),
    ("GRE is not carried", (), "47 10.0.1.4 > 10.0.2.4", "Carried hub"),
    ("multicast is not carried", (), "udp 10.0.1.4 > 224.0.0.251 5353", "Carried hub"),
    ("nor that of IPv6", (), "udp fd00:0:0:1::4 > ff02::fb 5353", "Carried hub"),
    ("broadcast is not carried", (), "udp 10.0.1.4 > 255.255.255.255 67", "Carried hub"),
]  # fmt: skip


@pytest.mark.parametrize(("routes", "packet", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_documented(routes: tuple[str, ...], packet: str, expected: str) -> None:
    made = draft(*routes)
    assert outcome(evaluate(made.intent, made.flow(packet))) == expected


def test_a_reserved_prefix_is_routed_where_the_virtual_network_holds_it() -> None:
    made = draft(prefixes=("10.0.0.0/8", "fd00::/48"))
    assert outcome(evaluate(made.intent, made.flow("tcp 10.0.1.4 > 10.7.0.1 80"))) == "Owner hub"


def test_without_a_prefix_of_ipv6_there_is_no_route_for_it() -> None:
    made = Draft()
    made.network("hub", "10.0.0.0/16", front="10.0.1.0/24")
    nic = made.nic("one", "hub/front", "10.0.1.4", "fd00::4")
    culprit = evaluate(made.intent, made.flow("tcp fd00::4 > 2001:db8::1 443"), nic).culprit
    assert culprit
    assert culprit.reason == "no route leads to 2001:db8::1"
    assert culprit.remedy == "Add an IPv6 prefix to virtual network hub."


def test_each_leg_is_filtered_with_the_packets_own_addresses() -> None:
    made = draft("10.0.2.0/24 10.0.9.4")
    made.group("strict", "100 Inbound Deny * * * 10.0.9.4 *", "200 Inbound Deny * * * 10.0.2.4 *")
    made.guard("hub/edge", group="strict")
    culprit = evaluate(made.intent, made.flow(LOCAL)).culprit
    assert culprit
    assert culprit.rule
    assert culprit.rule.priority == 200


def test_the_appliances_own_subnet_routes_what_it_sends_on() -> None:
    made = draft("10.0.2.0/24 10.0.9.4")
    made.table("back", drop="10.0.2.0/24 none")
    made.guard("hub/edge", table="back")
    culprit = evaluate(made.intent, made.flow(LOCAL)).culprit
    assert culprit
    assert (culprit.check, culprit.where.name) == (Check.ROUTE, "edge")
    assert culprit.remedy == "Remove route drop of route table back, or give it another next hop type."


def test_a_loop_between_appliances_ends() -> None:
    made = draft("10.0.2.0/24 10.0.9.4")
    made.table("loop", there="10.0.2.0/24 10.0.1.9", back="10.0.1.0/24 10.0.1.9")
    made.guard("hub/edge", table="loop")
    made.nic("other", "hub/front", "10.0.1.9", forwarding=True)
    trace = evaluate(made.intent, made.flow(LOCAL))
    assert outcome(trace) == "Loop gate"
    assert [nic.name for nic in trace.nics] == ["one", "gate", "other", "gate"]
    assert trace.hops[-1].remedy == "Do not lead 10.0.2.4 back to NIC gate by route r0 of route table rt."


def test_an_appliance_that_shares_its_clients_subnet_loops() -> None:
    made = draft("10.0.2.0/24 10.0.1.9")
    made.nic("beside", "hub/front", "10.0.1.9", forwarding=True)
    assert outcome(evaluate(made.intent, made.flow(LOCAL))) == "Loop beside"


def test_the_walk_ends_at_an_appliance_when_that_is_asked_for() -> None:
    made = draft("10.0.2.0/24 10.0.9.4")
    trace = Evaluator(made.intent).evaluate(made.flow(LOCAL), follow=False)
    assert outcome(trace) == "HandedToAppliance gate"


def test_a_vm_keeps_what_is_for_another_of_its_nics() -> None:
    made = draft("10.0.2.0/24 10.0.9.11")
    made.nic("outside", "hub/edge", "10.0.9.11", forwarding=True, machine="firewall")
    made.nic("inside", "hub/back", "10.0.2.11", machine="firewall")
    assert outcome(evaluate(made.intent, made.flow("tcp 10.0.1.4 > 10.0.2.11 22"))) == "Delivered outside"


def test_where_default_outbound_access_is_off_the_remedy_says_so() -> None:
    made = draft()
    made.guard("hub/back", outbound=False)
    culprit = evaluate(made.intent, made.flow("tcp 10.0.2.4 > 198.51.100.7 443")).culprit
    assert culprit
    assert culprit.remedy == "Set defaultOutboundAccess of subnet hub/back to true."


def test_what_leaves_says_as_which_address() -> None:
    made = draft()
    assert str(evaluate(made.intent, made.flow(OUT)).outbound) == "203.0.113.1"


REMEDIES = [
    ("tcp 10.0.1.4 > 10.0.2.77 80", (), ("Give 10.0.2.77 to an ip-configuration of a NIC of a running VM, or send to an"
     " address that one has.")),
    ("tcp 10.0.1.4 > 10.0.2.1 80", (), ("Send to another address: 10.0.2.1 is one of the five that Azure keeps of every"
     " subnet.")),
    ("tcp 10.0.1.4 > 10.7.0.1 80", (), ("Add a route that leads to 10.7.0.1, or peer virtual network hub with the"
     " virtual network that has it.")),
    ("tcp 10.0.1.4 > 10.0.9.6 80", (), "Start VM off-vm, which NIC off is on."),
    ("tcp 10.0.1.4 > 10.0.9.7 80", (), "Attach NIC loose to a VM."),
    (LOCAL, ("10.0.2.0/24 10.0.9.5",), "Enable IP forwarding on NIC shut."),
    (LOCAL, ("10.0.2.0/24 10.0.9.99",), "Give route r0 of route table rt the address of an appliance."),
    (LOCAL, ("10.0.2.0/24 10.7.0.4",), "Give route r0 of route table rt a next hop that can be reached directly."),
    (LOCAL, ("10.0.2.0/24 gateway",), ("Give route r0 of route table rt another next hop type, or virtual network hub a"
     " VPN gateway: its own, or a peer's that it uses.")),
    ("tcp 10.0.1.5 > 198.51.100.7 443", (), ("Send from the primary address of NIC one, or translate to it on the VM:"
     " other addresses have no default outbound access.")),
]  # fmt: skip


@pytest.mark.parametrize(("packet", "routes", "remedy"), REMEDIES)
def test_the_remedy_names_what_to_change(packet: str, routes: tuple[str, ...], remedy: str) -> None:
    made = draft(*routes)
    culprit = evaluate(made.intent, made.flow(packet)).culprit
    assert culprit
    assert culprit.remedy == remedy
