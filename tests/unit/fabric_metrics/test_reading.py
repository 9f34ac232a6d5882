"""What is measured at a moment, from an intent and from what the kernel says."""

from __future__ import annotations

from podvnet.fabric.metrics.point import Point
from podvnet.fabric.metrics.reading import NetworkReading, Translated, points, watched
from podvnet.model.intent import Intent
from podvnet.testing.balancing_draft import BalancingDraft
from podvnet.testing.draft import Draft, network_id

HUB = network_id("virtualNetworks", "hub")
AWAY = "198.51.100.7"


def drafted() -> Intent:
    """Two members behind a public load balancer, the second down; a subnet with a NAT gateway beside them."""
    made = BalancingDraft()
    made.network("hub", "10.0.0.0/16", front="10.0.1.0/24", back="10.0.2.0/24")
    made.network("quiet", "10.9.0.0/16", front="10.9.1.0/24")
    made.public("pip", "203.0.113.10/32")
    made.public("way", "203.0.113.20/32")
    made.balancer("lb", "pip", rules={"r": "Tcp 80>8080 probe"}, outbound={"out": "Tcp f0 16"})
    for name, address in (("one", "10.0.1.4"), ("two", "10.0.1.5")):
        made.nic(name, "hub/front", address)
        made.join(name, "lb")
    made.healthy("lb", "10.0.1.4")
    made.gateway("exit", "hub/back", "way")
    made.nic("three", "hub/back", "10.0.2.4")
    return made.intent


def left(source: str, public: str, port: int) -> Translated:
    first, answer = Draft.flow(f"tcp {source} > {AWAY} 443"), Draft.flow(f"tcp {AWAY} > {public} {port}")
    return Translated(first, answer)


def shown(found: list[Point], resource: str, metric: str) -> dict[str, float]:
    return {
        " ".join(each.dimensions): each.value
        for each in found
        if each.resource.endswith(resource) and each.metric.name == metric
    }


def test_networks_that_are_watched_have_a_way_out_with_ports() -> None:
    assert watched(drafted()) == {HUB}
    assert watched(Intent()) == set()


def test_a_load_balancer() -> None:
    old, new = left("10.0.1.4", "203.0.113.10", 1024), left("10.0.1.4", "203.0.113.10", 1030)
    others = left("10.0.2.4", "203.0.113.20", 1030), left("10.0.1.4", "203.0.113.10", 60_000)
    found = list(points(drafted(), {HUB.key: NetworkReading((old, new, *others), (new,), failed=3)}))
    assert shown(found, "/lb", "VipAvailability") == {"203.0.113.10 80": 100}
    assert shown(found, "/lb", "DipAvailability") == {
        "TCP 8080 203.0.113.10 80 10.0.1.4": 100,
        "TCP 8080 203.0.113.10 80 10.0.1.5": 0,
    }
    assert shown(found, "/lb", "AllocatedSnatPorts") == {
        "203.0.113.10 10.0.1.4 TCP": 16,
        "203.0.113.10 10.0.1.5 TCP": 16,
    }
    assert shown(found, "/lb", "UsedSnatPorts") == {"203.0.113.10 10.0.1.4 TCP": 2, "203.0.113.10 10.0.1.5 TCP": 0}
    assert shown(found, "/lb", "SnatConnectionCount") == {"203.0.113.10 10.0.1.4 Successful": 1, "  Failed": 3}


def test_a_nat_gateway() -> None:
    mine, others = left("10.0.2.4", "203.0.113.20", 1024), left("10.0.1.4", "203.0.113.10", 1024)
    reading = NetworkReading((mine, others), (mine, others), failed=1, unsupported=4)
    found = list(points(drafted(), {HUB.key: reading}))
    assert shown(found, "/exit", "TotalConnectionCount") == {"6: TCP": 1, "17: UDP": 0}
    assert shown(found, "/exit", "SNATConnectionCount") == {"6: TCP Attempted": 1, "17: UDP Attempted": 0, " Failed": 1}
    assert shown(found, "/exit", "PacketDropCount") == {"": 5}


def test_a_network_that_could_not_be_read_leaves_out_what_it_would_say() -> None:
    found = list(points(drafted(), {}))
    assert shown(found, "/lb", "VipAvailability")
    assert not shown(found, "/lb", "UsedSnatPorts")
    assert not shown(found, "/exit", "PacketDropCount")
