"""What the names of a service with a private endpoint mean: by way of an alias, in each virtual network."""

from __future__ import annotations

import pytest

from podvnet.fabric import resource_file
from podvnet.fabric.arm.world import World
from podvnet.fabric.dns.resolution import resolve
from podvnet.fabric.dns.view import Views
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle_all
from podvnet.model.resource_id import Scope, make

NAMES = ("told", "empty", "fallback", "bare")
NETWORKS = "".join(
    f"""
  - type: Microsoft.Network/virtualNetworks
    name: {name}
    properties:
      addressSpace: {{addressPrefixes: [10.0.0.0/16]}}
      subnets: [{{name: s, properties: {{addressPrefix: 10.0.0.0/24}}}}]
"""
    for name in NAMES
)
RESOURCES = f"""
resources: {NETWORKS}
  - {{type: Microsoft.Storage/storageAccounts, name: acct}}
  - {{type: Microsoft.Storage/storageAccounts, name: other}}
  - {{type: Microsoft.Sql/servers, name: srv, properties:
      {{administratorLogin: boss, administratorLoginPassword: Correct-horse-7}}}}
  - type: Microsoft.Network/privateDnsZones
    name: privatelink.blob.core.windows.net
    location: global
    properties: {{virtualNetworkLinks: [{{name: l, properties: {{virtualNetwork: {{id: virtualNetworks/told}}}}}}]}}
  - type: Microsoft.Network/privateEndpoints
    name: blob
    properties:
      subnet: {{id: virtualNetworks/told/subnets/s}}
      privateLinkServiceConnections:
        - {{name: c, properties: {{privateLinkServiceId: storageAccounts/acct, groupIds: [blob]}}}}
      privateDnsZoneGroups:
        - name: g
          properties:
            privateDnsZoneConfigs:
              - {{name: z, properties: {{privateDnsZoneId: privateDnsZones/privatelink.blob.core.windows.net}}}}
  - type: Microsoft.Network/privateEndpoints
    name: sql
    properties:
      subnet: {{id: virtualNetworks/told/subnets/s}}
      privateLinkServiceConnections:
        - {{name: c, properties: {{privateLinkServiceId: servers/srv, groupIds: [sqlServer]}}}}
"""
NETWORK = "Microsoft.Network/virtualNetworks"
BESIDE = f"""
resourceGroup: elsewhere
resources:
  - type: Microsoft.Network/privateDnsZones
    name: privatelink.blob.core.windows.net
    location: global
    properties:
      virtualNetworkLinks:
        - {{name: empty, properties: {{virtualNetwork: {{id: {make(Scope(), NETWORK, "empty")}}}}}}}
        - {{name: fallback, properties: {{resolutionPolicy: NxDomainRedirect,
            virtualNetwork: {{id: {make(Scope(), NETWORK, "fallback")}}}}}}}
"""
"""A zone of the same name, in another group, that nothing was written to."""
HOST, LINKED = "acct.blob.core.windows.net", "acct.privatelink.blob.core.windows.net"
ALIAS = f"{HOST} CNAME {LINKED}."
TABLE = [
    ("told", HOST, "A", [ALIAS, f"{LINKED} A 10.0.0.4"]),
    ("told", HOST, "AAAA", [ALIAS]),
    ("told", HOST, "CNAME", [ALIAS]),
    ("told", LINKED, "A", [f"{LINKED} A 10.0.0.4"]),
    ("told", "acct.queue.core.windows.net", "A", ["acct.queue.core.windows.net A 20.60.0.6"]),
    ("told", "other.blob.core.windows.net", "A", ["other.blob.core.windows.net A 20.60.0.9"]),
    ("told", "other.privatelink.blob.core.windows.net", "A", ["NXDOMAIN"]),
    # a zone that does not have it hides what is public, unless its link says otherwise
    ("empty", HOST, "A", [ALIAS, "NXDOMAIN"]),
    ("fallback", HOST, "A", [ALIAS, f"{LINKED} A 20.60.0.5"]),
    # without a zone the name stays public
    ("bare", HOST, "A", [ALIAS, f"{LINKED} A 20.60.0.5"]),
    ("told", "srv.database.windows.net", "A",
     ["srv.database.windows.net CNAME srv.privatelink.database.windows.net.",
      "srv.privatelink.database.windows.net A 40.79.128.5"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def views() -> Views:
    world = World()
    for text in (RESOURCES, BESIDE):
        world = settle_all(resource_file.parse(text, "test"), world, set()).world
    intent = IntentReader().read(world)
    return Views(lambda: intent)


@pytest.mark.parametrize(("network", "name", "kind", "expected"), TABLE)
def test_the_names_of_services(network: str, name: str, kind: str, expected: list[str], views: Views) -> None:
    view = views.find(make(Scope(), NETWORK, network).key)
    assert view is not None
    found = resolve(view, name, kind)
    answers = [f"{owner} {each.type} {data}" for owner, each in found.answers for data in each.data]
    assert [*answers, *(["NXDOMAIN"] if found.rcode == "NXDOMAIN" else [])] == expected
