"""Gateways that a peered network uses: which side allows it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from podvnet.fabric.arm.world import (
    CONNECTIONS,
    NETWORK_GATEWAYS,
    VIRTUAL_NETWORKS,
    Document,
    World,
)
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import complete, settle, settle_all, settle_removal
from podvnet.model.arm_error import ArmError
from podvnet.model.gateway import ConnectionKind, GatewayKind
from podvnet.model.resource_id import Scope, make
from podvnet.testing.gateway_file import KEY, gateway_resources

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]


def key(full_type: str, name: str) -> str:
    return make(Scope(), full_type, name).key


def peering(remote: str, **flags: bool) -> Document:
    return {"name": f"to-{remote}", "properties": {"remoteVirtualNetwork": {"id": f"virtualNetworks/{remote}"}} | flags}


def gateways_gone(world: World) -> World:
    gone = [(CONNECTIONS, "to-office"), (CONNECTIONS, "to-line"), (NETWORK_GATEWAYS, "vpn"), (NETWORK_GATEWAYS, "er")]
    return settle_removal({key(*each) for each in gone}, world).world


def test_a_file_of_it_all_is_settled_whatever_its_order() -> None:
    wanted = gateway_resources()
    world = settle_all(wanted, World(), set()).world
    assert settle_all(wanted[::-1], World(), set()).world.documents.keys() == world.documents.keys()
    assert settle_all(wanted, world, set(world.documents)).changes == ()


def test_both_sides_of_it_are_in_the_intent(gated: World) -> None:
    networks = IntentReader().read(gated).virtual_networks
    (hub,), (spoke,) = (networks[key(VIRTUAL_NETWORKS, name)].peerings for name in ("hub", "spoke"))
    assert (hub.allows_transit, hub.uses_remote_gateways) == (True, False)
    assert (spoke.allows_transit, spoke.uses_remote_gateways) == (False, True)


def test_gateways_connections_circuits_and_sites_are_in_the_intent(gated: World) -> None:
    reader = IntentReader()
    found = reader.read(gated)
    vpn, express = (found.gateways[key(NETWORK_GATEWAYS, name)] for name in ("vpn", "er"))
    assert (vpn.kind, express.kind) == (GatewayKind.VPN, GatewayKind.EXPRESS_ROUTE)
    (instance,) = vpn.instances
    assert (instance.name, str(instance.address), instance.public) == (
        "a",
        "10.0.255.30",
        make(Scope(), "Microsoft.Network/publicIPAddresses", "gw"),
    )
    assert (vpn.bgp, vpn.asn, vpn.network.name, express.instances[0].public) == (True, 65515, "hub", None)
    office, line = (found.connections[key(CONNECTIONS, name)] for name in ("to-office", "to-line"))
    assert (office.kind, office.shared_key, office.gateway) == (ConnectionKind.IPSEC, KEY, vpn.id)
    assert office.site is not None
    assert (str(office.site.address), office.site.asn) == ("198.51.100.20", 65010)
    assert KEY not in repr(found)
    assert line.circuit is not None
    assert found.circuits[line.circuit.key].peering is not None
    assert [each.id.name for each in found.sites.values()] == ["office"]
    # Read again, what has not changed is the same value.
    again = reader.read(gated)
    assert all(again.connections[each] is found.connections[each] for each in found.connections)
    assert all(again.gateways[each] is found.gateways[each] for each in found.gateways)


def test_a_connection_follows_its_device(gated: World, altered: Make) -> None:
    reader = IntentReader()
    before = reader.read(gated).connections[key(CONNECTIONS, "to-office")]
    device = altered(gated, "Microsoft.Network/localNetworkGateways", "office", fqdn=None)
    device["properties"]["gatewayIpAddress"] = "198.51.100.99"
    gated.put(settle(device, gated))
    after = reader.read(gated).connections[key(CONNECTIONS, "to-office")]
    assert before.site
    assert after.site
    assert (str(before.site.address), str(after.site.address)) == ("198.51.100.20", "198.51.100.99")


def test_a_peer_must_have_gateways_unless_nobody_asks(gated: World, altered: Make, refusal: Refusal) -> None:
    bare = gateways_gone(gated)
    wanted = altered(bare, VIRTUAL_NETWORKS, "spoke")
    error = refusal(wanted, bare)
    assert (error.code, "does not have any gateways" in error.message) == ("RemoteVnetHasNoGateways", True)
    peerings = [peering("hub", useRemoteGateways=True, doNotVerifyRemoteGateways=True)]
    assert settle(altered(bare, VIRTUAL_NETWORKS, "spoke", virtualNetworkPeerings=peerings), bare)


def test_the_other_side_must_allow_it(gated: World, altered: Make, refusal: Refusal) -> None:
    error = refusal(altered(gated, VIRTUAL_NETWORKS, "hub", virtualNetworkPeerings=[peering("spoke")]), gated)
    assert "corresponding remote peering has UseRemoteGateways flag set to true" in error.message
    gated.put(settle(altered(gated, VIRTUAL_NETWORKS, "spoke", virtualNetworkPeerings=[peering("hub")]), gated))
    gated.put(settle(altered(gated, VIRTUAL_NETWORKS, "hub", virtualNetworkPeerings=[peering("spoke")]), gated))
    used = altered(gated, VIRTUAL_NETWORKS, "spoke", virtualNetworkPeerings=[peering("hub", useRemoteGateways=True)])
    error = refusal(used, gated)
    assert (error.code, "AllowGatewayTransit flag set to false" in error.message) == ("InvalidRequestFormat", True)


def test_a_network_uses_its_own_gateways_or_those_of_one_peer(
    gated: World, document: Make, altered: Make, refusal: Refusal
) -> None:
    other = {"addressSpace": {"addressPrefixes": ["10.2.0.0/16"]}}
    back = [peering("hub", allowGatewayTransit=True), peering("spoke", allowGatewayTransit=True)]
    gated.put(settle(document(VIRTUAL_NETWORKS, "third", other | {"virtualNetworkPeerings": back}), gated))
    lent = [peering("spoke", allowGatewayTransit=True), peering("third", useRemoteGateways=True)]
    error = refusal(altered(gated, VIRTUAL_NETWORKS, "hub", virtualNetworkPeerings=lent), gated)
    assert "has a gateway of its own" in error.message
    two = [
        peering("hub", useRemoteGateways=True),
        peering("third", useRemoteGateways=True, doNotVerifyRemoteGateways=True),
    ]
    error = refusal(altered(gated, VIRTUAL_NETWORKS, "spoke", virtualNetworkPeerings=two), gated)
    assert "one peering at most can have UseRemoteGateways" in error.message


def test_a_network_that_uses_others_gateways_gets_none(gated: World, document: Make, altered: Make) -> None:
    changed = altered(gated, VIRTUAL_NETWORKS, "spoke")
    changed["properties"]["subnets"].append({"name": "GatewaySubnet", "properties": {"addressPrefix": "10.1.255.0/27"}})
    gated.put(settle(changed, gated))
    inner = {"subnet": {"id": "virtualNetworks/spoke/subnets/GatewaySubnet"}}
    configurations = [{"name": "a", "properties": inner}]
    own = {"gatewayType": "ExpressRoute", "sku": {"name": "Standard"}, "ipConfigurations": configurations}
    gated.put(settle(document(NETWORK_GATEWAYS, "own", own), gated))
    with pytest.raises(ArmError, match=r"uses a remote one already, by peering .*to-hub"):
        complete(gated)
