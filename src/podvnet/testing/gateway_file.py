"""A hub with a VPN gateway and an ExpressRoute gateway, a spoke that uses them, and the office they lead to, as a file.

The VPN gateway speaks BGP and is at 10.0.255.30 and 192.0.2.1, the ExpressRoute gateway at 10.0.255.4. The office is
192.168.0.0/16 behind 198.51.100.20, its host files 192.168.0.10.
"""

from __future__ import annotations

from podvnet.fabric import resource_file
from podvnet.fabric.arm.world import Document

KEY = "a-key-Of-The-Tunnel"
"""What the connection and the office's device share."""
CIRCUIT_KEY = "md5OfTheCircuit"
"""What the two ends of the circuit's BGP sessions share."""

TEXT = f"""
resources:
- {{type: Microsoft.Network/publicIPAddresses, name: gw}}
- {{type: Microsoft.Network/publicIPAddresses, name: spare}}
- type: Microsoft.Network/virtualNetworks
  name: hub
  properties:
    addressSpace: {{addressPrefixes: [10.0.0.0/16]}}
    subnets:
    - {{name: GatewaySubnet, properties: {{addressPrefix: 10.0.255.0/27}}}}
    - {{name: pods, properties: {{addressPrefix: 10.0.0.0/24}}}}
    virtualNetworkPeerings:
    - {{name: to-spoke, properties: {{remoteVirtualNetwork: {{id: virtualNetworks/spoke}}, allowGatewayTransit: true}}}}
- type: Microsoft.Network/virtualNetworks
  name: spoke
  properties:
    addressSpace: {{addressPrefixes: [10.1.0.0/16]}}
    subnets: [{{name: pods, properties: {{addressPrefix: 10.1.0.0/24}}}}]
    virtualNetworkPeerings:
    - {{name: to-hub, properties: {{remoteVirtualNetwork: {{id: virtualNetworks/hub}}, useRemoteGateways: true}}}}
- type: Microsoft.Network/virtualNetworkGateways
  name: vpn
  properties:
    gatewayType: Vpn
    enableBgp: true
    sku: {{name: VpnGw1}}
    ipConfigurations:
    - name: a
      properties:
        subnet: {{id: virtualNetworks/hub/subnets/GatewaySubnet}}
        publicIPAddress: {{id: publicIPAddresses/gw}}
- type: Microsoft.Network/virtualNetworkGateways
  name: er
  properties:
    gatewayType: ExpressRoute
    sku: {{name: ErGw1AZ}}
    ipConfigurations: [{{name: a, properties: {{subnet: {{id: virtualNetworks/hub/subnets/GatewaySubnet}}}}}}]
- type: Microsoft.Network/localNetworkGateways
  name: office
  properties:
    fqdn: office.example
    localNetworkAddressSpace: {{addressPrefixes: [192.168.255.1/32]}}
    bgpSettings: {{asn: 65010, bgpPeeringAddress: 192.168.255.1}}
- type: Microsoft.Network/connections
  name: to-office
  properties:
    connectionType: IPsec
    virtualNetworkGateway1: {{id: virtualNetworkGateways/vpn}}
    localNetworkGateway2: {{id: localNetworkGateways/office}}
    sharedKey: {KEY}
    enableBgp: true
- type: Microsoft.Network/expressRouteCircuits
  name: line
  sku: {{tier: Standard, family: MeteredData}}
  properties:
    serviceProviderProperties: {{serviceProviderName: Equinix, peeringLocation: Seattle, bandwidthInMbps: 200}}
    authorizations: [{{name: given}}]
    peerings:
    - name: AzurePrivatePeering
      properties:
        peerASN: 65010
        primaryPeerAddressPrefix: 172.16.1.0/30
        secondaryPeerAddressPrefix: 172.16.1.4/30
        vlanId: 100
        sharedKey: {CIRCUIT_KEY}
- type: Microsoft.Network/connections
  name: to-line
  properties:
    connectionType: ExpressRoute
    virtualNetworkGateway1: {{id: virtualNetworkGateways/er}}
    peer: {{id: expressRouteCircuits/line}}
- type: Podvnet.Fabric/onPremisesSites
  name: office
  properties:
    publicAddress: 198.51.100.20
    fqdn: office.example
    addressPrefixes: [192.168.0.0/16]
    hosts: [{{name: files, address: 192.168.0.10}}]
    bgpAddress: 192.168.255.1
    tunnels: [{{name: azure, publicIPAddress: {{id: publicIPAddresses/gw}}, sharedKey: {KEY}, bgp: true}}]
    circuits: [{{id: expressRouteCircuits/line}}]
    circuitSharedKey: {CIRCUIT_KEY}
"""


def gateway_resources() -> list[Document]:
    """The resources of the file."""
    return resource_file.parse(TEXT, "gateways.yaml")
