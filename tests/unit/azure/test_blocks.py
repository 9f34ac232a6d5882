"""A block may be listed address by address or as the ip-configuration has it; either way it is sixteen addresses."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from podvnet.azure import imds, interface_file, wireserver
from podvnet.azure.error import SourceError
from podvnet.azure.inventory import Inventory

SIXTEEN = tuple(ip_address("10.1.0.16") + n for n in range(16))
XML = (
    '<Interfaces><Interface MacAddress="000D3A0A0B0C" IsPrimary="true"><IPSubnet Prefix="10.1.0.0/24">'
    '<IPAddress Address="10.1.0.4" IsPrimary="true"/>{}</IPSubnet></Interface></Interfaces>'
)
NETWORK = (
    '{{"interface":[{{"macAddress":"000D3A0A0B0C","ipv4":{{"ipAddress":[{{"privateIpAddress":"10.1.0.4"}}{}],'
    '"subnet":[{{"address":"10.1.0.0","prefix":"24"}}]}}}}]}}'
)
FILE = (
    '{{"Interfaces":[{{"MacAddress":"000D3A0A0B0C","IsPrimary":true,"IPSubnets":[{{"Prefix":"10.1.0.0/24",'
    '"IPAddresses":[{{"Address":"10.1.0.4","IsPrimary":true}}{}]}}]}}]}}'
)
PARSERS: list[tuple[Callable[[bytes], Inventory], str, str]] = [
    (wireserver.parse_interfaces, XML, '<IPAddress Address="{}"/>'),
    (imds.parse_network, NETWORK, ',{{"privateIpAddress":"{}"}}'),
    (interface_file.parse_interfaces, FILE, ',{{"Address":"{}"}}'),
]
LISTS = pytest.mark.parametrize("listed", [["10.1.0.16/28"], [str(each) for each in SIXTEEN]])


@LISTS
@pytest.mark.parametrize("source", range(len(PARSERS)))
def test_a_block_is_sixteen_addresses_for_pods(source: int, listed: list[str]) -> None:
    parse, document, entry = PARSERS[source]
    inventory = parse(document.format("".join(entry.format(each) for each in listed)).encode())
    assert inventory.primary_nic().secondary_addresses() == SIXTEEN


@pytest.mark.parametrize("text", ["10.1.0.17/28", "10.1.0.16/27", "fd00::/28", "10.1.1.16/28"])
def test_what_is_no_block_of_the_subnet_is_refused(text: str) -> None:
    for parse, document, entry in PARSERS:
        with pytest.raises(SourceError):
            parse(document.format(entry.format(text)).encode())
