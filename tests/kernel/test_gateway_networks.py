"""Virtual networks that their gateways connect: by BGP, between gateways of two instances, and by what is written."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from podvnet.linux import namespace
from podvnet.plan import names
from podvnet.testing.cni import eventually
from podvnet.testing.gateway_stage import GROUP, GatewayStage, gateway_stage

FILE = Path(__file__).parent / "gateway-networks.yaml"
VMS = (("east", "10.90.1.4"), ("west", "10.91.1.4"), ("south", "10.92.1.4"))
PAIRS = (("east", "west"), ("east", "south"))
SECONDS = 120
"""For what takes seconds on a quiet machine."""


@pytest.fixture(scope="module")
def stage() -> Iterator[GatewayStage]:
    with gateway_stage(FILE, (), (), VMS) as made:
        assert eventually(lambda: is_whole(made), SECONDS)
        yield made


def tunnels(stage: GatewayStage, name: str) -> list[str]:
    """What is said of each tunnel of a connection."""
    return [each["connectionStatus"] for each in stage.connection(name)["tunnelConnectionStatus"]]


def is_whole(stage: GatewayStage) -> bool:
    """Whether each side has both tunnels, and places reach each other."""
    return all(
        tunnels(stage, f"{one}-to-{other}") == ["Connected", "Connected"] and stage.reaches(one, other)
        for pair in PAIRS
        for one, other in (pair, pair[::-1])
    )


@contextmanager
def silent(end: str) -> Iterator[None]:
    """A tunnel's end that hears nothing any more."""
    inside = ["nsenter", f"--net={namespace.path(f'{names.PREFIX}gateway-{end}')}", "--", "nft"]
    hook = "type filter hook ingress device outer priority 0; policy drop;"
    text = f"table netdev silence {{\n chain cut {{\n {hook}\n }}\n}}\n"
    subprocess.run([*inside, "-f", "-"], input=text, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*inside, "delete", "table", "netdev", "silence"], check=True)


@pytest.mark.parametrize(("one", "other"), [*PAIRS, *(pair[::-1] for pair in PAIRS)])
def test_networks_reach_each_other_with_their_own_addresses(stage: GatewayStage, one: str, other: str) -> None:
    assert stage.waits_to_reach(one, other, SECONDS), stage.call(one, other)

    def counted() -> list[int]:
        found = stage.connection(f"{one}-to-{other}")
        return [found[f"{way}BytesTransferred"] for way in ("ingress", "egress")]

    before = counted()
    assert stage.waits_to_reach(one, other, SECONDS)
    assert eventually(lambda: all(now > then for now, then in zip(counted(), before, strict=True)), SECONDS)


def test_gateways_with_bgp_learn_each_other_s_networks(stage: GatewayStage) -> None:
    gateways: Any = stage.cloud.network.virtual_network_gateways

    def peers() -> list[tuple[str, int, str]]:
        found = gateways.begin_get_bgp_peer_status(GROUP, "west").result().value or []
        return [(each.neighbor, each.asn, each.state) for each in found]

    def learned() -> dict[str, str]:
        found = gateways.begin_get_learned_routes(GROUP, "west").result().value or []
        return {each.network: each.as_path for each in found if each.origin == "EBgp"}

    assert eventually(lambda: peers() == [("10.90.255.4", 65001, "Connected")], SECONDS), peers()
    assert eventually(lambda: learned() == {"10.90.0.0/16": "65001"}, SECONDS), learned()


def test_what_is_written_leads_no_further_than_to_the_other_network(stage: GatewayStage) -> None:
    assert not stage.reaches("west", "south", timeout=0.5)
    assert not stage.reaches("south", "west", timeout=0.5)


@pytest.mark.parametrize("position", ["", "..1"])
@pytest.mark.parametrize("other", ["west", "south"])
def test_when_an_instance_is_lost_the_other_carries_all(stage: GatewayStage, other: str, position: str) -> None:
    assert eventually(lambda: is_whole(stage), SECONDS)
    with stage.transfer("east", other) as transfer:
        with silent(f"east..east-to-{other}{position}"):
            sides = (f"east-to-{other}", f"{other}-to-east")
            left = [["Connected", "NotConnected"]] * 2
            assert eventually(lambda: [sorted(tunnels(stage, name)) for name in sides] == left, SECONDS)
            before = transfer.rounds
            assert eventually(lambda: transfer.rounds > before, SECONDS)
            assert stage.waits_to_reach("east", other, SECONDS)
            assert stage.waits_to_reach(other, "east", SECONDS)
        assert eventually(lambda: is_whole(stage), SECONDS)


def test_two_keys_that_differ_connect_nothing(stage: GatewayStage) -> None:
    try:
        stage.connections.begin_set_shared_key(GROUP, "south-to-east", {"value": "another"}).result()
        for name in ("south-to-east", "east-to-south"):
            assert stage.waits_for(name, SECONDS, connected=False), stage.connection(name)
        assert not stage.reaches("east", "south", timeout=0.5)
        assert stage.waits_to_reach("east", "west", SECONDS)  # another connection does not notice
    finally:
        stage.connections.begin_set_shared_key(GROUP, "south-to-east", {"value": "key-of-the-south"}).result()
    assert eventually(lambda: is_whole(stage), SECONDS)


def test_a_connection_that_only_one_side_has_carries_nothing(stage: GatewayStage) -> None:
    assert eventually(lambda: is_whole(stage), SECONDS)
    stage.connections.begin_delete(GROUP, "south-to-east").result()
    assert stage.waits_for("east-to-south", SECONDS, connected=False)
    assert not stage.reaches("east", "south", timeout=0.5)
    assert stage.waits_to_reach("east", "west", SECONDS)
