"""What FRR is told of speakers, and how one becomes another."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from podvnet.fabric.gateways import frr_settings
from podvnet.model.intent import Intent
from podvnet.plan.speakers import Speaker, speakers
from podvnet.testing.gateway_file import CIRCUIT_KEY


@pytest.fixture
def found(intent: Intent) -> dict[str, Speaker]:
    return {each.namespace: each for each in speakers(intent)}


def lines(speaker: Speaker) -> list[str]:
    return [each.strip() for each in frr_settings.settings(speaker).splitlines()]


def test_there_is_a_speaker_for_each_gateway_circuit_and_site(found: dict[str, Speaker]) -> None:
    asns = {namespace: speaker.asn for namespace, speaker in found.items()}
    assert asns == {
        "podvnet-gateway-vpn": 65515,
        "podvnet-gateway-er": 65515,
        "podvnet-edge-line": 12076,
        "podvnet-site-office": 65010,
    }


def test_a_gateway_announces_its_networks_and_takes_neither_its_own_nor_too_many(found: dict[str, Speaker]) -> None:
    told = lines(found["podvnet-gateway-vpn"])
    assert {"network 10.0.0.0/16", "network 10.1.0.0/16"} <= set(told)
    assert "ip prefix-list refused seq 1 deny 10.0.0.0/16" in told
    assert "ip prefix-list withheld seq 1 deny 0.0.0.0/0" in told
    assert "neighbor 192.168.255.1 maximum-prefix 4000" in told
    assert "neighbor 192.168.255.1 update-source 10.0.255.30" in told
    assert "timers bgp 60 180" in told


def test_what_overlaps_a_virtual_network_is_passed_on_to_nobody(found: dict[str, Speaker]) -> None:
    lists = [
        each.split(" ", 5) for each in lines(found["podvnet-gateway-vpn"]) if each.startswith("ip prefix-list with")
    ]
    told = [each[5] for each in lists]
    assert told[0] == "deny 0.0.0.0/0"
    assert told[-1] == "permit 0.0.0.0/0 le 32"
    for network in ("10.0.0.0/16", "10.1.0.0/16"):
        assert told.index(f"permit {network}") < told.index(f"deny {network} le 32")
    assert {"deny 10.0.0.0/15", "deny 10.0.0.0/8", "deny 0.0.0.0/1"} <= set(told)
    assert len(told) == len(set(told))
    # A site and Microsoft's edge pass on everything.
    for namespace in ("podvnet-edge-line", "podvnet-site-office"):
        assert "ip prefix-list withheld seq 1 permit 0.0.0.0/0 le 32" in lines(found[namespace])


def test_another_virtual_network_is_filtered_before_it_is_announced(found: dict[str, Speaker]) -> None:
    before = found["podvnet-gateway-vpn"]
    more = ip_network("10.2.0.0/16")
    after = replace(before, networks=(*before.networks, more), own=(*before.own, more))
    commands = frr_settings.changes(before, after)
    assert commands is not None
    permits = [each for each in commands if each.endswith(f"permit {more}")]
    assert len(permits) == 1
    assert commands.index(permits[0]) < commands.index(f"network {more}")
    assert frr_settings.filters(before) != frr_settings.filters(after)


def test_the_weight_of_a_connection_is_that_of_its_session(intent: Intent) -> None:
    connections = {key: replace(each, routing_weight=7) for key, each in intent.connections.items()}
    found = {each.namespace: each for each in speakers(replace(intent, connections=connections))}
    assert "neighbor 192.168.255.1 weight 7" in lines(found["podvnet-gateway-vpn"])


def test_a_gateway_without_bgp_speaks_to_nobody(intent: Intent) -> None:
    gateways = {key: replace(each, bgp=False) for key, each in intent.gateways.items()}
    found = {each.namespace for each in speakers(replace(intent, gateways=gateways))}
    assert "podvnet-gateway-vpn" not in found


def test_a_circuit_has_two_sessions_with_md5_and_bfd(found: dict[str, Speaker]) -> None:
    for namespace, addresses in (
        ("podvnet-edge-line", ("172.16.1.1", "172.16.1.5")),
        ("podvnet-site-office", ("172.16.1.2", "172.16.1.6")),
    ):
        told = lines(found[namespace])
        for address in addresses:
            assert f"neighbor {address} password {CIRCUIT_KEY}" in told
            assert f"neighbor {address} bfd" in told
            assert f"neighbor {address} ebgp-multihop 16" not in told
    assert CIRCUIT_KEY not in repr(found)


def test_the_edge_drops_a_session_with_more_prefixes_than_its_circuit_has_room_for(intent: Intent) -> None:
    assert {"neighbor 172.16.1.1 maximum-prefix 4000", "neighbor 172.16.1.5 maximum-prefix 4000"} <= edge(intent)
    circuits = {key: replace(each, premium=True) for key, each in intent.circuits.items()}
    told = edge(replace(intent, circuits=circuits))
    assert {"neighbor 172.16.1.1 maximum-prefix 10000", "neighbor 172.16.1.5 maximum-prefix 10000"} <= told
    assert len([each for each in told if each.endswith("maximum-prefix 1000")]) == 1


def edge(intent: Intent) -> set[str]:
    (found,) = (each for each in speakers(intent) if each.namespace == "podvnet-edge-line")
    return set(lines(found))


def test_a_site_takes_the_circuit_before_the_tunnel(found: dict[str, Speaker]) -> None:
    told = lines(found["podvnet-site-office"])
    assert told.count("set local-preference 200") == 2
    assert "neighbor 10.0.255.30 route-map heard-10.0.255.30 in" in told


def test_a_neighbor_behind_a_tunnel_is_found_by_a_hop_that_no_prefix_holds(found: dict[str, Speaker]) -> None:
    speaker = found["podvnet-gateway-vpn"]
    (neighbor,) = speaker.neighbors
    assert neighbor.hop in ip_network("169.254.64.0/19")
    ways = frr_settings.ways(speaker)
    assert [each.split()[2] for each in ways] == ["192.168.255.1/32", f"{neighbor.hop}/32"]
    assert f"set ip next-hop {neighbor.hop}" in lines(speaker)


def test_one_speaker_becomes_another_without_a_word_to_who_stays(found: dict[str, Speaker]) -> None:
    before = found["podvnet-site-office"]
    first, *others = before.neighbors
    changed = replace(first, password="another")
    after = replace(before, neighbors=(changed, *others), networks=(ip_network("192.168.7.0/24"),))
    commands = frr_settings.changes(before, after)
    assert commands is not None
    assert f"no neighbor {first.address}" in commands
    assert f"neighbor {first.address} password another" in commands
    assert "no network 192.168.0.0/16" in commands
    assert "network 192.168.7.0/24" in commands
    assert not [each for each in commands for other in others if f"neighbor {other.address} " in each]
    assert frr_settings.changes(before, before) == ()


def test_another_identity_begins_anew(found: dict[str, Speaker]) -> None:
    before = found["podvnet-edge-line"]
    assert frr_settings.changes(before, replace(before, asn=65001)) is None
    assert frr_settings.changes(before, replace(before, identifier=ip_address("10.9.9.9"))) is None
