"""Two virtual networks that are peered, zones linked to them, and what they are asked."""

from __future__ import annotations

import pytest

from podvnet.fabric import resource_file
from podvnet.fabric.arm.world import World
from podvnet.fabric.dns.view import Views
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle_all
from podvnet.model.intent import Intent
from podvnet.model.resource_id import Scope, make

RESOURCES = """
resources:
  - type: Microsoft.Network/virtualNetworks
    name: hub
    properties:
      addressSpace: {addressPrefixes: [10.0.0.0/16, "fd00::/48"]}
      subnets: [{name: front, properties: {addressPrefix: 10.0.1.0/24}}]
      virtualNetworkPeerings:
        - {name: p, properties: {remoteVirtualNetwork: {id: virtualNetworks/spoke}}}
  - type: Microsoft.Network/virtualNetworks
    name: spoke
    properties:
      addressSpace: {addressPrefixes: [10.1.0.0/16]}
      subnets: [{name: front, properties: {addressPrefix: 10.1.1.0/24}}]
      dhcpOptions: {dnsServers: [10.1.1.53, 10.1.1.54]}
      virtualNetworkPeerings:
        - {name: p, properties: {remoteVirtualNetwork: {id: virtualNetworks/hub}}}
  - type: Microsoft.Network/networkInterfaces
    name: nic1
    properties:
      dnsSettings: {internalDnsNameLabel: Labelled}
      ipConfigurations:
        - {name: a, properties: {primary: true, subnet: {id: virtualNetworks/hub/subnets/front}}}
        - {name: b, properties: {subnet: {id: virtualNetworks/hub/subnets/front}}}
  - type: Microsoft.Network/networkInterfaces
    name: nic1b
    properties: {ipConfigurations: [{name: a, properties: {subnet: {id: virtualNetworks/hub/subnets/front}}}]}
  - type: Microsoft.Network/networkInterfaces
    name: nic2
    properties: {ipConfigurations: [{name: a, properties: {subnet: {id: virtualNetworks/spoke/subnets/front}}}]}
  - type: Microsoft.Network/networkInterfaces
    name: nic3
    properties:
      dnsSettings: {dnsServers: [AzureProvidedDNS]}
      ipConfigurations: [{name: a, properties: {subnet: {id: virtualNetworks/spoke/subnets/front}}}]
  - type: Microsoft.Network/networkInterfaces
    name: nic4
    properties:
      dnsSettings: {dnsServers: [10.1.1.99]}
      ipConfigurations: [{name: a, properties: {subnet: {id: virtualNetworks/spoke/subnets/front}}}]
  - type: Microsoft.Compute/virtualMachines
    name: vm1
    properties:
      osProfile: {computerName: Front}
      networkProfile:
        networkInterfaces: [{id: networkInterfaces/nic1, properties: {primary: true}}, {id: networkInterfaces/nic1b}]
  - {type: Microsoft.Compute/virtualMachines, name: vm2, properties: {networkProfile: {networkInterfaces: [
      {id: networkInterfaces/nic2}]}}}
  - {type: Microsoft.Compute/virtualMachines, name: vm3, properties: {networkProfile: {networkInterfaces: [
      {id: networkInterfaces/nic3}]}}}
  - {type: Microsoft.Compute/virtualMachines, name: vm4_, properties: {networkProfile: {networkInterfaces: [
      {id: networkInterfaces/nic4}]}}}
  - type: Microsoft.Network/publicIPAddresses
    name: public
    sku: {name: Standard}
    properties: {publicIPAllocationMethod: Static, dnsSettings: {domainNameLabel: shop}}
  - type: Microsoft.Network/publicIPAddresses
    name: public6
    properties: {publicIPAddressVersion: IPv6, dnsSettings: {domainNameLabel: shop}}
  - type: Microsoft.Network/privateDnsZones
    name: Corp.Example
    properties:
      A:
        - {name: web, properties: {ttl: 30, aRecords: [{ipv4Address: 10.9.0.1}, {ipv4Address: 10.9.0.2}]}}
        - {name: deep.under.here, properties: {ttl: 30, aRecords: [{ipv4Address: 10.9.0.3}]}}
        - {name: "*.wild", properties: {ttl: 30, aRecords: [{ipv4Address: 10.9.0.4}]}}
        - {name: known.wild, properties: {ttl: 30, aRecords: [{ipv4Address: 10.9.0.5}]}}
      AAAA: [{name: web, properties: {ttl: 30, aaaaRecords: [{ipv6Address: "fd00::1"}]}}]
      CNAME:
        - {name: www, properties: {ttl: 30, cnameRecord: {cname: WEB.corp.example.}}}
        - {name: far, properties: {ttl: 30, cnameRecord: {cname: www.public.test}}}
        - {name: inner, properties: {ttl: 30, cnameRecord: {cname: db.inner.corp.example}}}
        - {name: shop, properties: {ttl: 30, cnameRecord: {cname: shop.local.cloudapp.azure.com}}}
        - {name: dangling, properties: {ttl: 30, cnameRecord: {cname: no.corp.example}}}
        - {name: loop1, properties: {ttl: 30, cnameRecord: {cname: loop2.corp.example}}}
        - {name: loop2, properties: {ttl: 30, cnameRecord: {cname: loop1.corp.example}}}
      MX: [{name: "@", properties: {ttl: 30, mxRecords: [{preference: 5, exchange: web.corp.example}]}}]
      SRV: [{name: _sip._tcp, properties: {ttl: 30, srvRecords: [
        {priority: 1, weight: 2, port: 5060, target: web.corp.example}]}}]
      TXT: [{name: txt, properties: {ttl: 30, txtRecords: [{value: ['a "b"', "c"]}]}}]
      virtualNetworkLinks:
        - {name: hub, properties: {virtualNetwork: {id: virtualNetworks/hub}, registrationEnabled: true}}
  - type: Microsoft.Network/privateDnsZones
    name: inner.corp.example
    properties:
      A: [{name: db, properties: {ttl: 30, aRecords: [{ipv4Address: 10.9.0.9}]}}]
      virtualNetworkLinks: [{name: hub, properties: {virtualNetwork: {id: virtualNetworks/hub}}}]
  - type: Microsoft.Network/privateDnsZones
    name: fallback.example
    properties:
      A: [{name: here, properties: {ttl: 30, aRecords: [{ipv4Address: 10.9.0.8}]}}]
      virtualNetworkLinks:
        - {name: hub, properties: {virtualNetwork: {id: virtualNetworks/hub}, resolutionPolicy: NxDomainRedirect}}
        - {name: spoke, properties: {virtualNetwork: {id: virtualNetworks/spoke}}}
  - type: Microsoft.Network/privateDnsZones
    name: 9.10.in-addr.arpa
    properties:
      PTR: [{name: "1.0", properties: {ttl: 30, ptrRecords: [{ptrdname: web.corp.example}]}}]
      virtualNetworkLinks: [{name: hub, properties: {virtualNetwork: {id: virtualNetworks/hub}}}]
"""


@pytest.fixture(scope="session")
def intent() -> Intent:
    return IntentReader().read(settle_all(resource_file.parse(RESOURCES, "test"), World(), set()).world)


@pytest.fixture(scope="session")
def views(intent: Intent) -> Views:
    return Views(lambda: intent)


def network_key(name: str) -> str:
    """The id key of a virtual network."""
    return make(Scope(), "Microsoft.Network/virtualNetworks", name).key
