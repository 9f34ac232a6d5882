from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from podvnet.azure.error import LARGEST_DOCUMENT, SourceError
from podvnet.azure.interface_file import INTERFACE_FILE, parse_interfaces, read_interfaces
from podvnet.azure.wireserver import parse_interfaces as parse_xml

DOCUMENT = (
    b'{"Interfaces":[{"MacAddress":"000D3A0A0B0C","IsPrimary":true,"IPSubnets":[{"Prefix":"10.20.0.0/16",'
    b'"IPAddresses":[{"Address":"10.20.0.4","IsPrimary":true},{"Address":"10.20.0.5","IsPrimary":false}]}]}]}'
)
SAME_AS_XML = (
    b'<Interfaces><Interface MacAddress="000D3A0A0B0C" IsPrimary="true"><IPSubnet Prefix="10.20.0.0/16">'
    b'<IPAddress Address="10.20.0.4" IsPrimary="true"/><IPAddress Address="10.20.0.5" IsPrimary="false"/>'
    b"</IPSubnet></Interface></Interfaces>"
)


def test_the_file_says_what_the_wireserver_says() -> None:
    assert parse_interfaces(DOCUMENT) == parse_xml(SAME_AS_XML)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b',"IsPrimary":false', b""),
        (b"000D3A0A0B0C", b"00:0d:3a:0a:0b:0c"),
        (b'{"Interfaces"', b'{"Comment":{},"Interfaces"'),
    ],
)
def test_what_may_vary(old: bytes, new: bytes) -> None:
    assert parse_interfaces(DOCUMENT.replace(old, new)) == parse_interfaces(DOCUMENT)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (DOCUMENT, b"", "truncated"),
        (DOCUMENT, b"{}", "missing required field `Interfaces`"),
        (DOCUMENT, b'{"Interfaces":[]}', "no interface is listed"),
        (DOCUMENT, b"[" * 100_000, "."),
        (b"000D3A0A0B0C", b"*", "'\\*' names no NIC"),
        (b"true", b'"true"', "Expected `bool`"),
        (b"10.20.0.0/16", b"10.20.0.0", "is not a prefix"),
        (b"10.20.0.5", b"10.20.0.4", "listed twice"),
        (b'"IPSubnets"', b'"IPSubnets":[],"IPSubnets"', ""),
    ],
)
def test_what_is_refused(old: bytes, new: bytes, says: str) -> None:
    document = DOCUMENT.replace(old, new)
    if not says:
        # JSON lets the last of two equal keys win.
        assert parse_interfaces(document) == parse_interfaces(DOCUMENT)
        return
    with pytest.raises(SourceError, match=says):
        parse_interfaces(document)


def test_read(tmp_path: Path) -> None:
    path = tmp_path / "interfaces.json"
    path.write_bytes(DOCUMENT)
    assert read_interfaces(path) == parse_interfaces(DOCUMENT)


def test_the_original_plugins_path() -> None:
    assert str(INTERFACE_FILE) == "/etc/kubernetes/interfaces.json"


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir()])
def test_a_file_that_cannot_be_read(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "interfaces.json"
    make(path)
    with pytest.raises(SourceError, match=f"^{path} cannot be read: .*. Write the interface file") as caught:
        read_interfaces(path)
    assert not caught.value.retryable


def test_a_file_without_end_is_read_to_the_limit_only(tmp_path: Path) -> None:
    path = tmp_path / "interfaces.json"
    path.write_bytes(b" " * (LARGEST_DOCUMENT + 1))
    with pytest.raises(SourceError, match=f"^{path}: more than 1048576 bytes"):
        read_interfaces(path)


def test_any_case_of_key_is_not_taken() -> None:
    with pytest.raises(SourceError, match="missing required field"):
        parse_interfaces(msgspec.json.encode({"interfaces": []}))
