import json

import pytest

from podvnet.plugin.version import (
    NEWEST,
    SUPPORTED,
    Shape,
    effective_version,
    has_verb,
    is_supported,
    render_versions,
    scan_version,
    shape_of,
)


def test_the_list_is_the_published_one() -> None:
    assert SUPPORTED == ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
    assert NEWEST == "1.1.0"


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_version_has_a_shape(version: str) -> None:
    assert is_supported(version)
    assert isinstance(shape_of(version), Shape)


@pytest.mark.parametrize("version", ["", "1.0", "1.2.0", "v1.0.0", "0.3", " 1.0.0", "2.0.0"])
def test_near_misses_are_not_supported(version: str) -> None:
    assert not is_supported(version)


def test_an_unstated_version_is_answered_in_the_oldest_shape() -> None:
    assert effective_version("") == "0.1.0"
    assert shape_of(effective_version("")) is Shape.FAMILIES
    assert effective_version("1.0.0") == "1.0.0"


@pytest.mark.parametrize(
    ("verb", "first"),
    [
        ("ADD", "0.1.0"),
        ("DEL", "0.1.0"),
        ("VERSION", "0.1.0"),
        ("CHECK", "0.4.0"),
        ("GC", "1.1.0"),
        ("STATUS", "1.1.0"),
    ],
)
def test_each_verb_begins_with_its_version(verb: str, first: str) -> None:
    assert [version for version in SUPPORTED if has_verb(version, verb)] == list(SUPPORTED[SUPPORTED.index(first) :])


@pytest.mark.parametrize(
    ("stdin", "found"),
    [
        (b'{"cniVersion":"0.4.0"}', "0.4.0"),
        (b'{"cniVersion" \n:\t"1.0.0"', "1.0.0"),
        (b'junk "cniVersion": 3, "cniVersion": "1.1.0"', "1.1.0"),
        (b"", ""),
        (b'{"cniVersion":""}', ""),
        (b'{"cniVersion":"latest"}', ""),
        (b'{"cniVersion":"1111111111111111"}', ""),
        (b'{"cniVersion":"1.0.0', ""),
        (b'\xff\x00"cniVersion":"0.3.1"', "0.3.1"),
    ],
)
def test_scan(stdin: bytes, found: str) -> None:
    assert scan_version(stdin) == found


def test_the_answer_to_version_echoes_what_was_asked() -> None:
    assert json.loads(render_versions(b'{"cniVersion":"0.3.1"}')) == {
        "cniVersion": "0.3.1",
        "supportedVersions": list(SUPPORTED),
    }
    assert json.loads(render_versions(b""))["cniVersion"] == "1.1.0"
