"""An ExpressRoute circuit of two links beside a VPN to the same office: the way of packets as links die and return."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from podvnet.fabric.gateways import link_counters
from podvnet.linux import namespace
from podvnet.plan import names
from podvnet.testing.cni import eventually
from podvnet.testing.gateway_stage import GROUP, GatewayStage, gateway_stage

FILE = Path(__file__).parent / "gateway-express-route.yaml"
EDGE = f"{names.PREFIX}edge-line"
LINE, VPN = f"{names.PREFIX}gateway-er", f"{names.PREFIX}gateway-vpn"
LINKS = ("primary", "secondary")
SECONDS = 120
"""For what takes seconds on a quiet machine."""
FAILOVER = 20
"""BFD gives a link up after 0.9 s; the rest is for a machine that others use. BGP by itself would wait for 180 s."""
PLENTY = 200_000
"""Bytes that the sessions of the links alone do not come to while they are waited for."""


@pytest.fixture(scope="module")
def stage() -> Iterator[GatewayStage]:
    hosts = (("desk", "office..desk", "192.168.10.10"),)
    pods = (("hub-pod", "hub"), ("spoke-pod", "spoke"))
    with gateway_stage(FILE, hosts, pods, (("hub", "10.90.1.4"),)) as made:
        for name in ("to-office", "to-line"):
            assert made.waits_for(name, SECONDS), made.connection(name)
        # A connection is up with one link; tests take away either.
        assert eventually(lambda: up(made) == [*LINKS], SECONDS), up(made)
        assert eventually(partial(takes, made, "line"), SECONDS)
        yield made


def way(stage: GatewayStage) -> str:
    """By which gateway a call from the office passes, as the links count; empty when it does not come about."""
    before = passed()
    answered = stage.reaches("desk", "hub-pod", timeout=1)
    line, tunnel = (now - then for now, then in zip(passed(), before, strict=True))
    if not answered:
        return ""
    return "line" if line > tunnel else "tunnel"


def passed() -> tuple[int, int]:
    """Bytes that each gateway has sent to the hub, that of ExpressRoute first."""
    return link_counters.read(LINE)["vnet1"][1], link_counters.read(VPN)["vnet1"][1]


def carried(link: str) -> int:
    """Bytes that a link of the circuit has carried, both ways."""
    return sum(link_counters.read(EDGE)[link])


def passes(stage: GatewayStage, link: str, caller: str, called: str, *, calls: int = 1) -> bool:
    """Whether calls come about, each over a link of the circuit."""
    for _ in range(calls):
        before = carried(link)
        if not stage.reaches(caller, called, timeout=0.3) or carried(link) == before:
            return False
    return True


@contextmanager
def dead(*links: str) -> Iterator[None]:
    """Links of the circuit that drop everything without a word."""
    for link in links:
        hook = f"type filter hook ingress device {link} priority 0; policy drop;"
        nft(f"table netdev {link} {{\n chain cut {{\n {hook}\n }}\n}}\n")
    try:
        yield
    finally:
        for link in links:
            nft(f"delete table netdev {link}")


def nft(text: str) -> None:
    inside = f"--net={namespace.path(EDGE)}"
    subprocess.run(["nsenter", inside, "--", "nft", "-f", "-"], input=text, text=True, check=True)


@pytest.mark.parametrize("pod", ["hub-pod", "spoke-pod", "hub"])
def test_the_office_and_pods_reach_each_other_with_their_own_addresses(stage: GatewayStage, pod: str) -> None:
    assert stage.waits_to_reach("desk", pod, SECONDS), stage.call("desk", pod)
    assert stage.waits_to_reach(pod, "desk", SECONDS), stage.call(pod, "desk")


def test_express_route_is_preferred_for_equal_prefixes(stage: GatewayStage) -> None:
    assert eventually(partial(takes, stage, "line"), SECONDS)
    nics: Any = stage.cloud.network.network_interfaces

    def active() -> list[list[str]]:
        routes = nics.begin_get_effective_route_table(GROUP, "hub").result().value
        learned = [each for each in routes if each.source == "VirtualNetworkGateway" and each.state == "Active"]
        return [each.address_prefix for each in learned]

    assert eventually(lambda: ["192.168.10.0/24"] in active(), SECONDS), active()


def test_one_dead_link_moves_its_traffic_to_the_other(stage: GatewayStage) -> None:
    for link, other in (LINKS, LINKS[::-1]):
        with dead(link):
            began = time.monotonic()
            # By the VPN for a moment, when the office has not heard yet what the other link leads to.
            assert eventually(partial(passes, stage, other, "desk", "hub-pod", calls=8), FAILOVER)
            assert time.monotonic() - began < FAILOVER
            assert eventually(partial(passes, stage, other, "hub-pod", "desk"), FAILOVER)
            assert eventually(partial(takes, stage, "line"), FAILOVER)
            assert stage.waits_for("to-line", SECONDS)
        assert eventually(lambda: up(stage) == [*LINKS], SECONDS)


def up(stage: GatewayStage) -> list[str]:
    """The links whose BGP session is up, as the edge's routes say."""
    circuits: Any = stage.cloud.network.express_route_circuits
    found = []
    for link in LINKS:
        table = circuits.begin_list_routes_table(GROUP, "line", "AzurePrivatePeering", link).result().value or []
        if any(each.network == "192.168.10.0/24" for each in table):
            found.append(link)
    return found


def test_the_vpn_is_taken_while_both_links_are_dead_and_left_when_they_are_back(stage: GatewayStage) -> None:
    with dead(*LINKS):
        assert eventually(partial(takes, stage, "tunnel"), FAILOVER)
        for pod in ("hub-pod", "spoke-pod"):
            assert stage.waits_to_reach(pod, "desk", FAILOVER)
            assert stage.waits_to_reach("desk", pod, FAILOVER)
        assert stage.waits_for("to-line", SECONDS, connected=False)
        assert stage.waits_for("to-office", SECONDS)
    assert eventually(partial(takes, stage, "line"), SECONDS)
    assert stage.waits_for("to-line", SECONDS)


def test_a_transfer_goes_on_through_the_loss_of_both_links(stage: GatewayStage) -> None:
    """One connection, its bytes acknowledged by the office, while routes move to the VPN under it and back."""
    with stage.transfer("hub-pod", "desk") as transfer:
        assert eventually(lambda: transfer.rounds > 0, SECONDS)
        with dead(*LINKS):
            before = transfer.rounds
            assert eventually(lambda: transfer.rounds > before + 2, SECONDS)
        assert eventually(partial(takes, stage, "line"), SECONDS)
        before = transfer.rounds
        assert eventually(lambda: transfer.rounds > before + 2, SECONDS)


def test_circuits_say_what_is_true_of_their_links(stage: GatewayStage) -> None:
    circuits: Any = stage.cloud.network.express_route_circuits
    table = circuits.begin_list_arp_table(GROUP, "line", "AzurePrivatePeering", "primary").result().value
    assert {each.ip_address for each in table} >= {"172.31.0.1", "172.31.0.2"}

    def received() -> int:
        stats = circuits.get_stats(GROUP, "line")
        return int(stats.primarybytes_in + stats.secondarybytes_in)

    before = received()
    with stage.transfer("desk", "hub-pod"):
        assert eventually(lambda: received() > before + PLENTY, SECONDS)
    gateways: Any = stage.cloud.network.virtual_network_gateways

    def learned() -> dict[str, str]:
        found = gateways.begin_get_learned_routes(GROUP, "er").result().value
        return {each.network: each.as_path for each in found}

    assert eventually(lambda: learned().get("192.168.10.0/24") == "12076-65010", SECONDS), learned()


def test_another_md5_key_ends_the_sessions_and_the_right_one_brings_them_back(stage: GatewayStage) -> None:
    peerings: Any = stage.cloud.network.express_route_circuit_peerings
    peering = peerings.get(GROUP, "line", "AzurePrivatePeering")
    for key, connected in (("notTheKey", False), ("keyOfTheLine", True)):
        peering.shared_key = key
        peerings.begin_create_or_update(GROUP, "line", "AzurePrivatePeering", peering).result()
        assert stage.waits_for("to-line", SECONDS, connected=connected)
        taken = "line" if connected else "tunnel"
        assert eventually(partial(takes, stage, taken), SECONDS)


def takes(stage: GatewayStage, wanted: str) -> bool:
    return way(stage) == wanted
