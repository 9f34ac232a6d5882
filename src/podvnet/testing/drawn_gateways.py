"""Gateways as hypothesis draws them: for the hub, perhaps for another network, with connections to sites on premises.

What sites have overlaps with virtual networks, with each other, with what is reserved, with services and the internet.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from podvnet.fabric.arm.world import Document
from podvnet.testing.drawn_choice import one
from podvnet.testing.drawn_network import TABLES, DrawnNetwork, DrawnSubnet

_PREFIXES = (
    *["192.168.0.0/16"] * 4, *["172.18.0.0/16"] * 3, "192.168.50.0/24", "10.0.0.0/8", "10.1.1.0/24", "10.2.0.0/16",
    "10.1.0.0/16", "172.16.0.0/12", "198.51.100.0/24", "20.60.0.0/16", "0.0.0.0/0", "10.77.0.0/16",
)  # fmt: skip
_SIXES = ("fd77::/32", "fd77::/32", "::/0", "fd00::/16")
HOSTS = (
    "192.168.50.9", "192.168.50.10", "192.168.60.9", "172.18.0.9", "172.18.0.10", "10.77.0.9", "10.1.1.66",
    "10.2.1.66", "198.51.100.10", "20.60.200.10", "fd77::9", "fd77::10",
)  # fmt: skip
"""On premises, as far as a site has a prefix with them."""
_SITES = ("office", "factory")
_GATEWAY_SUBNET = 200
"""The number of the /24 that the gateways' subnet begins in."""


def draw_gateways(draw: st.DrawFn, networks: Sequence[DrawnNetwork]) -> tuple[list[Document], list[Document]]:
    """Gateways and sites; peerings say who uses whose gateways.

    They are in the words of :mod:`podvnet.testing.gateway_stand_in`.
    """
    sites = [_site(draw, name, number) for number, name in enumerate(_SITES)]
    gateways = [_gateway(draw, "vpn", "Vpn", networks[0], sites)]
    if one(draw, True, False):
        gateways.append(_gateway(draw, "line", "ExpressRoute", networks[0], sites))
    _add_subnet(draw, networks[0])
    with_own = {networks[0].name}
    if one(draw, False, False, False, True):
        gateways.append(_gateway(draw, "other", "Vpn", networks[1], sites))
        _add_subnet(draw, networks[1])
        with_own.add(networks[1].name)
    for network in networks:
        for peering in network.peerings:
            lender = peering["name"].removeprefix("to-")
            if network.name not in with_own and lender in with_own and one(draw, True, True, True, False):
                gateways[0].setdefault("users", []).append([network.name, lender])
                break
    return gateways, sites


def _site(draw: st.DrawFn, name: str, number: int) -> Document:
    chosen = draw(st.lists(st.sampled_from(_PREFIXES), min_size=1, max_size=4, unique=True))
    sixes = draw(st.lists(st.sampled_from(_SIXES), max_size=1))
    held = [ip_network(text) for text in (*chosen, *sixes)]
    hosts = [text for text in HOSTS if any(ip_address(text) in each for each in held)]
    return {
        "name": name,
        "public": f"203.0.113.{220 + number}",
        "prefixes": [str(each) for each in held],
        "hosts": hosts[number :: len(_SITES)],
    }


def _gateway(draw: st.DrawFn, name: str, kind: str, network: DrawnNetwork, sites: Sequence[Document]) -> Document:
    connections = []
    for site in sites[: one(draw, 1, 2, 2)]:
        prefixes = [each for each in site["prefixes"] if one(draw, True, True, True, False)]
        learns = kind == "ExpressRoute" or one(draw, True, False)
        connections.append(
            {
                "name": f"{name}-{site['name']}",
                "site": site["name"],
                "up": one(draw, True, True, True, True, False),
                "learned" if learns else "written": prefixes,
            }
        )
    return {"name": name, "kind": kind, "network": network.name, "connections": connections}


def _add_subnet(draw: st.DrawFn, network: DrawnNetwork) -> None:
    start = network.space[0].network_address + 256 * _GATEWAY_SUBNET
    subnet = DrawnSubnet(network.name, "GatewaySubnet", (ip_network(f"{start}/27"),), {"addressPrefix": f"{start}/27"})
    if table := one(draw, "", "", *TABLES):
        subnet.properties["routeTable"] = {"id": f"routeTables/{table}"}
    network.reserved.append(subnet)
