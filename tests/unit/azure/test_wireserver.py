from __future__ import annotations

import pytest

from podvnet.azure.error import LARGEST_DOCUMENT, SourceError
from podvnet.azure.wireserver import parse_interfaces

DOCUMENT = """<Interfaces>
  <Interface MacAddress="000D3A0A0B0C" IsPrimary="true">
    <IPSubnet Prefix="10.20.0.0/16">
      <IPAddress Address="10.20.0.4" IsPrimary="true"/>
      <IPAddress Address="10.20.0.5" IsPrimary="false"/>
      <IPAddress Address="10.20.0.6" IsPrimary="false"/>
    </IPSubnet>
  </Interface>
</Interfaces>"""


def test_the_documented_answer() -> None:
    inventory = parse_interfaces(DOCUMENT.encode())
    (nic,) = inventory.nics
    assert (nic.mac, nic.primary) == ("00:0d:3a:0a:0b:0c", True)
    assert [str(subnet.prefix) for subnet in nic.subnets] == ["10.20.0.0/16"]
    assert str(nic.primary_address()) == "10.20.0.4"
    assert [str(address) for address in nic.secondary_addresses()] == ["10.20.0.5", "10.20.0.6"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<Interfaces>", '<?xml version="1.0" encoding="utf-8"?>\n<Interfaces>'),
        ("<Interfaces>", '\ufeff<?xml version="1.0"?><Interfaces>'),
        ("<Interfaces>", '<Interfaces xmlns="urn:nmagent" version="2">'),
        ("<Interfaces>", "<Interfaces><!-- a comment --><Other/>"),
        ("000D3A0A0B0C", "00:0d:3a:0a:0b:0c"),
        ("000D3A0A0B0C", "00-0D-3A-0A-0B-0C"),
        ("000D3A0A0B0C", "000d3a0a0b0c"),
        ('"true"', '"True"'),
        ('"true"', '"1"'),
        ('"false"', '"0"'),
        (' IsPrimary="false"', ""),
        ("<IPAddress Address", '<IPAddress Name="x" Address'),
    ],
)
def test_what_may_vary(old: str, new: str) -> None:
    assert parse_interfaces(DOCUMENT.replace(old, new).encode()) == parse_interfaces(DOCUMENT.encode())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (DOCUMENT, "", "not XML"),
        (DOCUMENT, "<Interfaces>", "not XML"),
        (DOCUMENT, "not found", "not XML"),
        (DOCUMENT, "<Interfaces/>", "no interface is listed"),
        (DOCUMENT, "<Error><Code>x</Code></Error>", "the root element is 'Error', not 'Interfaces'"),
        ("000D3A0A0B0C", "*", "'\\*' names no NIC"),
        ("000D3A0A0B0C", "000D3A0A0B", "is not a MAC address"),
        (' MacAddress="000D3A0A0B0C"', "", "'Interface' without 'MacAddress'"),
        (' Prefix="10.20.0.0/16"', "", "'IPSubnet' without 'Prefix'"),
        (' Address="10.20.0.5"', "", "'IPAddress' without 'Address'"),
        ("10.20.0.0/16", "10.20.0.4/16", "host bits"),
        ("10.20.0.0/16", "10.21.0.0/16", "is not in its prefix"),
        ("10.20.0.5", "10.20.0.6", "10.20.0.6 is listed twice"),
        ("10.20.0.5", "10.20.0", "10.20.0"),
        ("</IPSubnet>", '</IPSubnet><IPSubnet Prefix="10.20.0.0/16"/>', "the prefix 10.20.0.0/16 is listed twice"),
        ("</IPSubnet>", '</IPSubnet><IPSubnet Prefix="10.0.0.0/8"/>', "overlap"),
        ('"false"', '"no"', "IsPrimary of an element 'IPAddress' is 'no'"),
        ('"false"', '"true"', "has 3 primary IPv4 addresses"),
        ('B0C" IsPrimary="true"', 'B0C" IsPrimary="false"', "0 of 1 interfaces are primary"),
        ("<Interfaces>", "<!DOCTYPE Interfaces><Interfaces>", "document type declaration"),
        (
            "<Interfaces>",
            '<!DOCTYPE I [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><Interfaces>',
            "document type declaration",
        ),
        ("10.20.0.5", "&a;", "not XML"),
        ("10.20.0.5", "\0", "not XML"),
    ],
)
def test_what_is_refused(old: str, new: str, says: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        parse_interfaces(DOCUMENT.replace(old, new, 5).encode(), "http://here/machine")
    assert caught.value.message.startswith("http://here/machine: ")
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("encoding", "says"),
    [("utf-16", "not UTF-8"), ("utf-16-le", "not XML"), ("utf-32-be", "not XML")],
)
def test_nothing_hides_behind_an_encoding(encoding: str, says: str) -> None:
    hidden = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x>{DOCUMENT}'
    with pytest.raises(SourceError, match=says):
        parse_interfaces(hidden.encode(encoding))


@pytest.mark.parametrize("declared", ["utf-16", "utf-7", "iso-8859-1", "no-such"])
def test_a_declared_encoding_is_not_followed(declared: str) -> None:
    xml = f'<?xml version="1.0" encoding="{declared}"?>{DOCUMENT}'
    assert parse_interfaces(xml.encode()) == parse_interfaces(DOCUMENT.encode())


def test_size_and_depth_are_bounded() -> None:
    with pytest.raises(SourceError, match="more than 1048576 bytes"):
        parse_interfaces(DOCUMENT.encode() + b" " * LARGEST_DOCUMENT)
    deep = b"<a>" * 140_000
    with pytest.raises(SourceError, match="not XML"):
        parse_interfaces(deep)
    closed = b"<a>" * 140_000 + b"</a>" * 140_000
    with pytest.raises(SourceError, match="root element is 'a'"):
        parse_interfaces(closed)


def test_a_full_vm_fits() -> None:
    entries = "".join(
        f'<IPAddress Address="10.20.{i // 250}.{i % 250 + 4}" IsPrimary="{str(i == 0).lower()}"/>' for i in range(256)
    )
    xml = (
        f'<Interfaces><Interface MacAddress="000D3A0A0B0C" IsPrimary="true"><IPSubnet Prefix="10.20.0.0/16">{entries}'
        "</IPSubnet></Interface></Interfaces>"
    )
    assert len(parse_interfaces(xml.encode()).primary_nic().secondary_addresses()) == 255
