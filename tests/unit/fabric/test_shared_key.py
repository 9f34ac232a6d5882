"""Keys that two sides share."""

from __future__ import annotations

import pytest

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.shared_key import made_key, read_key, read_md5_key, without_secrets
from podvnet.model.arm_error import ArmError


def test_a_made_key_has_the_length_that_is_asked_for_and_is_new() -> None:
    assert [len(made_key(length)) for length in (1, 128)] == [1, 128]
    assert made_key() != made_key()
    for length in (0, 129, -1):
        with pytest.raises(ArmError, match="keyLength must be between 1 and 128"):
            made_key(length)


def test_a_key_is_read_or_refused_without_being_named() -> None:
    fields = Fields({"k": "a b~!", "long": "x" * 129, "tab": "a\tb"}, "properties", "")
    assert read_key(fields, "k") == "a b~!"
    assert read_key(fields, "none") == ""
    for name in ("long", "tab"):
        with pytest.raises(ArmError, match=f"properties.{name}: must be 1 to 128 printable") as caught:
            read_key(fields, name)
        assert "x" * 129 not in caught.value.message


@pytest.mark.parametrize("key", ["x" * 26, "two words", "a|b", "a-b", "schlüssel"])
def test_the_key_of_bgp_has_letters_and_digits_alone(key: str) -> None:
    """A space or a bar would end it, to a router."""
    fields = Fields({"k": "Md5OfTheCircuit", "bad": key}, "properties", "")
    assert read_md5_key(fields, "k") == "Md5OfTheCircuit"
    assert read_md5_key(fields, "none") == ""
    with pytest.raises(ArmError, match=r"properties\.bad: must be 1 to 25 letters and digits") as caught:
        read_md5_key(fields, "bad")
    assert key not in caught.value.message


def test_what_is_shown_unsettled_has_no_keys() -> None:
    written = {
        "name": "c",
        "properties": {
            "sharedKey": "s", "AUTHORIZATIONKEY": "s", "circuitSharedKey": "s", "routingWeight": 1,
            "tunnels": [{"name": "t", "sharedKey": "s"}], "administratorLoginPassword": "s",
        },
    }  # fmt: skip
    assert without_secrets(written) == {
        "name": "c",
        "properties": {"routingWeight": 1, "tunnels": [{"name": "t"}]},
    }
