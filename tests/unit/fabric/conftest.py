"""A network to ask about, and a caller that drives an ASGI application without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import pytest
from starlette.types import ASGIApp

from podvnet.fabric import resource_file
from podvnet.fabric.arm import references
from podvnet.fabric.arm.world import Document, World
from podvnet.fabric.settlement import settle, settle_all
from podvnet.model.address import Mac
from podvnet.model.arm_error import ArmError
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface, VirtualMachine, VirtualNetwork
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.model.subnet import Subnet
from podvnet.testing.gateway_file import gateway_resources

SCOPE = Scope("11111111-2222-3333-4444-555555555555", "rg1")

Reply = tuple[int, dict[str, str], bytes]


@pytest.fixture
def call() -> Callable[..., Reply]:
    """``call(app, "GET", "/path?query", source=…, headers={…})`` → status, headers with lower-case names, body."""
    return _call


def _call(
    app: ASGIApp, method: str, target: str, *, source: str = "10.1.0.4", headers: dict[str, str] | None = None
) -> Reply:
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": (source, 50000),
        "server": ("platform", 80),
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def run() -> None:
        await app(scope, receive, send)

    asyncio.run(run())
    start = sent[0]
    names = {name.decode(): value.decode() for name, value in start["headers"]}
    return int(start["status"]), names, b"".join(message["body"] for message in sent[1:])


def _nic(network: ResourceId, subnet: str, number: int, *addresses: str) -> NetworkInterface:
    """Build a NIC; the configuration of its first address is the primary one."""
    return NetworkInterface(
        id=make(SCOPE, "Microsoft.Network/networkInterfaces", f"nic{number}"),
        number=number,
        mac=Mac(f"00:0d:3a:f8:06:e{number}"),
        virtual_network=network,
        subnet=network.child("subnets", subnet),
        ip_configurations=tuple(
            IpConfiguration(f"ipconfig{index}", ip_address(text), primary=index == 0)
            for index, text in enumerate(addresses)
        ),
    )


def _machine(name: str, *nics: NetworkInterface) -> VirtualMachine:
    return VirtualMachine(
        id=make(SCOPE, "Microsoft.Compute/virtualMachines", name),
        vm_id=f"5c08b38e-4d57-4c23-ac45-00000000000{name[-1]}",
        location="westeurope",
        size="Standard_D4s_v5",
        nics=tuple(nic.id for nic in nics),
        tags=(("role", "node"), ("pool", "blue")),
    )


@pytest.fixture
def intent() -> Intent:
    """Two VMs: vm1 has a dual-stack NIC with two pod addresses and a second NIC, vm2 one NIC beside them."""
    vnet = make(SCOPE, "Microsoft.Network/virtualNetworks", "vnet1")
    subnets = (
        Subnet(vnet.child("subnets", "nodes"), (IPv4Network("10.1.0.0/24"), IPv6Network("fd00:1::/64"))),
        Subnet(vnet.child("subnets", "storage"), (IPv4Network("10.1.8.0/22"),)),
    )
    network = VirtualNetwork(vnet, 1, (IPv4Network("10.1.0.0/16"), IPv6Network("fd00:1::/56")), subnets)
    nics = (
        _nic(vnet, "nodes", 1, "10.1.0.4", "10.1.0.5", "fd00:1::4", "10.1.0.6", "fd00:1::5"),
        _nic(vnet, "storage", 2, "10.1.8.4"),
        _nic(vnet, "nodes", 3, "10.1.0.7", "10.1.0.8"),
    )
    machines = (_machine("vm1", nics[0], nics[1]), _machine("vm2", nics[2]))
    return Intent(
        virtual_networks={vnet.key: network},
        nics={nic.id.key: nic for nic in nics},
        machines={machine.id.key: machine for machine in machines},
    )


@pytest.fixture
def vm1(intent: Intent) -> VirtualMachine:
    return next(machine for machine in intent.machines.values() if machine.id.name == "vm1")


@pytest.fixture
def vm2(intent: Intent) -> VirtualMachine:
    return next(machine for machine in intent.machines.values() if machine.id.name == "vm2")


@pytest.fixture
def lookup(vm1: VirtualMachine, vm2: VirtualMachine) -> Callable[[str], VirtualMachine | None]:
    """Find a VM by the primary address of its primary NIC."""
    return {"10.1.0.4": vm1, "10.1.0.7": vm2}.get


@pytest.fixture
def grown(intent: Intent) -> Intent:
    """The same network after vm1's first NIC got one more address."""
    key, nic = next((key, nic) for key, nic in intent.nics.items() if nic.number == 1)
    more = (*nic.ip_configurations, IpConfiguration("ipconfig9", ip_address("10.1.0.9")))
    return replace(intent, nics={**intent.nics, key: replace(nic, ip_configurations=more)})


_FILE = """
resources:
- type: Microsoft.Network/virtualNetworks
  name: hub
  properties:
    addressSpace: {addressPrefixes: [10.0.0.0/16, "fd00::/56"]}
    subnets:
    - {name: front, properties: {addressPrefix: 10.0.0.0/24}}
    - {name: tiny, properties: {addressPrefix: 10.0.1.0/29}}
    - {name: dual, properties: {addressPrefixes: ["fd00::/64", 10.0.2.0/24]}}
    - {name: quiet, properties: {addressPrefix: 10.0.3.0/24, defaultOutboundAccess: false}}
- type: Microsoft.Network/virtualNetworks
  name: spoke
  properties:
    addressSpace: {addressPrefixes: [10.9.0.0/16]}
    subnets: [{name: front, properties: {addressPrefix: 10.9.0.0/24}}]
- type: Microsoft.Network/networkInterfaces
  name: web
  properties:
    ipConfigurations:
    - {name: a, properties: {primary: true, subnet: {id: virtualNetworks/hub/subnets/front}}}
    - {name: b, properties: {subnet: {id: virtualNetworks/hub/subnets/front}}}
    - name: c
      properties:
        subnet: {id: virtualNetworks/hub/subnets/front}
        privateIPAllocationMethod: Static
        privateIPAddress: 10.0.0.10
- type: Microsoft.Network/networkInterfaces
  name: db
  properties:
    ipConfigurations: [{name: a, properties: {subnet: {id: virtualNetworks/hub/subnets/front}}}]
- type: Microsoft.Network/networkInterfaces
  name: spare
  properties:
    ipConfigurations: [{name: a, properties: {subnet: {id: virtualNetworks/hub/subnets/front}}}]
- type: Microsoft.Compute/virtualMachines
  name: one
  properties: {networkProfile: {networkInterfaces: [{id: networkInterfaces/web}]}}
- type: Microsoft.Compute/virtualMachines
  name: two
  properties: {networkProfile: {networkInterfaces: [{id: networkInterfaces/db}]}}
- type: Podvnet.Fabric/internetHosts
  name: example
  properties: {address: 198.51.100.7}
"""


@pytest.fixture
def declared() -> list[Document]:
    """The resources of a small file.

    hub has the subnets front, tiny (/29), dual (both IP versions) and quiet (no default outbound); spoke has front.
    In hub's front are web (10.0.0.4, .5 and, static, .10) on the VM one, db (.6) on the VM two, and spare (.7).
    """
    return resource_file.parse(_FILE, "test.yaml")


@pytest.fixture
def world(declared: list[Document]) -> World:
    """The settled world of ``declared``."""
    return settle_all(declared, World(), set()).world


@pytest.fixture
def document() -> Callable[..., Document]:
    """``document(type, name, properties, …)`` → a resource as a client would send it."""

    def make_document(full_type: str, name: str, properties: object, **members: object) -> Document:
        head = {"id": str(make(Scope(), full_type, name)), "name": name, "type": full_type, "location": "local"}
        return head | {"properties": properties} | members

    return make_document


@pytest.fixture
def refusal() -> Callable[[Document, World], ArmError]:
    """The error that a document is refused with."""

    def refused(document: Document, world: World) -> ArmError:
        with pytest.raises(ArmError) as caught:
            settle(document, world)
        return caught.value

    return refused


_STOCK = """
resources:
- {type: Microsoft.Network/applicationSecurityGroups, name: web}
- {type: Microsoft.Network/applicationSecurityGroups, name: db}
- type: Microsoft.Network/networkSecurityGroups
  name: guard
  properties:
    securityRules:
    - name: in
      properties:
        priority: 100
        direction: Inbound
        access: Allow
        protocol: Tcp
        sourceApplicationSecurityGroups: [{id: applicationSecurityGroups/web}]
        sourcePortRange: "*"
        destinationApplicationSecurityGroups: [{id: applicationSecurityGroups/db}]
        destinationPortRanges: ["80", "443"]
- type: Microsoft.Network/routeTables
  name: ways
  properties:
    routes:
    - name: out
      properties: {addressPrefix: 0.0.0.0/0, nextHopType: VirtualAppliance, nextHopIpAddress: 10.1.0.9}
- {type: Microsoft.Network/publicIPPrefixes, name: run, properties: {prefixLength: 30}}
- {type: Microsoft.Network/publicIPAddresses, name: own}
- {type: Microsoft.Network/publicIPAddresses, name: front}
- {type: Microsoft.Network/publicIPAddresses, name: way}
- {type: Microsoft.Network/publicIPAddresses, name: spare}
- type: Microsoft.Network/natGateways
  name: exit
  properties: {publicIpAddresses: [{id: publicIPAddresses/way}], publicIpPrefixes: [{id: publicIPPrefixes/run}]}
- type: Microsoft.Network/virtualNetworks
  name: one
  properties:
    addressSpace: {addressPrefixes: [10.1.0.0/16]}
    subnets:
    - name: a
      properties:
        addressPrefix: 10.1.0.0/24
        networkSecurityGroup: {id: networkSecurityGroups/guard}
        routeTable: {id: routeTables/ways}
        natGateway: {id: natGateways/exit}
    - {name: b, properties: {addressPrefix: 10.1.1.0/24}}
    virtualNetworkPeerings:
    - {name: to-two, properties: {remoteVirtualNetwork: {id: virtualNetworks/two}}}
- type: Microsoft.Network/virtualNetworks
  name: two
  properties:
    addressSpace: {addressPrefixes: [10.2.0.0/16]}
    subnets: [{name: a, properties: {addressPrefix: 10.2.0.0/24}}]
    virtualNetworkPeerings:
    - {name: to-one, properties: {remoteVirtualNetwork: {id: virtualNetworks/one}}}
- type: Microsoft.Network/loadBalancers
  name: public
  properties:
    frontendIPConfigurations: [{name: f, properties: {publicIPAddress: {id: publicIPAddresses/front}}}]
    backendAddressPools: [{name: nics}]
    probes: [{name: p, properties: {protocol: Tcp, port: 80}}]
    loadBalancingRules:
    - name: r
      properties:
        frontendIPConfiguration: {id: loadBalancers/public/frontendIPConfigurations/f}
        backendAddressPool: {id: loadBalancers/public/backendAddressPools/nics}
        probe: {id: loadBalancers/public/probes/p}
        protocol: Tcp
        frontendPort: 80
        backendPort: 8080
        disableOutboundSnat: true
    inboundNatRules:
    - name: ssh
      properties:
        frontendIPConfiguration: {id: loadBalancers/public/frontendIPConfigurations/f}
        protocol: Tcp
        frontendPort: 2222
        backendPort: 22
    outboundRules:
    - name: out
      properties:
        frontendIPConfigurations: [{id: loadBalancers/public/frontendIPConfigurations/f}]
        backendAddressPool: {id: loadBalancers/public/backendAddressPools/nics}
        protocol: All
        allocatedOutboundPorts: 10000
- type: Microsoft.Network/loadBalancers
  name: inner
  properties:
    frontendIPConfigurations: [{name: f, properties: {subnet: {id: virtualNetworks/one/subnets/a}}}]
    backendAddressPools:
    - {name: nics}
    - name: pods
      properties:
        virtualNetwork: {id: virtualNetworks/one}
        loadBalancerBackendAddresses: [{name: p1, properties: {ipAddress: 10.1.0.77}}]
    loadBalancingRules:
    - name: all
      properties:
        frontendIPConfiguration: {id: loadBalancers/inner/frontendIPConfigurations/f}
        backendAddressPool: {id: loadBalancers/inner/backendAddressPools/pods}
        protocol: All
        frontendPort: 0
        backendPort: 0
- type: Microsoft.Network/networkInterfaces
  name: nic
  properties:
    networkSecurityGroup: {id: networkSecurityGroups/guard}
    ipConfigurations:
    - name: x
      properties:
        primary: true
        subnet: {id: virtualNetworks/one/subnets/a}
        publicIPAddress: {id: publicIPAddresses/own}
        loadBalancerBackendAddressPools:
        - {id: loadBalancers/public/backendAddressPools/nics}
        - {id: loadBalancers/inner/backendAddressPools/nics}
        loadBalancerInboundNatRules: [{id: loadBalancers/public/inboundNatRules/ssh}]
        applicationSecurityGroups: [{id: applicationSecurityGroups/web}]
    - {name: y, properties: {subnet: {id: virtualNetworks/one/subnets/a}, privateIPAddressPrefixLength: 28}}
- type: Microsoft.Compute/virtualMachines
  name: vm
  properties: {networkProfile: {networkInterfaces: [{id: networkInterfaces/nic}]}}
"""


@pytest.fixture
def stock() -> list[Document]:
    """The resources of a file with one of everything, each used by another.

    The networks one (10.1.0.0/16) and two (10.2.0.0/16) are peered. In one's subnet a are the load balancer inner
    (10.1.0.4) and the NIC nic (10.1.0.5), which is also behind the load balancer public, on the VM vm.
    """
    return resource_file.parse(_STOCK, "stock.yaml")


@pytest.fixture
def stocked(stock: list[Document]) -> World:
    """The settled world of ``stock``."""
    return settle_all(stock, World(), set()).world


@pytest.fixture
def gated() -> World:
    """The settled world of :mod:`podvnet.testing.gateway_file`."""
    return settle_all(gateway_resources(), World(), set()).world


@pytest.fixture
def altered() -> Callable[..., Document]:
    """``altered(world, type, name, member=…)`` → the resource as a client reads it, with other properties."""

    def alter(world: World, full_type: str, name: str, /, **properties: object) -> Document:
        found = references.view(world.documents[make(Scope(), full_type, name).key], world)
        return found | {"properties": found["properties"] | properties}

    return alter
