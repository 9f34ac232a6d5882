from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from podvnet.azure.error import SourceError
from podvnet.azure.nic_document import OWN, changed, read_mac, read_pool
from podvnet.model.address import parse_mac

SUBNET = {"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/s"}
GROUPS = [{"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/applicationSecurityGroups/web"}]


def configuration(name: str, address: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "properties": {"privateIPAddress": address, "subnet": SUBNET} | more}


def nic(*more: dict[str, Any], **primary: Any) -> dict[str, Any]:
    first = configuration("primary", "10.1.0.4", primary=True, **primary)
    return {"location": "x", "properties": {"macAddress": "00-0D-3A-1B-C7-21", "ipConfigurations": [first, *more]}}


@pytest.mark.parametrize(
    "block",
    [
        {"privateIPAddress": "10.1.0.16/28"},
        {"privateIPAddress": "10.1.0.16", "privateIPAddressPrefixLength": 28},
        {"privateIPAddress": "10.1.0.16/28", "privateIPAddressPrefixLength": 28},
    ],
)
def test_a_block_is_sixteen_addresses_however_it_is_written(block: dict[str, Any]) -> None:
    pool = read_pool(nic({"name": f"{OWN}1", "properties": block | {"subnet": SUBNET}}), "nic")
    assert pool.addresses == {ip_address("10.1.0.16") + n for n in range(16)}
    assert [each.own for each in pool.configurations] == [True]


def test_the_primary_address_and_ipv6_are_not_for_pods() -> None:
    six = configuration("six", "fd00::4", privateIPAddressVersion="IPv6")
    pool = read_pool(nic(six, configuration("theirs", "10.1.0.5")), "nic")
    assert [(each.name, each.own) for each in pool.configurations] == [("theirs", False)]
    assert pool.others == 2


def test_what_is_added_is_like_the_primary_one_and_has_names_of_our_own() -> None:
    document = nic(configuration(f"{OWN}2", "10.1.0.5"), applicationSecurityGroups=GROUPS)
    written = changed(document, 2, set(), block=False)
    assert [each["name"] for each in written["properties"]["ipConfigurations"]] == [
        "primary", f"{OWN}2", f"{OWN}1", f"{OWN}3",
    ]  # fmt: skip
    assert written["properties"]["ipConfigurations"][2]["properties"] == {
        "primary": False,
        "privateIPAllocationMethod": "Dynamic",
        "privateIPAddressVersion": "IPv4",
        "subnet": SUBNET,
        "applicationSecurityGroups": GROUPS,
    }
    assert written["location"] == "x"
    assert len(document["properties"]["ipConfigurations"]) == 2, "the document that was read is left as it was"


def test_a_name_that_goes_is_not_used_anew_in_the_same_write() -> None:
    written = changed(nic(configuration(f"{OWN}1", "10.1.0.5")), 1, {f"{OWN}1"}, block=True)
    last = written["properties"]["ipConfigurations"][1]
    assert last["name"] == f"{OWN}2"
    assert last["properties"]["privateIPAddressPrefixLength"] == 28


def test_a_nic_on_no_running_vm_has_no_mac() -> None:
    assert read_mac(nic()) == parse_mac("000d3a1bc721")
    assert read_mac({"properties": {}}) is None


@pytest.mark.parametrize("document", [{}, {"properties": {"ipConfigurations": [{}]}}, nic(configuration("a", "x"))])
def test_what_is_no_nic_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="nic: "):
        read_pool(document, "nic")
