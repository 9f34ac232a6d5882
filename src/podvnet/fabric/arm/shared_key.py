"""Keys that two sides share: taken in, kept beside the document, never shown and never named in an error.

Sources: Azure documents "VPN Gateway FAQ" (up to 128 printable ASCII characters) and "Create and modify peering for an
ExpressRoute circuit" (of the sessions over it, at most 25 alphanumeric ones; special characters are not supported).
"""

from __future__ import annotations

import secrets
import string
from typing import Any

from podvnet.fabric.arm.fields import Fields
from podvnet.model.arm_error import ArmError

LONGEST = 128
MD5_LENGTH = 25
"""Characters of the key of BGP sessions at most."""
_SECRET = {"sharedkey", "authorizationkey", "circuitsharedkey", "administratorloginpassword"}
"""The members, in lower case, that hold something that two sides alone know."""
_PRINTABLE = frozenset(string.digits + string.ascii_letters + string.punctuation + " ")
_ALPHABET = string.digits + string.ascii_letters
_MADE = 32


def read_key(fields: Fields, key: str) -> str:
    """The key of a tunnel at a member; empty when there is none.

    Raises:
        ArmError: it cannot be one. It is not in the message.
    """
    value = fields.text(key)
    if len(value) > LONGEST or not _PRINTABLE.issuperset(value):
        raise fields.error("InvalidRequestFormat", f"must be 1 to {LONGEST} printable ASCII characters", key)
    return value


def read_md5_key(fields: Fields, key: str) -> str:
    """The key of BGP sessions at a member; empty when there is none.

    Raises:
        ArmError: it cannot be one. It is not in the message.
    """
    value = fields.text(key)
    if len(value) > MD5_LENGTH or not frozenset(_ALPHABET).issuperset(value):
        raise fields.error("InvalidRequestFormat", f"must be 1 to {MD5_LENGTH} letters and digits", key)
    return value


def without_secrets(value: Any) -> Any:
    """What a client has written, without what it alone should know: for showing what is not settled."""
    if isinstance(value, dict):
        return {key: without_secrets(each) for key, each in value.items() if key.lower() not in _SECRET}
    return [without_secrets(each) for each in value] if isinstance(value, list) else value


def made_key(length: int = _MADE) -> str:
    """A new key of letters and digits.

    Raises:
        ArmError: none has such a length.
    """
    if not 1 <= length <= LONGEST:
        raise ArmError("InvalidRequestFormat", f"keyLength must be between 1 and {LONGEST}, not {length}")
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
