from __future__ import annotations

from typing import Any

import msgspec
import pytest

from podvnet.azure.error import LARGEST_DOCUMENT, SourceError
from podvnet.azure.imds import Instance, parse_instance, parse_network
from podvnet.model.address import Mac
from podvnet.model.resource_id import parse


def interface(mac: str, addresses: list[str], subnets: list[str], ipv6: list[str] | None = None) -> dict[str, Any]:
    return {
        "ipv4": {
            "ipAddress": [{"privateIpAddress": address, "publicIpAddress": ""} for address in addresses],
            "subnet": [dict(zip(("address", "prefix"), subnet.split("/"), strict=True)) for subnet in subnets],
        },
        "ipv6": {"ipAddress": [{"privateIpAddress": address} for address in ipv6 or []]},
        "macAddress": mac,
    }


FIRST = interface("000D3AF806EC", ["10.1.0.4", "10.1.0.5"], ["10.1.0.0/24"])
SECOND = interface("000D3AF806ED", ["10.1.1.4"], ["10.1.1.0/24"])
ID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm1"
COMPUTE = {
    "azEnvironment": "AzurePublicCloud",
    "location": "westus",
    "name": "vm1",
    "resourceId": ID,
    "tagsList": [{"name": "a", "value": "b;c"}],
    "vmId": "02aab8a4-74ef-476e-8182-f6d2ba4166a6",
    "vmScaleSetName": "",
    "vmSize": "Standard_D2s_v5",
    "zone": "1",
    "plan": {"name": ""},
}


def network(*interfaces: object) -> bytes:
    return msgspec.json.encode({"interface": interfaces})


def test_the_documented_answer() -> None:
    (nic,) = parse_network(network(FIRST)).nics
    assert (nic.mac, nic.primary) == ("00:0d:3a:f8:06:ec", True)
    assert str(nic.primary_address()) == "10.1.0.4"
    assert [str(address) for address in nic.secondary_addresses()] == ["10.1.0.5"]
    assert [str(subnet.prefix) for subnet in nic.subnets] == ["10.1.0.0/24"]


def test_an_ipv6_subnet_is_the_64_of_its_addresses() -> None:
    dual = interface("000D3AF806EC", ["10.1.0.4"], ["10.1.0.0/24"], ["fd00:1::4", "fd00:1::5"])
    (nic,) = parse_network(network(dual)).nics
    assert [str(subnet.prefix) for subnet in nic.subnets] == ["10.1.0.0/24", "fd00:1::/64"]
    assert str(nic.primary_address(6)) == "fd00:1::4"
    assert [str(address) for address in nic.secondary_addresses()] == ["fd00:1::5"]


def test_an_empty_text_is_no_address() -> None:
    empty = interface("000D3AF806EC", ["10.1.0.4"], ["10.1.0.0/24"], [""])
    assert parse_network(network(empty)) == parse_network(
        network(interface("000D3AF806EC", ["10.1.0.4"], ["10.1.0.0/24"]))
    )


@pytest.mark.parametrize(
    ("primary", "expected"),
    [(None, [True, False]), ("00:0d:3a:f8:06:ec", [True, False]), ("00:0d:3a:f8:06:ed", [False, True])],
)
def test_the_caller_knows_the_primary_nic(primary: str | None, expected: list[bool]) -> None:
    inventory = parse_network(network(FIRST, SECOND), primary=Mac(primary) if primary else None)
    assert [nic.primary for nic in inventory.nics] == expected


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "truncated"),
        (b"<html>", "malformed"),
        (b"{}", "missing required field `interface`"),
        (b"[]", "Expected `object`"),
        (b'{"interface":{}}', "Expected `array`"),
        (b'{"error":"Bad request"}', "missing required field"),
        (b"\xff\xfe", "malformed"),
        (b'{"interface":["\xff"]}', "."),
        (b'{"x":' + b"[" * 100_000, "."),
        (network(), "no interface is listed"),
        (network({"ipv4": {}}), "missing required field `macAddress`"),
        (network(interface("*", [], [])), "is not a MAC"),
        (network(interface("000D3AF806EC", ["10.1.0.4"], [])), "10.1.0.4 of interface .* is in none of its subnets"),
        (network(interface("000D3AF806EC", ["10.2.0.4"], ["10.1.0.0/24"])), "is in none of its subnets"),
        (network(interface("000D3AF806EC", ["10.1.0"], ["10.1.0.0/24"])), "10.1.0"),
        (network(interface("000D3AF806EC", ["10.1.0.4"], ["10.1.0.4/24"])), "host bits"),
        (network(interface("000D3AF806EC", ["10.1.0.4"], ["10.1.0.0/"])), "."),
        (network(interface("000D3AF806EC", ["10.1.0.4"], ["10.1.0.0/24", "10.1.0.0/24"])), "listed twice"),
        (network(interface("000D3AF806EC", ["10.1.0.4", "10.1.0.4"], ["10.1.0.0/24"])), "listed twice"),
        (network(interface("000D3AF806EC", [], [], ["10.1.0.4"])), "10.1.0.4 is listed as an IPv6 address"),
        (network(FIRST, FIRST), "the MAC .* is listed twice"),
    ],
)
def test_what_is_refused(document: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        parse_network(document, "http://here/metadata")
    assert caught.value.message.startswith("http://here/metadata: ")
    assert not caught.value.retryable


def test_an_unknown_primary_nic_is_refused() -> None:
    with pytest.raises(SourceError, match="0 of 1 interfaces are primary"):
        parse_network(network(FIRST), primary=Mac("00:0d:3a:00:00:00"))


def test_instance() -> None:
    assert parse_instance(msgspec.json.encode(COMPUTE)) == Instance(
        name="vm1",
        resource_id=parse(ID),
        vm_id="02aab8a4-74ef-476e-8182-f6d2ba4166a6",
        location="westus",
        size="Standard_D2s_v5",
        zone="1",
        environment="AzurePublicCloud",
        tags=(("a", "b;c"),),
    )


def test_instance_of_a_scale_set() -> None:
    resource_id = (
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachineScaleSets/x/virtualMachines/0"
    )
    instance = parse_instance(msgspec.json.encode({**COMPUTE, "resourceId": resource_id, "vmScaleSetName": "x"}))
    assert instance.scale_set == "x"
    assert instance.resource_id.type == "Microsoft.Compute/virtualMachineScaleSets/virtualMachines"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"resourceId": ""}, "is not a resource id"),
        ({"resourceId": "vm1"}, "is not a resource id"),
        ({"name": 1}, "Expected `str`"),
        ({"tagsList": [{"name": "a"}]}, "missing required field `value`"),
    ],
)
def test_no_instance(change: dict[str, object], says: str) -> None:
    with pytest.raises(SourceError, match=says):
        parse_instance(msgspec.json.encode({**COMPUTE, **change}))


@pytest.mark.parametrize("missing", ["name", "resourceId", "vmId", "location", "vmSize"])
def test_an_instance_is_told_completely(missing: str) -> None:
    document = {key: value for key, value in COMPUTE.items() if key != missing}
    with pytest.raises(SourceError, match=f"missing required field `{missing}`"):
        parse_instance(msgspec.json.encode(document))


def test_size_is_bounded() -> None:
    padding = b" " * LARGEST_DOCUMENT
    for parser in (parse_network, parse_instance):
        with pytest.raises(SourceError, match="more than 1048576 bytes"):
            parser(padding + b"{}")
