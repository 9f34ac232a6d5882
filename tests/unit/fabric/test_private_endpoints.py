"""Private endpoints as documents: their NICs and records come and go with them, from files and one by one."""

from __future__ import annotations

from typing import Any

import pytest

from podvnet.fabric import resource_file
from podvnet.fabric.arm import references
from podvnet.fabric.arm.world import NETWORK_INTERFACES, PRIVATE_ENDPOINTS, PRIVATE_ZONES, Document, World, shown
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle_all, settle_removal
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.limits import PRIVATE_ENDPOINTS_PER_VIRTUAL_NETWORK
from podvnet.model.resource_id import Scope, make

NETWORK = """
  - type: Microsoft.Network/virtualNetworks
    name: hub
    properties:
      addressSpace: {addressPrefixes: [10.0.0.0/16]}
      subnets: [{name: ends, properties: {addressPrefix: 10.0.0.0/20}}]
"""
REST = """
  - {type: Microsoft.Storage/storageAccounts, name: acct}
  - type: Microsoft.Network/privateDnsZones
    name: privatelink.blob.core.windows.net
    location: global
    properties:
      A: [{name: acct, properties: {ttl: 60, aRecords: [{ipv4Address: 10.9.9.9}]}}]
"""
ENDPOINT = """
  - type: Microsoft.Network/privateEndpoints
    name: NAME
    properties:
      subnet: {id: virtualNetworks/hub/subnets/ends}
      privateLinkServiceConnections:
        - {name: c, properties: {privateLinkServiceId: storageAccounts/acct, groupIds: [Blob]}}
      privateDnsZoneGroups:
        - name: default
          properties:
            privateDnsZoneConfigs:
              - {name: z, properties: {privateDnsZoneId: privateDnsZones/privatelink.blob.core.windows.net}}
"""


def apply(world: World, *texts: str) -> World:
    """A file that declares these, and everything there is came from it."""
    wanted = resource_file.parse(f"resources:{''.join(texts)}", "file.yaml")
    return settle_all(wanted, world, set(world.documents)).world


def records(world: World) -> list[tuple[str, list[str]]]:
    (zone,) = world.of_type(PRIVATE_ZONES)
    return [
        (each["name"], [record["ipv4Address"] for record in each["properties"]["aRecords"]])
        for each in zone["properties"]["A"]
    ]


def only(world: World, full_type: str) -> Document:
    (found,) = world.of_type(full_type)
    return found


@pytest.fixture
def world() -> World:
    return apply(World(), NETWORK, REST, ENDPOINT)


def test_a_file_that_is_applied_again_changes_nothing(world: World) -> None:
    wanted = resource_file.parse(f"resources:{NETWORK}{REST}{ENDPOINT}", "file.yaml")
    again = settle_all(wanted, world, set(world.documents))
    assert again.changes == ()
    assert again.world.documents.keys() == world.documents.keys()
    assert again.world.holders == world.holders


def test_the_nic_is_a_document_that_shows_what_the_endpoint_holds(world: World) -> None:
    nic, endpoint = only(world, NETWORK_INTERFACES), only(world, PRIVATE_ENDPOINTS)
    assert endpoint["properties"]["privateLinkServiceConnections"][0]["properties"]["groupIds"] == ["blob"]
    config = nic["properties"]["ipConfigurations"][0]
    (held,) = world.holders.values()
    assert {str(address): holder for address, holder in held.items()} == {"10.0.0.4": config["id"]}
    intent = IntentReader().read(world)
    (found,) = intent.private_endpoints.values()
    assert (str(found.address), found.host) == ("10.0.0.4", "acct.blob.core.windows.net")
    assert nic["id"].lower() in intent.nics


def test_a_file_without_them_takes_network_endpoint_and_nic_out_together(world: World) -> None:
    after = apply(world, REST)
    assert list(after.of_type(NETWORK_INTERFACES)) == []
    assert list(after.of_type(PRIVATE_ENDPOINTS)) == []
    assert after.holders == {}


def test_the_record_is_the_groups_while_it_lasts_and_gone_after_it(world: World) -> None:
    # It takes the place of what stood there.
    assert records(world) == [("acct", ["10.0.0.4"])]
    two = apply(world, NETWORK, REST, ENDPOINT, ENDPOINT.replace("NAME", "second"))
    assert records(two) == [("acct", ["10.0.0.4", "10.0.0.5"])]
    one = settle_removal({make(Scope(), PRIVATE_ENDPOINTS, "NAME").key}, two).world
    assert records(one) == [("acct", ["10.0.0.5"])]
    none = settle_removal({make(Scope(), PRIVATE_ENDPOINTS, "second").key}, one).world
    assert records(none) == []


def test_the_nic_stays_while_the_endpoint_does_and_goes_with_a_group_of_all(world: World) -> None:
    nic = only(world, NETWORK_INTERFACES)["id"].lower()
    with pytest.raises(ArmErrorsError, match="NicInUse"):
        settle_removal({nic}, world)
    assert settle_removal(set(world.documents), world).world.documents == {}


def test_a_zone_that_is_gone_is_no_reason_to_refuse_a_later_write(world: World) -> None:
    zone = only(world, PRIVATE_ZONES)["id"].lower()
    without = settle_removal({zone}, world).world
    kept = [shown(document) for document in without.documents.values() if document["type"] == PRIVATE_ENDPOINTS]
    again = settle_all(kept, without, set())
    assert again.changes == ()


def test_services_and_endpoints_show_their_connection(world: World) -> None:
    account = make(Scope(), "Microsoft.Storage/storageAccounts", "acct")

    def state(there: World) -> Any:
        view = references.view(only(there, PRIVATE_ENDPOINTS), there)
        return view["properties"]["privateLinkServiceConnections"][0]["properties"]["privateLinkServiceConnectionState"]

    shown = references.view(world.documents[account.key], world)["properties"]["privateEndpointConnections"]
    assert [each["properties"]["groupIds"] for each in shown] == [["blob"]]
    assert state(world)["status"] == "Approved"
    assert state(settle_removal({account.key}, world).world)["status"] == "Disconnected"


def test_a_virtual_network_has_a_limit_of_endpoints(world: World) -> None:
    template = only(world, PRIVATE_ENDPOINTS)
    for number in range(PRIVATE_ENDPOINTS_PER_VIRTUAL_NETWORK - 1):
        identity = str(make(Scope(), PRIVATE_ENDPOINTS, f"e{number}"))
        world.documents[identity.lower()] = template | {"id": identity, "name": f"e{number}"}
    wanted = resource_file.parse(f"resources:{ENDPOINT.replace('NAME', 'more')}", "file.yaml")
    with pytest.raises(ArmErrorsError, match="QuotaExceeded"):
        settle_all(wanted, world, set())
