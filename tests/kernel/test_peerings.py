"""What peerings carry, as the Azure document "Virtual network peering" says: one row a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from podvnet.testing.rule import deny
from podvnet.testing.stage import RefusedError, Resources, Stage, stage
from podvnet.testing.traffic import ICMP, PASSES, TCP, UDP, Place, connected

EVERY = (TCP, UDP, ICMP)
PORT = 7001
NOWHERE = {4: "unowned", 6: "no_outbound"}
"""What drops a packet to a private address of another network: of IPv4 the reserved routes, of IPv6 the way out."""
REFUSED, FOREIGN = "peer_refused", "foreign_source"

Change = Callable[[Resources], None]


def peering(resources: Resources, network: str, remote: str) -> dict[str, Any]:
    """The properties of one side of a peering."""
    listed = resources[f"virtualNetworks/{network}"]["properties"]["virtualNetworkPeerings"]
    found: dict[str, Any] = next(each for each in listed if each["name"] == remote)["properties"]
    return found


def flags(network: str, remote: str, **values: bool) -> Change:
    """One side's flags."""
    return lambda resources: peering(resources, network, remote).update(values)


def without(*sides: tuple[str, str]) -> Change:
    """Some sides are not there."""

    def change(resources: Resources) -> None:
        for network, remote in sides:
            properties = resources[f"virtualNetworks/{network}"]["properties"]
            properties["virtualNetworkPeerings"] = [
                each for each in properties["virtualNetworkPeerings"] if each["name"] != remote
            ]

    return change


def routed(*routes: tuple[str, str, str]) -> Change:
    """Routes to the hub's appliance in both families: table, IPv4 prefix, IPv6 prefix."""

    def change(resources: Resources) -> None:
        for table, *prefixes in routes:
            resources[f"routeTables/{table}"]["properties"] = {
                "routes": [
                    {
                        "name": f"via-{number}",
                        "properties": {
                            "addressPrefix": prefix,
                            "nextHopType": "VirtualAppliance",
                            "nextHopIpAddress": appliance,
                        },
                    }
                    for number, (prefix, appliance) in enumerate(
                        zip(prefixes, ("10.1.3.4", "fd00:1:0:3::4"), strict=True)
                    )
                ]
            }

    return change


def guarded(resources: Resources) -> None:
    """The hub's subnet ``front`` denies what comes from its virtual network."""
    rules = [deny("ours", 100, "Inbound", source="VirtualNetwork"), deny("theirs", 110, "Inbound", source="Internet")]
    resources["networkSecurityGroups/nva"]["properties"] = {"securityRules": rules}
    subnets = resources["virtualNetworks/hub"]["properties"]["subnets"]
    subnets[0]["properties"]["networkSecurityGroup"] = {"id": "networkSecurityGroups/nva"}


def all_of(*changes: Change) -> Change:
    """Several changes."""

    def change(resources: Resources) -> None:
        for each in changes:
            each(resources)

    return change


TO_SPOKE1, TO_SPOKE2 = ("10.2.0.0/16", "fd00:2::/48"), ("10.3.0.0/16", "fd00:3::/48")
SPOKE_TO_SPOKE = routed(("s1", *TO_SPOKE2), ("s2", *TO_SPOKE1))


@dataclass(frozen=True)
class Row:
    """What a documented sentence means for packets: caller, called, protocols, what becomes of them."""

    name: str
    change: Change
    flows: list[tuple[str, str, str | tuple[str, ...], str]]


ROWS = [
    Row(
        "connected networks talk both ways",
        all_of(),
        [
            ("a", "s1", EVERY, PASSES),
            ("s1", "a", EVERY, PASSES),
            ("b", "s2", EVERY, PASSES),
            ("s2", "b", EVERY, PASSES),
        ],
    ),
    Row(
        "who is peered with one's peer is no peer",
        all_of(),
        [("s1", "s2", EVERY, "nowhere"), ("s2", "s1", EVERY, "nowhere")],
    ),
    # -- access
    Row(
        "without access on the sender's side nothing is carried",
        flags("hub", "spoke1", allowVirtualNetworkAccess=False),
        [("a", "s1", EVERY, REFUSED), ("s1", "a", EVERY, REFUSED), ("a", "s2", EVERY, PASSES)],
    ),
    Row(
        "without access on the receiver's side nothing is carried",
        flags("spoke1", "hub", allowVirtualNetworkAccess=False),
        [("a", "s1", EVERY, REFUSED), ("s1", "a", EVERY, REFUSED), ("a", "s2", EVERY, PASSES)],
    ),
    Row(
        "without access an appliance over there is out of reach",
        all_of(SPOKE_TO_SPOKE, flags("spoke1", "hub", allowVirtualNetworkAccess=False)),
        [("s1", "s2", EVERY, REFUSED), ("s2", "a", EVERY, PASSES)],
    ),
    Row(
        "VirtualNetwork is the peer's address space as well",
        guarded,
        [("s1", "a", EVERY, "nva ours"), ("b", "a", EVERY, "nva ours")],
    ),
    # -- forwarded traffic
    Row(
        "forwarded traffic passes where it is allowed",
        SPOKE_TO_SPOKE,
        [("s1", "s2", EVERY, PASSES), ("s2", "s1", EVERY, PASSES)],
    ),
    Row(
        "forwarded traffic is dropped by the network that does not allow it",
        all_of(SPOKE_TO_SPOKE, flags("spoke2", "hub", allowForwardedTraffic=False)),
        [
            ("s1", "s2", EVERY, FOREIGN),
            ("s2", "s1", (TCP, ICMP), FOREIGN),
            ("s2", "s1", UDP, f"answer: {FOREIGN}"),
            ("a", "s2", EVERY, PASSES),
            ("nva", "s2", EVERY, PASSES),
        ],
    ),
    Row(
        "what an appliance gets is not forwarded yet",
        all_of(
            SPOKE_TO_SPOKE,
            flags("hub", "spoke1", allowForwardedTraffic=False),
            flags("hub", "spoke2", allowForwardedTraffic=False),
        ),
        [("s1", "s2", EVERY, PASSES), ("s2", "s1", EVERY, PASSES)],
    ),
    Row(
        "forwarding flags mean nothing to a peer's own packets",
        all_of(
            flags("hub", "spoke1", allowForwardedTraffic=False),
            flags("spoke1", "hub", allowForwardedTraffic=False),
        ),
        [("a", "s1", EVERY, PASSES), ("s1", "a", EVERY, PASSES), ("s1", "nva", EVERY, PASSES)],
    ),
    Row(
        "a stranger's packets from a forwarding VM are forwarded traffic",
        flags("spoke1", "hub", allowForwardedTraffic=False),
        [("stranger", "s1", EVERY, FOREIGN), ("nva", "s1", EVERY, PASSES)],
    ),
    # -- gateways
    Row(
        "gateway flags without a gateway change nothing",
        flags("hub", "spoke1", allowGatewayTransit=True),
        [("a", "s1", EVERY, PASSES), ("s1", "a", EVERY, PASSES)],
    ),
]


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    """The file of the routes' tests; its appliance forwards."""
    with stage(Path(__file__).with_name("hub-and-spokes.yaml")) as made:
        made.run("nva", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for address in ("192.0.2.7/32", "2001:db8:2::7/128"):
            made.run("nva", "ip", "addr", "add", address, "dev", "lo")
        made.places["stranger"] = Place(made.lab.vm("nva"), {4: "192.0.2.7", 6: "2001:db8:2::7"})
        yield made


def begin(net: Stage, *changes: Change) -> None:
    """The file's resources, changed. Peerings are made anew: what was disconnected stays so otherwise."""
    bare = net.declared
    for network in ("hub", "spoke1", "spoke2"):
        bare[f"virtualNetworks/{network}"]["properties"]["virtualNetworkPeerings"] = []
    net.apply(bare)
    resources = net.declared
    all_of(*changes)(resources)
    net.apply(resources)


def check(net: Stage, version: int, *flows: tuple[str, str, str | tuple[str, ...], str]) -> None:
    """What becomes of flows."""
    wanted = [
        (caller, called, protocol, NOWHERE[version] if expected == "nowhere" else expected)
        for caller, called, protocols, expected in flows
        for protocol in ((protocols,) if isinstance(protocols, str) else protocols)
    ]
    found = [
        (caller, called, protocol, net.outcome(caller, called, protocol, PORT, version=version))
        for caller, called, protocol, _ in wanted
    ]
    assert found == wanted


def states(net: Stage) -> dict[str, str]:
    """The state of each side."""
    return {
        f"{document['name']} {each['name']}": each["properties"]["peeringState"]
        for document in net.lab.status()["resources"]
        if document["type"] == "Microsoft.Network/virtualNetworks"
        for each in document["properties"]["virtualNetworkPeerings"]
        if "spoke2" not in (document["name"], each["name"])
    }


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_packets_obey(net: Stage, row: Row, version: int) -> None:
    begin(net, row.change)
    check(net, version, *row.flows)


BOTH_WAYS_NOWHERE = (("a", "s1", EVERY, "nowhere"), ("s1", "a", EVERY, "nowhere"))
BOTH_WAYS = (("a", "s1", EVERY, PASSES), ("s1", "a", EVERY, PASSES))


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
def test_a_peering_that_is_initiated_carries_nothing_and_one_that_is_connected_does(net: Stage, version: int) -> None:
    begin(net, without(("spoke1", "hub")))
    assert states(net) == {"hub spoke1": "Initiated"}
    check(net, version, *BOTH_WAYS_NOWHERE, ("a", "s2", EVERY, PASSES))
    net.apply(net.declared)
    assert states(net) == {"hub spoke1": "Connected", "spoke1 hub": "Connected"}
    check(net, version, *BOTH_WAYS)


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("gone", [("hub", "spoke1"), ("spoke1", "hub")], ids=" ".join)
def test_a_peering_whose_other_side_is_deleted_carries_nothing_until_both_are_made_anew(
    net: Stage, gone: tuple[str, str], version: int
) -> None:
    begin(net)
    check(net, version, *BOTH_WAYS)
    resources = net.declared
    without(gone)(resources)
    net.apply(resources)
    assert states(net) == {" ".join(reversed(gone)): "Disconnected"}
    check(net, version, *BOTH_WAYS_NOWHERE, ("b", "s2", EVERY, PASSES))
    with pytest.raises(RefusedError, match="RemotePeeringIsDisconnected"):
        net.apply(net.declared)
    check(net, version, *BOTH_WAYS_NOWHERE)
    without(("hub", "spoke1"), ("spoke1", "hub"))(resources)
    net.apply(resources)
    net.apply(net.declared)
    check(net, version, *BOTH_WAYS)


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
def test_an_established_connection_ends_with_the_peering(net: Stage, version: int) -> None:
    begin(net)
    with connected(net.places["a"], net.places["s1"], version, PORT) as (near, far):
        resources = net.declared
        flags("spoke1", "hub", allowVirtualNetworkAccess=False)(resources)
        net.apply(resources)
        watch = net.watch()
        near.sendall(b"refused")
        assert watch.until(far) == REFUSED


def test_new_address_space_is_known_to_the_peer_once_it_is_synchronised(net: Stage) -> None:
    begin(net)
    resources = net.declared
    flags("spoke1", "hub", allowForwardedTraffic=False)(resources)
    hub = resources["virtualNetworks/hub"]["properties"]
    hub["addressSpace"]["addressPrefixes"] += ["10.9.0.0/16", "fd00:9::/48"]
    hub["subnets"].append({"name": "new", "properties": {"addressPrefixes": ["10.9.1.0/24", "fd00:9:0:1::/64"]}})
    for kind in ("networkInterfaces", "virtualMachines"):
        late = net.declared[f"{kind}/a"]
        late |= {"name": "late", "id": late["id"].removesuffix("/a") + "/late"}
        resources[f"{kind}/late"] = late
    for config in resources["networkInterfaces/late"]["properties"]["ipConfigurations"]:
        config["properties"]["subnet"] = {"id": "virtualNetworks/hub/subnets/new"}
    resources["virtualMachines/late"]["properties"]["networkProfile"]["networkInterfaces"] = [
        {"id": "networkInterfaces/late"}
    ]
    net.apply(resources)
    net.find_places()
    for version in (4, 6):
        check(net, version, ("a", "late", EVERY, PASSES), ("s1", "late", EVERY, "nowhere"))
        check(net, version, ("late", "s1", EVERY, FOREIGN))
    known = {"addressPrefixes": list(hub["addressSpace"]["addressPrefixes"])}
    peering(resources, "spoke1", "hub")["remoteAddressSpace"] = known
    net.apply(resources)
    for version in (4, 6):
        check(net, version, ("s1", "late", EVERY, PASSES), ("late", "s1", EVERY, PASSES))
        check(net, version, ("s2", "late", EVERY, "nowhere"))
