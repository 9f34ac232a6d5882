"""Whatever bytes a source sends, a parser returns an inventory without faults or raises SourceError."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from podvnet.azure import imds, interface_file, wireserver
from podvnet.azure.error import SourceError
from podvnet.azure.inventory import Inventory, faults

PARSERS: tuple[Callable[[bytes], object], ...] = (
    wireserver.parse_interfaces,
    interface_file.parse_interfaces,
    imds.parse_network,
    imds.parse_instance,
)

TEXTS = st.one_of(
    st.sampled_from(["10.0.0.4", "10.0.0.5", "fd00::4", "10.0.0.0/24", "fd00::/64", "000D3A0A0B0C", "*", "true", ""]),
    st.text(max_size=12),
)
BOOLEANS = st.sampled_from(["true", "false", "1", "0", "maybe", ""])
XML_TEXTS = TEXTS.filter(lambda text: all(char.isprintable() for char in text))


def sound_or_refused(parse: Callable[[bytes], object], data: bytes) -> None:
    result: object = None
    refused: SourceError | None = None
    try:
        result = parse(data)
    except SourceError as error:
        refused = error
    if refused is not None:
        assert refused.message
        assert refused.remedy
    if isinstance(result, Inventory):
        assert not faults(result)
        assert result.primary_nic() in result.nics
        own = {address.address for nic in result.nics for address in nic.addresses() if address.primary}
        assert own.isdisjoint(address for nic in result.nics for address in nic.secondary_addresses())


@given(st.sampled_from(PARSERS), st.binary(max_size=300))
@example(wireserver.parse_interfaces, b"<?xml version='1.0' encoding='utf-16'?><Interfaces/>")
@example(wireserver.parse_interfaces, b"<a:Interfaces/>")
@example(imds.parse_network, b'{"interface":' + b"[" * 5000)
def test_arbitrary_bytes(parse: Callable[[bytes], object], data: bytes) -> None:
    sound_or_refused(parse, data)


@given(
    st.sampled_from(PARSERS),
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXTS,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["interface", "Interfaces", "ipv4", "ipv6", "ipAddress", "subnet", "macAddress", "name"]
                )
                | TEXTS,
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    ),
)
def test_arbitrary_json(parse: Callable[[bytes], object], document: object) -> None:
    sound_or_refused(parse, msgspec.json.encode(document) if _encodable(document) else b"")


def _encodable(document: object) -> bool:
    try:
        msgspec.json.encode(document)
    except (UnicodeEncodeError, OverflowError):
        return False
    return True


NETWORKS = st.fixed_dictionaries(
    {
        "interface": st.lists(
            st.fixed_dictionaries(
                {
                    "macAddress": TEXTS,
                    "ipv4": st.fixed_dictionaries(
                        {
                            "ipAddress": st.lists(st.fixed_dictionaries({"privateIpAddress": TEXTS}), max_size=3),
                            "subnet": st.lists(
                                st.fixed_dictionaries(
                                    {
                                        "address": st.sampled_from(["10.0.0.0", "10.0.1.0"]) | TEXTS,
                                        "prefix": st.sampled_from(["24", "8", "0"]) | TEXTS,
                                    }
                                ),
                                max_size=2,
                            ),
                        }
                    ),
                    "ipv6": st.fixed_dictionaries(
                        {"ipAddress": st.lists(st.fixed_dictionaries({"privateIpAddress": TEXTS}), max_size=2)}
                    ),
                }
            ),
            max_size=2,
        )
    }
)


@given(NETWORKS)
def test_documents_of_the_right_shape_with_any_texts(document: object) -> None:
    if _encodable(document):
        sound_or_refused(imds.parse_network, msgspec.json.encode(document))


@given(
    st.lists(
        st.tuples(
            XML_TEXTS,
            BOOLEANS,
            st.lists(st.tuples(XML_TEXTS, st.lists(st.tuples(XML_TEXTS, BOOLEANS), max_size=3)), max_size=2),
        ),
        max_size=3,
    )
)
def test_interfaces_with_any_attributes(
    interfaces: list[tuple[str, str, list[tuple[str, list[tuple[str, str]]]]]],
) -> None:
    root = ET.Element("Interfaces")
    for mac, primary, subnets in interfaces:
        interface = ET.SubElement(root, "Interface", MacAddress=mac, IsPrimary=primary)
        for prefix, addresses in subnets:
            subnet = ET.SubElement(interface, "IPSubnet", Prefix=prefix)
            for address, own in addresses:
                ET.SubElement(subnet, "IPAddress", Address=address, IsPrimary=own)
    sound_or_refused(wireserver.parse_interfaces, ET.tostring(root, encoding="utf-8"))


SOUND = (
    (
        wireserver.parse_interfaces,
        (
            b'<Interfaces><Interface MacAddress="000D3A0A0B0C" IsPrimary="true"><IPSubnet Prefix="10.0.0.0/24">'
            b'<IPAddress Address="10.0.0.4" IsPrimary="true"/><IPAddress Address="10.0.0.5" IsPrimary="false"/>'
            b"</IPSubnet></Interface></Interfaces>"
        ),
    ),
    (
        interface_file.parse_interfaces,
        (
            b'{"Interfaces":[{"MacAddress":"000D3A0A0B0C","IsPrimary":true,"IPSubnets":[{"Prefix":"10.0.0.0/24",'
            b'"IPAddresses":[{"Address":"10.0.0.4","IsPrimary":true},{"Address":"10.0.0.5"}]}]}]}'
        ),
    ),
    (
        imds.parse_network,
        (
            b'{"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.4"},{"privateIpAddress":"10.0.0.5"}],'
            b'"subnet":[{"address":"10.0.0.0","prefix":"24"}]},"ipv6":{"ipAddress":[{"privateIpAddress":"fd00::4"}]},'
            b'"macAddress":"000D3A0A0B0C"}]}'
        ),
    ),
    (
        imds.parse_instance,
        (
            b'{"name":"vm1","resourceId":"/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/v"'
            b',"vmId":"x","location":"westus","vmSize":"s","tagsList":[{"name":"a","value":"b"}]}'
        ),
    ),
)


@given(
    st.sampled_from(SOUND),
    st.integers(0, 260),
    st.integers(0, 3),
    st.one_of(st.binary(max_size=2), st.sampled_from([b"0", b"5", b"A", b"*", b'"', b" ", b"/", b"%"])),
)
def test_a_sound_document_with_a_small_damage(
    sound: tuple[Callable[[bytes], object], bytes], at: int, cut: int, put: bytes
) -> None:
    parse, document = sound
    assert parse(document)
    sound_or_refused(parse, document[:at] + put + document[at + cut :])
