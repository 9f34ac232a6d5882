"""Keys that two sides share."""

from __future__ import annotations

import pytest

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.shared_key import made_key, read_key, without_secrets
from podvnet.model.arm_error import ArmError


def test_a_made_key_has_the_length_that_is_asked_for_and_is_new() -> None:
    assert [len(made_key(length)) for length in (1, 128)] == [1, 128]
    assert made_key() != made_key()
    for length in (0, 129, -1):
        with pytest.raises(ArmError, match="keyLength must be between 1 and 128"):
            made_key(length)


def test_a_key_is_read_or_refused_without_being_named() -> None:
    fields = Fields({"k": "a b~!", "long": "x" * 26, "tab": "a\tb"}, "properties", "")
    assert read_key(fields, "k") == "a b~!"
    assert read_key(fields, "none") == ""
    for name, longest in (("long", 25), ("tab", 128)):
        with pytest.raises(ArmError, match=f"properties.{name}: must be 1 to {longest} printable") as caught:
            read_key(fields, name, longest)
        assert "x" * 26 not in caught.value.message


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
