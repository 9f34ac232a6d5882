"""A VPN gateway with real tunnels: strongSwan at every end, FRR where BGP is spoken, pods and hosts on premises."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from podvnet.cli import client
from podvnet.linux import namespace
from podvnet.runtime import probe
from podvnet.testing.cni import eventually
from podvnet.testing.gateway_stage import GATEWAY_RUN, GROUP, GatewayStage, gateway_stage
from podvnet.testing.lab import podvnet

FILE = Path(__file__).parent / "gateway-vpn.yaml"
WEB = "198.51.100.9"
PARIS, LYON = "198.51.100.10", "198.51.100.20"
TUNNEL_MTU, LARGEST_SEGMENT = 1400, 1350
SECONDS = 120
"""For what takes seconds on a quiet machine."""


@pytest.fixture(scope="module")
def stage() -> Iterator[GatewayStage]:
    hosts = (("paris", "paris..desk", "192.168.10.10"), ("lyon", "lyon..desk", "192.168.20.10"))
    pods = (("hub-pod", "hub"), ("spoke-pod", "spoke"))
    vms = (("hub", "10.80.1.4"), ("alone", "10.80.2.4"))
    with gateway_stage(FILE, hosts, pods, vms) as made:
        made.lab.servers.listen(made.lab.internet(), WEB)
        for name in ("to-paris", "to-lyon"):
            assert made.waits_for(name, SECONDS), made.connection(name)
        assert made.waits_to_reach("lyon", "spoke-pod", SECONDS)
        yield made


@pytest.mark.parametrize("site", ["paris", "lyon"])
@pytest.mark.parametrize("pod", ["hub-pod", "spoke-pod", "hub"])
def test_on_premises_and_pods_reach_each_other_with_their_own_addresses(
    stage: GatewayStage, site: str, pod: str
) -> None:
    assert stage.waits_to_reach(site, pod, SECONDS), stage.call(site, pod)
    assert stage.waits_to_reach(pod, site, SECONDS), stage.call(pod, site)


def test_the_gateway_passes_on_from_one_site_to_another(stage: GatewayStage) -> None:
    """The device of Paris is told of Azure's prefixes only, so it has no way back."""
    desk, other = stage.places["lyon"], stage.places["paris"]

    def comes() -> bool:
        assert not probe.datagram_passes(desk.descriptor, other.address, 100)
        return (other.address, desk.address) in stage.lab.servers.callers

    assert eventually(comes, SECONDS)


def test_packets_larger_than_the_tunnel_takes_are_refused_with_its_size_and_connections_fit(
    stage: GatewayStage,
) -> None:
    pod, desk = stage.places["hub-pod"], stage.places["paris"]
    fits = partial(probe.datagram_passes, pod.descriptor, desk.address, TUNNEL_MTU, timeout=3)
    assert eventually(fits, SECONDS)
    assert not probe.datagram_passes(pod.descriptor, desk.address, TUNNEL_MTU + 1)
    assert segment(pod.descriptor, desk.address) <= LARGEST_SEGMENT
    assert segment(desk.descriptor, pod.address) <= LARGEST_SEGMENT


def segment(descriptor: int, destination: str) -> int:
    """The largest segment that a connection sends."""
    with namespace.entered(descriptor):
        caller = socket.socket()
    with closing(caller):
        caller.settimeout(SECONDS)
        caller.connect((destination, probe.PORT))
        return caller.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


def test_bytes_are_counted_as_they_pass(stage: GatewayStage) -> None:
    before = stage.connection("to-paris")
    for _ in range(10):
        assert stage.waits_to_reach("paris", "hub-pod", SECONDS)

    def has_grown() -> bool:
        now = stage.connection("to-paris")
        return all(now[each] > before[each] for each in ("ingressBytesTransferred", "egressBytesTransferred"))

    assert eventually(has_grown, SECONDS)

    def of_tunnels() -> list[str]:
        return [each["connectionStatus"] for each in stage.connection("to-paris")["tunnelConnectionStatus"]]

    assert eventually(lambda: of_tunnels() == ["Connected"], SECONDS), of_tunnels()


def test_the_gateway_tells_its_peers_routes_and_sessions(stage: GatewayStage) -> None:
    gateways: Any = stage.cloud.network.virtual_network_gateways

    def peers() -> list[tuple[str, int, str, int]]:
        found = gateways.begin_get_bgp_peer_status(GROUP, "vpn").result().value or []
        return [(each.neighbor, each.asn, each.state, each.routes_received) for each in found]

    def learned() -> dict[str, str]:
        found = gateways.begin_get_learned_routes(GROUP, "vpn").result().value or []
        return {each.network: each.as_path for each in found}

    def told() -> set[str]:
        found = gateways.begin_get_advertised_routes(GROUP, "vpn", peer="192.168.20.1").result().value or []
        return {each.network for each in found}

    assert eventually(lambda: peers() == [("192.168.20.1", 65020, "Connected", 1)], SECONDS), peers()
    assert eventually(lambda: learned().get("192.168.20.0/24") == "65020", SECONDS), learned()
    assert eventually(lambda: {"10.80.0.0/16", "10.81.0.0/16", "192.168.10.0/24"} <= told(), SECONDS), told()


def test_a_subnet_without_propagation_hears_of_no_site(stage: GatewayStage) -> None:
    assert not stage.reaches("alone", "paris", timeout=0.5)
    assert not stage.reaches("lyon", "alone", timeout=0.5)
    assert stage.waits_to_reach("hub", "paris", SECONDS)


def test_a_default_route_to_on_premises_leads_everything_there(stage: GatewayStage) -> None:
    gateways: Any = stage.cloud.network.local_network_gateways
    device = gateways.get(GROUP, "paris")
    hub, alone = stage.places["hub"].descriptor, stage.places["alone"].descriptor
    try:
        device.local_network_address_space.address_prefixes = ["192.168.10.0/24", "0.0.0.0/0"]
        gateways.begin_create_or_update(GROUP, "paris", device).result()
        # Out by the site's own way to the internet.
        assert eventually(lambda: probe.seen_as(hub, WEB) == PARIS, SECONDS)
        assert probe.seen_as(alone, WEB, timeout=10) not in {"", PARIS}
    finally:
        device.local_network_address_space.address_prefixes = ["192.168.10.0/24"]
        gateways.begin_create_or_update(GROUP, "paris", device).result()
    assert eventually(lambda: probe.seen_as(hub, WEB) not in {"", PARIS}, SECONDS)


def test_a_wrong_key_connects_nothing_and_the_right_one_does_without_a_restart(stage: GatewayStage) -> None:
    def says_why() -> bool:
        found = stage.connection("to-paris")
        why = found.get("connectionStatusReason", "")
        return found["connectionStatus"] == "NotConnected" and "shared keys differ" in why

    charon = stage.program("tunnel-gateway-vpn..to-paris", "charon")
    try:
        stage.connections.begin_set_shared_key(GROUP, "to-paris", {"value": "not-the-key"}).result()
        assert eventually(says_why, SECONDS), stage.connection("to-paris")
        assert not stage.reaches("paris", "hub-pod", timeout=0.5)
        assert not stage.reaches("hub-pod", "paris", timeout=0.5)
        assert stage.reaches("lyon", "hub-pod", timeout=10)  # another tunnel does not notice
    finally:
        stage.connections.begin_set_shared_key(GROUP, "to-paris", {"value": "key-of-paris"}).result()
    assert stage.waits_for("to-paris", SECONDS), stage.connection("to-paris")
    assert stage.waits_to_reach("paris", "hub-pod", SECONDS)
    assert stage.program("tunnel-gateway-vpn..to-paris", "charon") == charon
    assert eventually(lambda: "connectionStatusReason" not in stage.connection("to-paris"), SECONDS)


def test_no_key_is_on_a_disk_or_in_a_log_for_others_to_read(stage: GatewayStage) -> None:
    assert stage.lab.status()
    modes: dict[Path, int] = {}
    for root in (GATEWAY_RUN, Path(os.environ["PODVNET_STATE"]) / "fabric"):
        for path in root.rglob("*"):
            with suppress(FileNotFoundError):  # one that is written beside another and then takes its place
                if path.is_file() and b"key-of-lyon" in path.read_bytes():
                    modes[path] = path.stat().st_mode
    assert modes, "the fabric keeps it"
    assert [path for path, mode in modes.items() if mode & 0o077] == []


def test_a_connection_that_is_reset_comes_back(stage: GatewayStage) -> None:
    before = time.time()
    stage.connections.begin_reset_connection(GROUP, "to-lyon").result()

    def came_back() -> bool:
        found = stage.connection("to-lyon")
        said = found["tunnelConnectionStatus"][0]["lastConnectionEstablishedUtcTime"]
        moment = datetime.strptime(said, "%m/%d/%Y %H:%M:%S").replace(tzinfo=UTC).timestamp()
        # The age of a tunnel is told in whole seconds, so that of one and the same differs by one from look to look.
        return bool(found["connectionStatus"] == "Connected" and moment > before - 1)

    assert eventually(came_back, SECONDS), stage.connection("to-lyon")
    assert stage.waits_to_reach("lyon", "spoke-pod", SECONDS)


def test_commands_run_on_premises(stage: GatewayStage) -> None:
    sites = {each["name"]: each for each in json.loads(podvnet("onprem", "list", "--json").stdout)}
    assert [each["address"] for each in sites["paris"]["hosts"]] == ["192.168.10.10", "192.168.10.11"]
    assert "192.168.10.10/24" in podvnet("onprem", "exec", "paris/desk", "--", "ip", "address").stdout
    assert "dev internet" in podvnet("onprem", "exec", "lyon", "--", "ip", "route").stdout
    refused = podvnet("onprem", "exec", "paris/nobody", "--", "true", check=False)
    assert refused.returncode == 1
    assert "lyon/desk" in refused.stderr
    assert stage.lab.status()["sites"][0]["publicAddress"] == PARIS


def test_the_kernel_holds_what_the_store_says(stage: GatewayStage) -> None:
    assert stage.waits_for("to-paris", SECONDS)
    # Routes may still be on their way, after what the tests before have done.
    assert eventually(lambda: client.ask("GET", "/agreement")["steps"] == [], SECONDS), client.ask("GET", "/agreement")
