"""Gateways, connections and circuits through the real SDK: every type, their pollers, actions and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError

from podvnet.testing.cloud import Cloud
from podvnet.testing.cni import eventually
from podvnet.testing.refusal import located, part, reference

GROUP = "gateways"
SECRET, MD5 = "Secret-of-the-tunnel", "SecretOfTheCircuit"
HOME = "virtualNetworks/home/subnets/GatewaySubnet"
PATIENCE = 120.0
"""Seconds for what comes about by itself, on a machine that has much else to do."""
SITE_VERSION = "2024-05-01"


class Stage:
    """The SDK's clients, and what is put with them."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.network: Any = cloud.network

    def ref(self, path: str) -> dict[str, str]:
        return reference(self.cloud, GROUP, path)

    def gateway(self, name: str, kind: str, sku: str, *publics: str, **more: Any) -> Any:
        """Put a gateway of home."""
        configurations = [
            part(f"c{place}", subnet=self.ref(HOME), **({"publicIPAddress": self.ref(each)} if each else {}))
            for place, each in enumerate(publics)
        ]
        body = located(gatewayType=kind, sku={"name": sku, "tier": sku}, ipConfigurations=configurations, **more)
        return self.network.virtual_network_gateways.begin_create_or_update(GROUP, name, body).result()

    def connect(self, name: str, **more: Any) -> Any:
        """Put a connection."""
        operations = self.network.virtual_network_gateway_connections
        return operations.begin_create_or_update(GROUP, name, located(**more)).result()

    def ends(self) -> dict[str, Any]:
        """Those of a connection to the office."""
        return {
            "connectionType": "IPsec",
            "virtualNetworkGateway1": self.ref("virtualNetworkGateways/vpn"),
            "localNetworkGateway2": self.ref("localNetworkGateways/office"),
        }

    def site(self, name: str, **properties: Any) -> requests.Response:
        """Put a site on premises, which the SDK knows nothing of."""
        return self.call("PUT", f"Podvnet.Fabric/onPremisesSites/{name}", located(**properties))

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        """A request about something in the group as it goes over the wire."""
        access = self.cloud.access
        place = f"/subscriptions/{access.subscription}/resourceGroups/{GROUP}/providers/{path}"
        return self.send(method, f"{access.endpoint}{place}?api-version={SITE_VERSION}", body)

    def send(self, method: str, where: str, body: Any = None) -> requests.Response:
        """A request as it goes over the wire."""
        access = self.cloud.access
        token = access.credential().get_token(f"{access.endpoint}/.default").token
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"Bearer {token}"}
            return session.request(method, where, json=body, headers=headers, verify=access.ca, timeout=60)


@pytest.fixture(scope="module")
def stage(cloud: Cloud) -> Iterator[Stage]:
    """A network with both kinds of gateways, a circuit, and the office that they lead to.

    The office's device has another key than the connection.
    """
    made = Stage(cloud)
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    network = made.network
    for name in ("gw", "gw2"):
        network.public_ip_addresses.begin_create_or_update(GROUP, name, located(_sku="Standard")).result()
    subnets = [part("GatewaySubnet", addressPrefix="10.0.255.0/27"), part("pods", addressPrefix="10.0.0.0/24")]
    space = located(addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=subnets)
    network.virtual_networks.begin_create_or_update(GROUP, "home", space).result()
    made.gateway("vpn", "Vpn", "VpnGw1", "publicIPAddresses/gw", enableBgp=True, vpnType="RouteBased")
    made.gateway("er", "ExpressRoute", "ErGw1AZ", "")
    bgp = {"asn": 65010, "bgpPeeringAddress": "192.168.255.1"}
    office = located(
        gatewayIpAddress="198.51.100.20",
        localNetworkAddressSpace={"addressPrefixes": ["192.168.255.1/32"]},
        bgpSettings=bgp,
    )
    network.local_network_gateways.begin_create_or_update(GROUP, "office", office).result()
    provider = {"serviceProviderName": "Equinix", "peeringLocation": "Seattle", "bandwidthInMbps": 200}
    sku = {"name": "Standard_MeteredData", "tier": "Standard", "family": "MeteredData"}
    line = located(serviceProviderProperties=provider) | {"sku": sku}
    circuit = network.express_route_circuits.begin_create_or_update(GROUP, "line", line).result()
    assert (circuit.service_provider_provisioning_state, circuit.circuit_provisioning_state) == (
        "NotProvisioned",
        "Enabled",
    )
    tunnels = [
        {"name": "azure", "publicIPAddress": made.ref("publicIPAddresses/gw"), "sharedKey": "wrong", "bgp": True}
    ]
    answered = made.site(
        "office",
        publicAddress="198.51.100.20",
        addressPrefixes=["192.168.0.0/16"],
        hosts=[{"name": "files", "address": "192.168.0.10"}],
        bgpAddress="192.168.255.1",
        tunnels=tunnels,
        circuits=[{"serviceKey": circuit.service_key}],
        circuitSharedKey=MD5,
    )
    assert answered.status_code == 201, answered.text
    peering: Any = {
        "properties": {
            "peeringType": "AzurePrivatePeering",
            "peerASN": 65010,
            "primaryPeerAddressPrefix": "172.16.1.0/30",
            "secondaryPeerAddressPrefix": "172.16.1.4/30",
            "vlanId": 100,
            "sharedKey": MD5,
        }
    }
    peerings = network.express_route_circuit_peerings
    peerings.begin_create_or_update(GROUP, "line", "AzurePrivatePeering", peering).result()
    made.connect("to-office", sharedKey=SECRET, enableBgp=True, **made.ends())
    gateway = made.ref("virtualNetworkGateways/er")
    peer = made.ref("expressRouteCircuits/line")
    made.connect("to-line", connectionType="ExpressRoute", virtualNetworkGateway1=gateway, peer=peer)
    yield made
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def refusal(act: Callable[[], Any]) -> tuple[int | None, str | None]:
    """The status and code of a refusal."""
    with pytest.raises(HttpResponseError) as caught:
        act()
    return caught.value.status_code, caught.value.error.code if caught.value.error else None


def test_a_gateway_is_as_it_is_shown(stage: Stage) -> None:
    gateways = stage.network.virtual_network_gateways
    vpn = gateways.get(GROUP, "vpn")
    assert (vpn.type, vpn.provisioning_state) == ("Microsoft.Network/virtualNetworkGateways", "Succeeded")
    assert (vpn.gateway_type, vpn.vpn_type, vpn.enable_bgp, vpn.sku.name) == ("Vpn", "RouteBased", True, "VpnGw1")
    assert (vpn.bgp_settings.asn, vpn.bgp_settings.bgp_peering_address) == (65515, "10.0.255.30")
    public = stage.network.public_ip_addresses.get(GROUP, "gw")
    (peer,) = vpn.bgp_settings.bgp_peering_addresses
    assert (peer.tunnel_ip_addresses, peer.default_bgp_ip_addresses) == ([public.ip_address], ["10.0.255.30"])
    assert public.ip_configuration.id == vpn.ip_configurations[0].id
    subnet = stage.network.subnets.get(GROUP, "home", "GatewaySubnet")
    assert len(subnet.ip_configurations) == 2
    assert {each.name for each in gateways.list(GROUP)} == {"vpn", "er"}
    # What was read can be written.
    assert gateways.begin_create_or_update(GROUP, "vpn", vpn).result().as_dict() == vpn.as_dict()
    tagged = gateways.begin_update_tags(GROUP, "vpn", {"tags": {"a": "b"}}).result()
    assert tagged.tags == {"a": "b"}


def test_a_circuit_connects_and_says_what_passes(stage: Stage) -> None:
    network = stage.network
    connections, circuits = network.virtual_network_gateway_connections, network.express_route_circuits

    def rows(ask: Callable[..., Any], link: str) -> list[Any]:
        return list(ask(GROUP, "line", "AzurePrivatePeering", link).result().value or [])

    def hears(link: str, customer: str) -> bool:
        table = rows(circuits.begin_list_routes_table, link)
        return ("192.168.0.0/16", customer) in {(each.network, each.next_hop) for each in table}

    up = eventually(lambda: connections.get(GROUP, "to-line").connection_status == "Connected", PATIENCE)
    assert up, connections.get(GROUP, "to-line").as_dict()
    for link, customer in (("primary", "172.16.1.1"), ("secondary", "172.16.1.5")):
        assert eventually(partial(hears, link, customer), PATIENCE)
        assert customer in {each.neighbor for each in rows(circuits.begin_list_routes_table_summary, link)}
    stats = circuits.get_stats(GROUP, "line")
    assert min(stats.primarybytes_in, stats.primarybytes_out, stats.secondarybytes_in, stats.secondarybytes_out) > 0

    def learned() -> set[str]:
        found = network.virtual_network_gateways.begin_get_learned_routes(GROUP, "er").result().value or []
        return {each.network for each in found}

    assert eventually(lambda: "192.168.0.0/16" in learned(), PATIENCE), learned()


def test_it_becomes_active_active_and_returns(stage: Stage) -> None:
    both = ("publicIPAddresses/gw", "publicIPAddresses/gw2")
    found = stage.gateway("vpn", "Vpn", "VpnGw2AZ", *both, activeActive=True, enableBgp=True)
    assert (found.active_active, len(found.ip_configurations)) == (True, 2)
    assert len(found.bgp_settings.bgp_peering_address.split(",")) == 2
    alone = stage.gateway("vpn", "Vpn", "VpnGw1", both[0], enableBgp=True)
    assert alone.bgp_settings.bgp_peering_address == "10.0.255.30"


def test_a_device_is_as_it_is_shown(stage: Stage) -> None:
    devices = stage.network.local_network_gateways
    found = devices.get(GROUP, "office")
    assert (found.gateway_ip_address, found.bgp_settings.asn) == ("198.51.100.20", 65010)
    assert found.local_network_address_space.address_prefixes == ["192.168.255.1/32"]
    assert devices.begin_create_or_update(GROUP, "office", found).result().as_dict() == found.as_dict()
    assert [each.name for each in devices.list(GROUP)] == ["office"]


def test_a_connection_is_as_it_is_shown_and_says_what_has_become_of_it(stage: Stage) -> None:
    connections = stage.network.virtual_network_gateway_connections
    found = connections.get(GROUP, "to-office")
    assert (found.connection_type, found.connection_protocol, found.enable_bgp) == ("IPsec", "IKEv2", True)
    # The office has another key.
    assert found.connection_status in {"Unknown", "Connecting", "NotConnected"}
    assert all(isinstance(each, int) for each in (found.ingress_bytes_transferred, found.egress_bytes_transferred))
    assert found.shared_key is None
    policy = {
        "saLifeTimeSeconds": 3600, "saDataSizeKilobytes": 1024000, "ipsecEncryption": "AES256",
        "ipsecIntegrity": "SHA256", "ikeEncryption": "AES256", "ikeIntegrity": "SHA384", "dhGroup": "DHGroup14",
        "pfsGroup": "PFS14",
    }  # fmt: skip
    changed = stage.connect("to-office", enableBgp=True, ipsecPolicies=[policy], dpdTimeoutSeconds=30, **stage.ends())
    assert [each.as_dict() for each in changed.ipsec_policies] == [policy]
    again = connections.begin_create_or_update(GROUP, "to-office", connections.get(GROUP, "to-office")).result()
    assert (again.dpd_timeout_seconds, len(again.ipsec_policies)) == (30, 1)
    assert connections.get_shared_key(GROUP, "to-office").value == SECRET
    assert {each.name for each in connections.list(GROUP)} == {"to-office", "to-line"}
    listed = stage.network.virtual_network_gateways.list_connections(GROUP, "vpn")
    assert [each.name for each in listed] == ["to-office"]
    # The office's device offers the defaults, and so does the connection from now on.
    assert not stage.connect("to-office", enableBgp=True, **stage.ends()).ipsec_policies


def test_its_key_is_set_and_made_anew(stage: Stage) -> None:
    connections = stage.network.virtual_network_gateway_connections
    assert connections.begin_set_shared_key(GROUP, "to-office", {"value": "another"}).result().value == "another"
    assert connections.get_shared_key(GROUP, "to-office").value == "another"
    reset = connections.begin_reset_shared_key(GROUP, "to-office", {"keyLength": 64}).result()
    assert reset.key_length == 64
    assert len(connections.get_shared_key(GROUP, "to-office").value) == 64
    connections.begin_set_shared_key(GROUP, "to-office", {"value": SECRET}).result()
    assert refusal(lambda: connections.begin_set_shared_key(GROUP, "to-office", {"value": ""}).result()) == (
        400,
        "InvalidRequestFormat",
    )
    assert refusal(lambda: connections.begin_set_shared_key(GROUP, "to-line", {"value": "x"}).result()) == (
        400,
        "InvalidRequestFormat",
    )
    assert refusal(lambda: connections.get_shared_key(GROUP, "none")) == (404, "ResourceNotFound")


def test_connections_and_gateways_are_reset(stage: Stage) -> None:
    stage.network.virtual_network_gateway_connections.begin_reset_connection(GROUP, "to-office").result()
    gateways = stage.network.virtual_network_gateways
    assert gateways.begin_reset(GROUP, "vpn").result().name == "vpn"
    public = stage.network.public_ip_addresses.get(GROUP, "gw").ip_address
    assert gateways.begin_reset(GROUP, "vpn", gateway_vip=public).result().name == "vpn"
    code = refusal(lambda: gateways.begin_reset(GROUP, "vpn", gateway_vip="192.0.2.200").result())
    assert code == (400, "UnsupportedProperty")


def test_gateways_say_what_they_have_learned(stage: Stage) -> None:
    gateways = stage.network.virtual_network_gateways
    # Nothing comes from the office, whose key is wrong.
    learned = gateways.begin_get_learned_routes(GROUP, "vpn").result()
    assert "192.168.255.1" not in {each.source_peer for each in learned.value or []}
    peers = gateways.begin_get_bgp_peer_status(GROUP, "vpn").result().value or []
    assert not any(each.state == "Connected" for each in peers)
    assert not gateways.begin_get_bgp_peer_status(GROUP, "vpn", peer="192.0.2.99").result().value
    assert not gateways.begin_get_advertised_routes(GROUP, "vpn", peer="192.168.255.1").result().value
    code = refusal(lambda: gateways.begin_get_advertised_routes(GROUP, "vpn", peer="x").result())
    assert code == (400, "InvalidRequestFormat")
    assert refusal(lambda: gateways.begin_get_learned_routes(GROUP, "none").result()) == (404, "ResourceNotFound")


def test_what_gateways_here_do_not_do_is_refused(stage: Stage) -> None:
    gateways = stage.network.virtual_network_gateways
    assert refusal(lambda: gateways.supported_vpn_devices(GROUP, "vpn")) == (404, "InvalidResourceType")
    code = refusal(lambda: stage.gateway("vpn", "Vpn", "VpnGw1", "publicIPAddresses/gw", vpnType="PolicyBased"))
    assert code == (400, "UnsupportedProperty")
    client = {"vpnClientAddressPool": {"addressPrefixes": ["172.16.0.0/24"]}}
    more: dict[str, Any] = {"vpnClientConfiguration": client}
    code = refusal(lambda: stage.gateway("vpn", "Vpn", "VpnGw1", "publicIPAddresses/gw", **more))
    assert code == (400, "UnsupportedProperty")


def test_a_circuit_is_as_it_is_shown(stage: Stage) -> None:
    circuits = stage.network.express_route_circuits
    found = circuits.get(GROUP, "line")
    assert found.service_provider_provisioning_state == "Provisioned"
    (peering,) = found.peerings
    assert (peering.azure_asn, peering.peer_asn, peering.vlan_id, peering.shared_key) == (12076, 65010, 100, None)
    alone = stage.network.express_route_circuit_peerings.get(GROUP, "line", "AzurePrivatePeering")
    assert alone.primary_peer_address_prefix == "172.16.1.0/30"
    assert circuits.begin_create_or_update(GROUP, "line", found).result().as_dict() == found.as_dict()
    assert [each.name for each in circuits.list(GROUP)] == ["line"]
    stats = circuits.get_stats(GROUP, "line")
    assert (stats.primarybytes_in is not None, stats.secondarybytes_out is not None) == (True, True)
    assert circuits.get_peering_stats(GROUP, "line", "AzurePrivatePeering").primarybytes_in is not None
    for ask in (
        circuits.begin_list_arp_table,
        circuits.begin_list_routes_table,
        circuits.begin_list_routes_table_summary,
    ):
        assert isinstance(ask(GROUP, "line", "AzurePrivatePeering", "primary").result().value, list)
        assert refusal(partial(_asked, ask, "third")) == (400, "InvalidRequestFormat")


def _asked(ask: Callable[..., Any], link: str) -> Any:
    return ask(GROUP, "line", "AzurePrivatePeering", link).result()


def test_authorizations_are_given_and_used(stage: Stage) -> None:
    authorizations = stage.network.express_route_circuit_authorizations
    made = authorizations.begin_create_or_update(GROUP, "line", "given", {"properties": {}}).result()
    assert made.authorization_use_status == "Available"
    key = authorizations.list_keys(GROUP, "line", "given").authorization_key
    assert key == made.authorization_key
    ends = {
        "virtualNetworkGateway1": stage.ref("virtualNetworkGateways/er"),
        "peer": stage.ref("expressRouteCircuits/line"),
    }
    shown = stage.connect("to-line", connectionType="ExpressRoute", authorizationKey=key, **ends)
    assert shown.authorization_key is None
    found = authorizations.get(GROUP, "line", "given")
    assert (found.authorization_use_status, found.connection_resource_uri) == ("InUse", shown.id)
    assert refusal(lambda: authorizations.begin_delete(GROUP, "line", "given").result()) == (
        409,
        "ExpressRouteCircuitAuthorizationCannotBeDeleted",
    )


def test_networks_use_the_gateways_of_a_peer(stage: Stage) -> None:
    networks, peerings = stage.network.virtual_networks, stage.network.virtual_network_peerings
    body = located(addressSpace={"addressPrefixes": ["10.1.0.0/16"]})
    networks.begin_create_or_update(GROUP, "spoke", body).result()

    def peer(one: str, two: str, **flags: bool) -> Any:
        inner = {"properties": {"remoteVirtualNetwork": stage.ref(f"virtualNetworks/{two}")} | flags}
        return peerings.begin_create_or_update(GROUP, one, f"to-{two}", inner).result()

    peer("home", "spoke")
    assert refusal(lambda: peer("spoke", "home", useRemoteGateways=True)) == (400, "InvalidRequestFormat")
    peer("home", "spoke", allowGatewayTransit=True)
    assert peer("spoke", "home", useRemoteGateways=True).use_remote_gateways
    assert refusal(lambda: peer("home", "spoke")) == (400, "InvalidRequestFormat")
    assert peerings.get(GROUP, "home", "to-spoke").peering_state == "Connected"
    networks.begin_delete(GROUP, "spoke").result()
    peerings.begin_delete(GROUP, "home", "to-spoke").result()


def test_a_key_that_is_set_right_connects_and_one_that_is_wrong_does_not(stage: Stage) -> None:
    network = stage.network
    connections, gateways = network.virtual_network_gateway_connections, network.virtual_network_gateways

    def is_up() -> bool:
        return bool(connections.get(GROUP, "to-office").connection_status == "Connected")

    assert not is_up()
    connections.begin_set_shared_key(GROUP, "to-office", {"value": "wrong"}).result()
    assert eventually(is_up, PATIENCE), connections.get(GROUP, "to-office").as_dict()

    def learned() -> dict[str, Any]:
        found = gateways.begin_get_learned_routes(GROUP, "vpn").result().value or []
        return {each.network: each for each in found}

    assert eventually(lambda: "192.168.0.0/16" in learned(), PATIENCE), learned().keys()
    route = learned()["192.168.0.0/16"]
    assert (route.source_peer, route.as_path, route.origin, route.local_address) == (
        "192.168.255.1",
        "65010",
        "EBgp",
        "10.0.255.30",
    )

    def peers() -> list[tuple[str, int, str]]:
        found = gateways.begin_get_bgp_peer_status(GROUP, "vpn", peer="192.168.255.1").result().value or []
        return [(each.state, each.asn, each.local_address) for each in found]

    assert eventually(lambda: peers() == [("Connected", 65010, "10.0.255.30")], PATIENCE), peers()

    def told() -> set[str]:
        found = gateways.begin_get_advertised_routes(GROUP, "vpn", peer="192.168.255.1").result().value or []
        return {each.network for each in found}

    assert eventually(lambda: "10.0.0.0/16" in told(), PATIENCE), told()

    def has_received() -> bool:
        found = connections.get(GROUP, "to-office")
        states = [each.connection_status for each in found.tunnel_connection_status]
        return states == ["Connected"] and bool(found.ingress_bytes_transferred > 0)

    assert eventually(has_received, PATIENCE), connections.get(GROUP, "to-office").as_dict()

    connections.begin_set_shared_key(GROUP, "to-office", {"value": SECRET}).result()
    # What it has learned stays for as long as BGP waits for a peer; no packet takes it.
    assert eventually(lambda: not is_up(), PATIENCE)


def test_what_is_in_use_is_deleted_last(stage: Stage) -> None:
    network = stage.network
    for operations, names, code in (
        (network.virtual_network_gateways, ("vpn",), "VirtualNetworkGatewayCannotBeDeleted"),
        (network.local_network_gateways, ("office",), "LocalNetworkGatewayCannotBeDeleted"),
        (network.public_ip_addresses, ("gw",), "PublicIPAddressCannotBeDeleted"),
        (network.subnets, ("home", "GatewaySubnet"), "InUseSubnetCannotBeDeleted"),
        (network.express_route_circuits, ("line",), "ExpressRouteCircuitCannotBeDeleted"),
    ):
        assert refusal(partial(_removed, operations, *names)) == (400, code)
    peering = partial(_removed, network.express_route_circuit_peerings, "line", "AzurePrivatePeering")
    assert refusal(peering) == (409, "ExpressRouteCircuitPeeringCannotBeDeleted")


def _removed(operations: Any, *names: str) -> Any:
    return operations.begin_delete(GROUP, *names).result()


def test_keys_are_in_no_answer(stage: Stage) -> None:
    for path in (
        "Microsoft.Network/connections",
        "Microsoft.Network/connections/to-office",
        "Microsoft.Network/expressRouteCircuits/line",
        "Microsoft.Network/expressRouteCircuits/line/peerings",
        "Podvnet.Fabric/onPremisesSites/office",
    ):
        answered = stage.call("GET", path)
        assert answered.status_code == 200
        assert not any(secret in answered.text for secret in (SECRET, MD5, "wrong"))
    bad = located(sharedKey=SECRET + "\n", **stage.ends())
    answered = stage.call("PUT", "Microsoft.Network/connections/bad", bad)
    assert (answered.status_code, SECRET in answered.text) == (400, False)
    assert json.loads(answered.text)["error"]["code"] == "InvalidRequestFormat"


def test_what_if_has_no_key_though_the_ends_are_not_there_yet(stage: Stage) -> None:
    ends = stage.ends() | {"localNetworkGateway2": stage.ref("localNetworkGateways/new")}
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [
            {
                "type": "Microsoft.Network/connections",
                "apiVersion": SITE_VERSION,
                "name": "new",
                "location": "local",
                "properties": {"sharedKey": SECRET} | ends,
            }
        ],
    }
    asked = {"properties": {"mode": "Incremental", "template": template, "parameters": {}}}
    begun = stage.call("POST", "Microsoft.Resources/deployments/new/whatIf", asked)
    assert begun.status_code == 202, begun.text
    answered = stage.send("GET", begun.headers["Location"])
    assert answered.status_code == 200
    changes = {each["resourceId"]: each["changeType"] for each in answered.json()["properties"]["changes"]}
    assert changes[stage.ref("connections/new")["id"]] == "Create"
    assert SECRET not in answered.text


def test_a_connection_comes_and_goes(stage: Stage) -> None:
    network = stage.network
    device = located(gatewayIpAddress="198.51.100.99", localNetworkAddressSpace={"addressPrefixes": ["172.20.0.0/16"]})
    network.local_network_gateways.begin_create_or_update(GROUP, "branch", device).result()
    ends = stage.ends() | {"localNetworkGateway2": stage.ref("localNetworkGateways/branch")}
    made = stage.connect("to-branch", sharedKey="k", **ends)
    assert made.provisioning_state == "Succeeded"
    network.virtual_network_gateway_connections.begin_delete(GROUP, "to-branch").result()
    network.local_network_gateways.begin_delete(GROUP, "branch").result()
    assert {each.name for each in network.local_network_gateways.list(GROUP)} == {"office"}
