"""Packets take the routes that the Azure document "Virtual network traffic routing" says: one row a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from podvnet.linux import namespace, ruleset
from podvnet.plan import names
from podvnet.testing.lab import execute
from podvnet.testing.rule import deny
from podvnet.testing.sight import Sight, sight
from podvnet.testing.stage import Resources, Stage, filled, stage
from podvnet.testing.traffic import ICMP, PASSES, TCP, UDP, Place, call, connected

EVERY = (TCP, UDP, ICMP)
PORT = 7001
WORDS = {
    4: {
        "hub": "10.1.0.0/16",
        "front": "10.1.1.0/24",
        "back": "10.1.2.0/24",
        "spoke1": "10.2.0.0/16",
        "spoke2": "10.3.0.0/16",
        "world": "198.51.100.0/24",
        "half": "10.1.0.0/17",
        "host": "/32",
        "nobody": "10.1.2.200",
        "everything": "0.0.0.0/0",
    },
    6: {
        "hub": "fd00:1::/48",
        "front": "fd00:1:0:1::/64",
        "back": "fd00:1:0:2::/64",
        "spoke1": "fd00:2::/48",
        "spoke2": "fd00:3::/48",
        "world": "2001:db8:1::/48",
        "half": "fd00:1::/49",
        "host": "/128",
        "nobody": "fd00:1:0:2::200",
        "everything": "::/0",
    },
}
NONE, LOCAL, INTERNET, GATEWAY = "None", "VnetLocal", "Internet", "VirtualNetworkGateway"
UNOWNED = "unowned"
"""The counter of what leads to no NIC: routes to nowhere among it."""

UserRoute = tuple[str, str]
"""A prefix or tag, and a next hop: a type, or the address of an appliance."""


@dataclass(frozen=True)
class Row:
    """What a documented sentence means for packets.

    Attributes:
        routes: of the route table of each subnet.
        flows: caller, called, protocols, what becomes of them; ``via nva`` after it when the appliance has seen both
            ways, ``there via``, ``back via`` when it has seen one.
        more: what else of the file is different.
    """

    name: str
    routes: dict[str, list[UserRoute]]
    flows: list[tuple[str, str, str | tuple[str, ...], str]]
    more: Callable[[Resources], None] | None = None
    versions: tuple[int, ...] = field(default=(4, 6))


def without_forwarding(resources: Resources) -> None:
    resources["networkInterfaces/nva"]["properties"]["enableIPForwarding"] = False


def refused_at_appliance(direction: str) -> Callable[[Resources], None]:
    def change(resources: Resources) -> None:
        rules = [deny("x", 100, direction, "Tcp", ports=str(PORT))]
        resources["networkSecurityGroups/nva"]["properties"] = {"securityRules": rules}
        resources["networkInterfaces/nva"]["properties"]["networkSecurityGroup"] = {"id": "networkSecurityGroups/nva"}

    return change


ROWS = [
    # -- system routes
    Row(
        "system routes lead to the virtual network and its peers",
        {},
        [("a", "b", EVERY, PASSES), ("a", "a2", EVERY, PASSES), ("a", "s1", EVERY, PASSES), ("s2", "b", EVERY, PASSES)],
    ),
    Row("system routes lead to the internet", {}, [("a", "internet", EVERY, PASSES)], versions=(4,)),
    Row("there is no default outbound access in IPv6", {}, [("a", "internet", EVERY, "no_outbound")], versions=(6,)),
    Row("an address that nobody has", {}, [("a", "nobody", EVERY, UNOWNED)]),
    Row(
        "private addresses of other networks lead nowhere",
        {},
        [("a", "private10", UDP, UNOWNED), ("a", "private172", UDP, UNOWNED), ("a", "shared", UDP, UNOWNED)],
        versions=(4,),
    ),
    Row(
        "unique local addresses of other networks are not the internet's",
        {},
        [("a", "private10", UDP, "no_outbound")],
        versions=(6,),
    ),
    Row("peerings are not transitive", {}, [("s1", "s2", EVERY, UNOWNED)], versions=(4,)),
    Row("peerings are not transitive in IPv6", {}, [("s1", "s2", EVERY, "no_outbound")], versions=(6,)),
    # -- next hops
    Row("None drops", {"front": [("{back}", NONE)]}, [("a", "b", EVERY, UNOWNED), ("a", "a2", EVERY, PASSES)]),
    Row("None drops what is for the internet", {"front": [("{world}", NONE)]}, [("a", "internet", EVERY, UNOWNED)]),
    Row("a gateway that is not there drops", {"front": [("{back}", GATEWAY)]}, [("a", "b", EVERY, UNOWNED)]),
    Row("VnetLocal leads to the virtual network", {"front": [("{hub}", LOCAL)]}, [("a", "b", EVERY, PASSES)]),
    Row("VnetLocal does not lead to peers", {"front": [("{spoke1}", LOCAL)]}, [("a", "s1", EVERY, UNOWNED)]),
    Row(
        "VnetLocal does not lead to the internet", {"front": [("{world}", LOCAL)]}, [("a", "internet", EVERY, UNOWNED)]
    ),
    Row(
        "Internet leads out, whatever the prefix",
        {"front": [("172.16.0.0/12", INTERNET)]},
        [("a", "private172", EVERY, PASSES)],
        versions=(4,),
    ),
    Row(
        "an appliance gets what is routed to it",
        {"front": [("{back}", "{nva}")]},
        [("a", "b", UDP, "passes there via nva"), ("a", "a2", EVERY, PASSES), ("a2", "b", UDP, "passes there via nva")],
    ),
    Row(
        "an appliance sees both ways when both are routed to it",
        {"front": [("{back}", "{nva}")], "back": [("{front}", "{nva}")]},
        [("a", "b", EVERY, "passes via nva"), ("b", "a", EVERY, "passes via nva"), ("a", "s1", EVERY, PASSES)],
    ),
    Row(
        "an appliance between neighbours of one subnet",
        {"front": [("{front}", "{nva}")]},
        [("a", "a2", EVERY, "passes via nva"), ("a2", "a", EVERY, "passes via nva")],
    ),
    Row(
        "an appliance without IP forwarding gets nothing",
        {"front": [("{back}", "{nva}")]},
        [("a", "b", EVERY, UNOWNED), ("a", "nva", EVERY, PASSES)],
        without_forwarding,
    ),
    Row("an appliance that is not there", {"front": [("{back}", "{nobody}")]}, [("a", "b", EVERY, UNOWNED)]),
    Row(
        "the appliance's own inbound rules see the packet's own destination",
        {"front": [("{back}", "{nva}")], "back": [("{front}", "{nva}")]},
        [("a", "b", TCP, "nva x"), ("a", "b", (UDP, ICMP), "passes via nva")],
        refused_at_appliance("Inbound"),
    ),
    Row(
        "the appliance's own outbound rules see what it sends on",
        {"front": [("{back}", "{nva}")], "back": [("{front}", "{nva}")]},
        [("a", "b", TCP, "nva x there via nva"), ("a", "b", (UDP, ICMP), "passes via nva")],
        refused_at_appliance("Outbound"),
    ),
    Row(
        "two appliances one after the other",
        {
            "front": [("{back}", "{nva}")],
            "nva": [("{back}", "{nva2}"), ("{front}", LOCAL)],
            "back": [("{front}", "{nva2}")],
            "nva2": [("{front}", "{nva}")],
        },
        [("a", "b", EVERY, "passes via nva via nva2"), ("b", "a", EVERY, "passes via nva via nva2")],
    ),
    # -- appliances in a peered network
    Row(
        "the hub's appliance leads from spoke to spoke, and sees both ways",
        {"s1": [("{spoke2}", "{nva}")], "s2": [("{spoke1}", "{nva}")]},
        [("s1", "s2", EVERY, "passes via nva"), ("s2", "s1", EVERY, "passes via nva"), ("s1", "a", EVERY, PASSES)],
    ),
    Row(
        "the hub's appliance between spoke and hub",
        {"s1": [("{hub}", "{nva}")], "front": [("{spoke1}", "{nva}")], "back": [("{spoke1}", "{nva}")]},
        [("s1", "a", EVERY, "passes via nva"), ("b", "s1", EVERY, "passes via nva")],
    ),
    Row(
        "an appliance of a peer's peer is out of reach",
        {"s1": [("{spoke2}", "{s2}")]},
        [("s1", "s2", EVERY, UNOWNED)],
    ),
    # -- selection
    Row(
        "the longest prefix wins: nowhere",
        {"front": [("{half}", LOCAL), ("{back}", NONE)]},
        [("a", "b", EVERY, UNOWNED), ("a", "a2", EVERY, PASSES)],
    ),
    Row(
        "the longest prefix wins: somewhere",
        {"front": [("{back}", LOCAL), ("{half}", NONE)]},
        [("a", "b", EVERY, PASSES), ("a", "a2", EVERY, UNOWNED)],
    ),
    Row(
        "a route to one address",
        {"front": [("{b}{host}", NONE)]},
        [("a", "b", EVERY, UNOWNED), ("b", "a", (TCP, ICMP), UNOWNED), ("b", "a", UDP, "answer: unowned")],
    ),
    Row(
        "a user's route wins over the system's to the same prefix",
        {"front": [("{hub}", NONE)]},
        [("a", "b", EVERY, UNOWNED)],
    ),
    Row(
        "a user's route wins over a peering's",
        {"front": [("{spoke1}", NONE)]},
        [("a", "s1", EVERY, UNOWNED), ("a", "s2", EVERY, PASSES)],
    ),
    Row(
        "a user's default route does not take what the system routes longer",
        {"front": [("{everything}", NONE)]},
        [("a", "b", EVERY, PASSES), ("a", "s1", EVERY, PASSES), ("a", "internet", EVERY, UNOWNED)],
    ),
    Row(
        "routing is the sender's subnet's affair",
        {"back": [("{front}", NONE)]},
        [("b", "a", EVERY, UNOWNED), ("nva", "a", EVERY, PASSES), ("nva", "b", EVERY, PASSES)],
    ),
    Row(
        "a service tag as prefix",
        {"front": [("Storage", NONE)]},
        [("a", "storage", EVERY, UNOWNED), ("a", "internet", EVERY, PASSES)],
        versions=(4,),
    ),
    Row(
        "a written prefix wins over a tag's",
        {"front": [("Storage", NONE), ("20.60.0.0/16", INTERNET)]},
        [("a", "storage", EVERY, PASSES)],
        versions=(4,),
    ),
    # -- forced tunnelling
    Row(
        "a default route leads what is for the internet to the appliance",
        {"front": [("{everything}", "{nva}")]},
        [
            ("a", "internet", EVERY, "passes via nva"),
            ("a", "storage", EVERY, "passes via nva"),
            ("a", "b", EVERY, PASSES),
        ],
        versions=(4,),
    ),
    Row(
        "a default route leads what is for the internet to the appliance, in IPv6 to its end there",
        {"front": [("{everything}", "{nva}")]},
        [("a", "internet", EVERY, "no_outbound there via nva"), ("a", "b", EVERY, PASSES)],
        versions=(6,),
    ),
    Row(
        "a spoke's default route to the hub's appliance",
        {"s1": [("{everything}", "{nva}")]},
        [("s1", "internet", EVERY, "passes via nva"), ("s1", "a", EVERY, PASSES)],
        versions=(4,),
    ),
    Row(
        "four hundred routes, the last of which decides",
        {"front": [*((f"{{b{n}}}", NONE) for n in range(399)), ("{back}", "{nva}")], "back": [("{front}", "{nva}")]},
        [("a", "b", EVERY, "passes via nva"), ("a", "nobody", EVERY, UNOWNED)],
    ),
]
WORDS[4] |= {f"b{n}": f"10.1.{2 + n // 250}.{n % 250 + 5}/32" for n in range(399)}
WORDS[6] |= {f"b{n}": f"fd00:1:0:2::{n + 0x100:x}/128" for n in range(399)}


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    """The file beside this one; its appliances forward, and translate what they send to the internet."""
    with stage(Path(__file__).with_name("hub-and-spokes.yaml")) as made:
        for vm in ("nva", "nva2"):
            made.run(vm, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
            made.run(vm, "sysctl", "-qw", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0")
        with namespace.entered(made.lab.vm("nva")):
            ruleset.run(
                "table ip nva { chain out { type nat hook postrouting priority srcnat;"
                " ip daddr { 198.51.100.0/24, 20.60.0.0/16 } masquerade\n}\n}\n"
            )
        # Addresses that packets could arrive at, would the fabric lead them there.
        for address in (
            "10.1.2.200/32",
            "10.99.0.1/32",
            "172.16.5.5/32",
            "100.64.9.9/32",
            "fd00:1:0:2::200/128",
            "fd99::1/128",
        ):
            made.run("b", "ip", "addr", "add", address, "dev", "lo")
        for address in ("2001:db8:1::10/128", "172.16.5.5/32"):
            execute("ip", "-n", names.INTERNET, "addr", "add", address, "dev", "lo")
        b, internet = made.lab.vm("b"), made.lab.internet()
        made.places |= {
            "nobody": Place(b, {4: "10.1.2.200", 6: "fd00:1:0:2::200"}),
            "private10": Place(b, {4: "10.99.0.1", 6: "fd99::1"}),
            "private172": Place(internet, {4: "172.16.5.5"}),
            "shared": Place(b, {4: "100.64.9.9"}),
            "internet": Place(internet, {4: "198.51.100.10", 6: "2001:db8:1::10"}),
            "storage": Place(internet, {4: "20.60.0.10"}),
        }
        yield made


@pytest.fixture(scope="module")
def sights(net: Stage) -> Iterator[dict[str, Sight]]:
    """What the appliances see."""
    with ExitStack() as stack:
        yield {vm: stack.enter_context(sight(net.lab.vm(vm))) for vm in ("nva", "nva2")}


def set_up(net: Stage, routes: dict[str, list[UserRoute]], version: int) -> Resources:
    """The file's resources with the routes of some tables."""
    resources = net.declared
    words = {**WORDS[version], **net.words(version)}
    for table, listed in routes.items():
        resources[f"routeTables/{table}"]["properties"] = {
            "routes": [
                {"name": f"r{number}", "properties": route(*filled([prefix, hop], words))}
                for number, (prefix, hop) in enumerate(listed)
            ]
        }
    return resources


def route(prefix: str, hop: str) -> dict[str, Any]:
    if hop in {NONE, LOCAL, INTERNET, GATEWAY}:
        return {"addressPrefix": prefix, "nextHopType": hop}
    return {"addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": hop}


def outcome_and_way(net: Stage, sights: dict[str, Sight], flow: tuple[str, str, str], version: int) -> str:
    """What became of a flow (caller, called, protocol), and which appliances saw it."""
    caller, called, protocol = flow
    for each in sights.values():
        each.forget()
    found = net.outcome(caller, called, protocol, PORT, version=version)
    ends = (net.places[caller].addresses[version], net.places[called].addresses[version])
    if called in sights or caller in sights:
        return found
    words = {"": "", ">": " there via {}", "<": " back via {}", "><": " via {}"}
    return found + "".join(words[each.directions(*ends)].format(vm) for vm, each in sights.items())


@pytest.mark.parametrize(
    ("row", "version"),
    [pytest.param(row, version, id=f"{row.name}, IPv{version}") for row in ROWS for version in row.versions],
)
def test_packets_take_the_route(net: Stage, sights: dict[str, Sight], row: Row, version: int) -> None:
    resources = set_up(net, row.routes, version)
    if row.more:
        row.more(resources)
    net.apply(resources)
    flows = [
        (caller, called, protocol, expected)
        for caller, called, protocols, expected in row.flows
        for protocol in ((protocols,) if isinstance(protocols, str) else protocols)
    ]
    found = [(*each[:3], outcome_and_way(net, sights, each[:3], version)) for each in flows]
    assert found == flows


@pytest.mark.parametrize("version", [4, 6])
def test_removing_a_route_restores_the_way(net: Stage, sights: dict[str, Sight], version: int) -> None:
    both = {"front": [("{back}", "{nva}")], "back": [("{front}", "{nva}")]}
    for routes, way in ((both, "passes via nva"), ({"front": [("{back}", NONE)]}, UNOWNED), ({}, PASSES)) * 2:
        net.apply(set_up(net, routes, version))
        for protocol in EVERY:
            assert outcome_and_way(net, sights, ("a", "b", protocol), version) == way


@pytest.mark.parametrize("version", [4, 6])
def test_taking_the_table_from_the_subnet_restores_the_way(net: Stage, sights: dict[str, Sight], version: int) -> None:
    routes: dict[str, list[UserRoute]] = {"front": [("{back}", NONE)]}
    net.apply(set_up(net, routes, version))
    assert outcome_and_way(net, sights, ("a", "b", TCP), version) == UNOWNED
    resources = set_up(net, routes, version)
    front = next(each for each in resources["virtualNetworks/hub"]["properties"]["subnets"] if each["name"] == "front")
    del front["properties"]["routeTable"]
    net.apply(resources)
    assert outcome_and_way(net, sights, ("a", "b", TCP), version) == PASSES


@pytest.mark.parametrize("version", [4, 6])
def test_an_established_connection_takes_the_new_route(net: Stage, sights: dict[str, Sight], version: int) -> None:
    net.apply(net.declared)
    with connected(net.places["a"], net.places["b"], version, PORT) as ends:
        net.apply(set_up(net, {"front": [("{back}", NONE)]}, version))
        watch = net.watch()
        ends[0].sendall(b"nowhere")
        assert watch.until(ends[1]) == UNOWNED


@pytest.mark.parametrize("version", [4, 6])
def test_the_platform_is_reached_whatever_the_routes(net: Stage, version: int) -> None:
    """The platform has IPv4 addresses; routes of both families leave it alone."""
    net.apply(set_up(net, {"front": [("{everything}", NONE)]}, version))
    for address in ("168.63.129.16", "169.254.169.254"):
        assert call(net.places["a"], address, 4, net.watch(), 80) == PASSES


@pytest.mark.parametrize("version", [4, 6])
def test_what_comes_back_another_way_finds_no_connection(net: Stage, sights: dict[str, Sight], version: int) -> None:
    net.apply(set_up(net, {"front": [("{back}", "{nva}")]}, version))
    ways = {protocol: outcome_and_way(net, sights, ("a", "b", protocol), version) for protocol in EVERY}
    assert ways == {
        TCP: "out_of_state there via nva",
        ICMP: "out_of_state there via nva",
        UDP: "passes there via nva",  # a datagram back is the first of a flow of its own
    }
