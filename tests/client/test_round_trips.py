"""What the SDK reads back is what Azure returns: every member of every type, as recorded from the resource manager.

Where Azure chooses (etags, guids, addresses) the form is checked; all the rest is compared whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import located, network_id, part, reference

GROUP = "round"
_GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DONE = {"provisioningState": "Succeeded"}


@pytest.fixture(scope="module", autouse=True)
def group(cloud: Cloud) -> Iterator[None]:
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def raw(response: Any, _body: Any, _headers: Any) -> Any:
    """As ``cls=`` of any operation of the SDK: the answer itself, not the model made of it."""
    return response.http_response.json()


def plain(document: Any) -> dict[str, Any]:
    """A document without its etags and guid, once their form is checked and its parts have the etag of the whole."""
    etag = document["etag"]
    assert re.fullmatch(rf'W/"{_GUID}"', etag)

    def strip(value: Any) -> Any:
        if isinstance(value, list):
            return [strip(each) for each in value]
        if not isinstance(value, dict):
            return value
        assert value.get("etag", etag) == etag
        assert re.fullmatch(_GUID, value.get("resourceGuid", "00000000-0000-0000-0000-000000000000"))
        return {key: strip(each) for key, each in value.items() if key not in {"etag", "resourceGuid"}}

    found: dict[str, Any] = strip(document)
    return found


def frame(cloud: Cloud, kind: str, name: str, **properties: Any) -> dict[str, Any]:
    """What every answer of Microsoft.Network has, around its properties."""
    return {
        "name": name, "id": network_id(cloud, GROUP, f"{kind}/{name}"), "type": f"Microsoft.Network/{kind}",
        "location": "local", "properties": DONE | properties,
    }  # fmt: skip


def child(cloud: Cloud, path: str, **properties: Any) -> dict[str, Any]:
    """A sub-resource as it is shown within its parent."""
    kind, _, below, name = path.split("/")
    return {
        "name": name, "id": network_id(cloud, GROUP, path), "type": f"Microsoft.Network/{kind}/{below}",
        "properties": DONE | properties,
    }  # fmt: skip


def public(cloud: Cloud, name: str) -> dict[str, Any]:
    body = located(_sku="Standard", publicIPAllocationMethod="Static")
    cloud.network.public_ip_addresses.begin_create_or_update(GROUP, name, body).result()
    return reference(cloud, GROUP, f"publicIPAddresses/{name}")


def test_a_virtual_network(cloud: Cloud) -> None:
    subnets = [
        part("s", addressPrefix="10.0.1.0/24"),
        part(
            "t", addressPrefixes=["10.0.2.0/24", "fd00::/64"], defaultOutboundAccess=True,
            delegations=[part("d", serviceName="Microsoft.Web/serverFarms")],
            serviceEndpoints=[{"service": "Microsoft.Storage"}], privateEndpointNetworkPolicies="Enabled",
        ),
    ]  # fmt: skip
    body = located(
        addressSpace={"addressPrefixes": ["10.0.0.0/16", "fd00::/48"]}, subnets=subnets,
        dhcpOptions={"dnsServers": ["10.0.0.9"]}, flowTimeoutInMinutes=10,
    ) | {"tags": {"a": "B"}}  # fmt: skip
    cloud.network.virtual_networks.begin_create_or_update(GROUP, "full", body).result()
    first = child(
        cloud, "virtualNetworks/full/subnets/s", addressPrefix="10.0.1.0/24", delegations=[],
        defaultOutboundAccess=False,  # of the SDK's api-version
        privateEndpointNetworkPolicies="Disabled", privateLinkServiceNetworkPolicies="Enabled",
    )  # fmt: skip
    subnet = network_id(cloud, GROUP, "virtualNetworks/full/subnets/t")
    delegation = {
        "name": "d", "id": f"{subnet}/delegations/d", "type": "Microsoft.Network/virtualNetworks/subnets/delegations",
        "properties": DONE | {"serviceName": "Microsoft.Web/serverFarms"},
    }  # fmt: skip
    second = child(
        cloud, "virtualNetworks/full/subnets/t", addressPrefixes=["10.0.2.0/24", "fd00::/64"],
        defaultOutboundAccess=True, delegations=[delegation],
        serviceEndpoints=[DONE | {"service": "Microsoft.Storage", "locations": ["*"]}],
        privateEndpointNetworkPolicies="Enabled", privateLinkServiceNetworkPolicies="Enabled",
    )  # fmt: skip
    found = cloud.network.virtual_networks.get(GROUP, "full", cls=raw)
    assert plain(found) == {"tags": {"a": "B"}} | frame(
        cloud, "virtualNetworks", "full", addressSpace={"addressPrefixes": ["10.0.0.0/16", "fd00::/48"]},
        dhcpOptions={"dnsServers": ["10.0.0.9"]}, flowTimeoutInMinutes=10, privateEndpointVNetPolicies="Disabled",
        subnets=[first, second], virtualNetworkPeerings=[], enableDdosProtection=False,
    )  # fmt: skip
    assert plain(cloud.network.subnets.get(GROUP, "full", "s", cls=raw)) == first
    bare = located(addressSpace={"addressPrefixes": ["10.0.0.0/16"]})
    cloud.network.virtual_networks.begin_create_or_update(GROUP, "bare", bare).result()
    assert plain(cloud.network.virtual_networks.get(GROUP, "bare", cls=raw)) == frame(
        cloud, "virtualNetworks", "bare", addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=[],
        privateEndpointVNetPolicies="Disabled", virtualNetworkPeerings=[], enableDdosProtection=False,
    )  # fmt: skip


def test_a_peering(cloud: Cloud) -> None:
    for name, prefix in (("near", "10.1.0.0/16"), ("far", "10.2.0.0/16")):
        body = located(addressSpace={"addressPrefixes": [prefix]})
        cloud.network.virtual_networks.begin_create_or_update(GROUP, name, body).result()
    remote = reference(cloud, GROUP, "virtualNetworks/far")
    peering: Any = {"properties": {"remoteVirtualNetwork": remote, "allowForwardedTraffic": True}}
    peerings = cloud.network.virtual_network_peerings
    peerings.begin_create_or_update(GROUP, "near", "p", peering).result()
    assert plain(peerings.get(GROUP, "near", "p", cls=raw)) == child(
        cloud, "virtualNetworks/near/virtualNetworkPeerings/p", peeringState="Initiated",
        peeringSyncLevel="FullyInSync", remoteVirtualNetwork=remote,
        allowVirtualNetworkAccess=True, allowForwardedTraffic=True, allowGatewayTransit=False, useRemoteGateways=False,
        doNotVerifyRemoteGateways=False, peerCompleteVnets=True,
        remoteAddressSpace={"addressPrefixes": ["10.2.0.0/16"]},
        remoteVirtualNetworkAddressSpace={"addressPrefixes": ["10.2.0.0/16"]},
    )  # fmt: skip


def test_a_security_group_and_an_application_group(cloud: Cloud) -> None:
    group = cloud.network.application_security_groups
    group.begin_create_or_update(GROUP, "asg", located()).result()
    assert plain(group.get(GROUP, "asg", cls=raw)) == frame(cloud, "applicationSecurityGroups", "asg")
    rule = part(
        "web", priority=100, direction="inbound", access="allow", protocol="tcp", sourcePortRange="*",
        sourceAddressPrefixes=["10.0.0.0/8", "Internet"], destinationPortRanges=["80", "443", "8000-8100"],
        destinationApplicationSecurityGroups=[reference(cloud, GROUP, "applicationSecurityGroups/asg")],
    )  # fmt: skip
    groups = cloud.network.network_security_groups
    groups.begin_create_or_update(GROUP, "nsg", located(securityRules=[rule])).result()
    found = plain(groups.get(GROUP, "nsg", cls=raw))
    defaults = found["properties"].pop("defaultSecurityRules")
    assert found == frame(cloud, "networkSecurityGroups", "nsg", securityRules=[child(
        cloud, "networkSecurityGroups/nsg/securityRules/web", priority=100, direction="Inbound", access="Allow",
        protocol="Tcp", sourcePortRange="*", sourcePortRanges=[], sourceAddressPrefixes=["10.0.0.0/8", "Internet"],
        destinationPortRanges=["80", "443", "8000-8100"], destinationAddressPrefixes=[],
        destinationApplicationSecurityGroups=[reference(cloud, GROUP, "applicationSecurityGroups/asg")],
    )])  # fmt: skip
    many: dict[str, Any] = {
        f"{side}{what}": [] for side in ("source", "destination") for what in ("PortRanges", "AddressPrefixes")
    }
    assert defaults[1] == child(
        cloud, "networkSecurityGroups/nsg/defaultSecurityRules/AllowAzureLoadBalancerInBound",
        description="Allow inbound traffic from azure load balancer", protocol="*", sourcePortRange="*",
        destinationPortRange="*", sourceAddressPrefix="AzureLoadBalancer", destinationAddressPrefix="*",
        access="Allow", priority=65001, direction="Inbound", **many,
    )  # fmt: skip


def test_a_route_table(cloud: Cloud) -> None:
    routes = [
        part("out", addressPrefix="0.0.0.0/0", nextHopType="virtualAppliance", nextHopIpAddress="10.0.9.4"),
        part("hole", addressPrefix="Storage", nextHopType="None"),
    ]
    tables = cloud.network.route_tables
    tables.begin_create_or_update(GROUP, "table", located(routes=routes)).result()
    shown = [
        child(cloud, "routeTables/table/routes/out", addressPrefix="0.0.0.0/0", nextHopType="VirtualAppliance",
              nextHopIpAddress="10.0.9.4", hasBgpOverride=False),
        child(cloud, "routeTables/table/routes/hole", addressPrefix="Storage", nextHopType="None",
              hasBgpOverride=False),
    ]  # fmt: skip
    found = plain(tables.get(GROUP, "table", cls=raw))
    assert found == frame(cloud, "routeTables", "table", disableBgpRoutePropagation=False, routes=shown)
    assert plain(cloud.network.routes.get(GROUP, "table", "out", cls=raw)) == shown[0]


def test_a_public_address_a_prefix_and_a_nat_gateway(cloud: Cloud) -> None:
    network = cloud.network
    body = located(_sku="Standard", prefixLength=31)
    network.public_ip_prefixes.begin_create_or_update(GROUP, "run", body).result()
    prefix = plain(network.public_ip_prefixes.get(GROUP, "run", cls=raw))
    run = prefix["properties"].pop("ipPrefix")
    assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+/31", run)
    sku = {"sku": {"name": "Standard", "tier": "Regional"}}
    assert prefix == sku | frame(
        cloud, "publicIPPrefixes", "run", prefixLength=31, publicIPAddressVersion="IPv4", ipTags=[]
    )
    own = reference(cloud, GROUP, "publicIPPrefixes/run")
    body = located(_sku="Standard", dnsSettings={"domainNameLabel": "round"}, publicIPPrefix=own)
    network.public_ip_addresses.begin_create_or_update(GROUP, "way", body | {"zones": ["1", "2", "3"]}).result()
    way = reference(cloud, GROUP, "publicIPAddresses/way")
    body = located(_sku="Standard", publicIpAddresses=[way])
    network.nat_gateways.begin_create_or_update(GROUP, "nat", body).result()
    shown = plain(network.public_ip_addresses.get(GROUP, "way", cls=raw))
    assert shown["properties"].pop("ipAddress") == run.removesuffix("/31")
    assert shown == sku | {"zones": ["1", "2", "3"]} | frame(
        cloud, "publicIPAddresses", "way", publicIPAddressVersion="IPv4", publicIPAllocationMethod="Static",
        idleTimeoutInMinutes=4, ipTags=[], ddosSettings={"protectionMode": "VirtualNetworkInherited"},
        dnsSettings={"domainNameLabel": "round", "fqdn": "round.local.cloudapp.azure.com"}, publicIPPrefix=own,
        natGateway=reference(cloud, GROUP, "natGateways/nat"),
    )  # fmt: skip
    assert plain(network.nat_gateways.get(GROUP, "nat", cls=raw)) == sku | frame(
        cloud, "natGateways", "nat", idleTimeoutInMinutes=4, type="Public", publicIpAddresses=[way]
    )
    again = network.public_ip_prefixes.get(GROUP, "run", cls=raw)
    assert again["properties"]["publicIPAddresses"] == [way]


def test_a_nic_on_a_vm_behind_a_load_balancer(cloud: Cloud) -> None:
    network = cloud.network
    subnets = [part("s", addressPrefix="10.3.0.0/24", defaultOutboundAccess=True)]
    body = located(addressSpace={"addressPrefixes": ["10.3.0.0/16"]}, subnets=subnets)
    network.virtual_networks.begin_create_or_update(GROUP, "home", body).result()
    subnet = reference(cloud, GROUP, "virtualNetworks/home/subnets/s")
    ends = {kind: reference(cloud, GROUP, f"loadBalancers/lb/{kind}/{name}") for kind, name in (
        ("frontendIPConfigurations", "f"), ("backendAddressPools", "b"), ("probes", "p"),
        ("loadBalancingRules", "r"), ("outboundRules", "o"))}  # fmt: skip
    front, pool = ends["frontendIPConfigurations"], ends["backendAddressPools"]
    address = public(cloud, "front")
    lists: dict[str, Any] = {
        "frontendIPConfigurations": [part("f", publicIPAddress=address)],
        "backendAddressPools": [{"name": "b"}],
        "probes": [part(
            "p", protocol="Http", port=10256, requestPath="/healthz", intervalInSeconds=5, probeThreshold=2)],
        "loadBalancingRules": [part(
            "r", frontendIPConfiguration=front, backendAddressPool=pool, probe=ends["probes"], protocol="tcp",
            frontendPort=80, backendPort=8080, enableTcpReset=True, disableOutboundSnat=True)],
        "outboundRules": [part("o", frontendIPConfigurations=[front], backendAddressPool=pool, protocol="All")],
    }  # fmt: skip
    network.load_balancers.begin_create_or_update(GROUP, "lb", located(_sku="Standard", **lists)).result()
    configurations = [
        part("c", primary=True, subnet=subnet, loadBalancerBackendAddressPools=[pool]),
        part("pods", subnet=subnet, privateIPAddressPrefixLength=28),
    ]
    network.network_interfaces.begin_create_or_update(GROUP, "nic", located(ipConfigurations=configurations)).result()
    nic = reference(cloud, GROUP, "networkInterfaces/nic")
    machine = located(networkProfile={"networkInterfaces": [nic]})
    made = cloud.compute.virtual_machines.begin_create_or_update(GROUP, "vm", machine).result()
    shown = plain(network.network_interfaces.get(GROUP, "nic", cls=raw))
    assert re.fullmatch(r"[0-9A-F]{2}(-[0-9A-F]{2}){5}", shown["properties"].pop("macAddress"))
    suffix = shown["properties"]["dnsSettings"].pop("internalDomainNameSuffix")
    assert re.fullmatch(r"[a-z2-7]{26}\.bx\.internal\.cloudapp\.net", suffix)
    held = {"privateIPAllocationMethod": "Dynamic", "subnet": subnet, "privateIPAddressVersion": "IPv4"}
    root = "networkInterfaces/nic/ipConfigurations"
    assert shown == {"kind": "Regular"} | frame(
        cloud, "networkInterfaces", "nic", dnsSettings={"dnsServers": [], "appliedDnsServers": []},
        ipConfigurations=[
            child(cloud, f"{root}/c", privateIPAddress="10.3.0.4", primary=True,
                  loadBalancerBackendAddressPools=[pool], **held),
            child(cloud, f"{root}/pods", privateIPAddress="10.3.0.16/28", primary=False,
                  privateIPAddressPrefixLength=28, **held),
        ],
        enableAcceleratedNetworking=False, vnetEncryptionSupported=False, enableIPForwarding=False,
        disableTcpStateTracking=False, hostedWorkloads=[], tapConfigurations=[], nicType="Standard",
        allowPort25Out=True, defaultOutboundConnectivityEnabled=True, auxiliaryMode="None", auxiliarySku="None",
        virtualMachine={"id": made.id}, primary=True,
    )  # fmt: skip
    member = reference(cloud, GROUP, f"{root}/c")
    balancer = plain(network.load_balancers.get(GROUP, "lb", cls=raw))
    rules, out = [ends["loadBalancingRules"]], ends["outboundRules"]
    assert balancer == {"sku": {"name": "Standard", "tier": "Regional"}} | frame(
        cloud, "loadBalancers", "lb", inboundNatRules=[], inboundNatPools=[],
        frontendIPConfigurations=[child(
            cloud, "loadBalancers/lb/frontendIPConfigurations/f", privateIPAllocationMethod="Dynamic",
            publicIPAddress=address, loadBalancingRules=rules, outboundRules=[out])],
        backendAddressPools=[child(
            cloud, "loadBalancers/lb/backendAddressPools/b", backendIPConfigurations=[member],
            loadBalancingRules=rules, outboundRules=[out], outboundRule=out,
            loadBalancerBackendAddresses=[{
                "name": f"{GROUP}_nicc", "id": f"{pool['id']}/loadBalancerBackendAddresses/{GROUP}_nicc",
                "type": "Microsoft.Network/loadBalancers/backendAddressPools/loadBalancerBackendAddresses",
                "properties": {"networkInterfaceIPConfiguration": member}}])],
        probes=[child(
            cloud, "loadBalancers/lb/probes/p", protocol="Http", port=10256, requestPath="/healthz",
            intervalInSeconds=5, numberOfProbes=1, probeThreshold=2, noHealthyBackendsBehavior="AllProbedDown",
            loadBalancingRules=rules)],
        loadBalancingRules=[child(
            cloud, "loadBalancers/lb/loadBalancingRules/r", frontendIPConfiguration=front, backendAddressPool=pool,
            backendAddressPools=[pool], probe=ends["probes"], protocol="Tcp", frontendPort=80, backendPort=8080,
            enableFloatingIP=False, idleTimeoutInMinutes=4, enableTcpReset=True, loadDistribution="Default",
            disableOutboundSnat=True, enableConnectionTracking=False)],
        outboundRules=[child(
            cloud, "loadBalancers/lb/outboundRules/o", frontendIPConfigurations=[front], backendAddressPool=pool,
            protocol="All", allocatedOutboundPorts=0, idleTimeoutInMinutes=4, enableTcpReset=False)],
    )  # fmt: skip
    seen = network.public_ip_addresses.get(GROUP, "front", cls=raw)["properties"]["ipConfiguration"]
    assert seen == front
    seen = network.subnets.get(GROUP, "home", "s", cls=raw)["properties"]["ipConfigurations"]
    assert seen == [member, reference(cloud, GROUP, f"{root}/pods")]
