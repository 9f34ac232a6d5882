"""CNI specification versions: which we speak, what shape each has, what each verb needs.

Source of the rules: CNI specification 1.1.0, "Version considerations" and the per-verb notes. A configuration without
``cniVersion``, or with an empty one as containerd sends for a list that has none, is one from before the key mattered
and gets the oldest answer shape.

This module raises nothing of its own, so that ``error`` can build on it.
"""

import json
import re
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

SUPPORTED: Final = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Every version we accept and answer in, oldest first."""

NEWEST: Final = SUPPORTED[-1]
UNSTATED: Final = SUPPORTED[0]
"""What a missing or empty ``cniVersion`` stands for."""

MINIMUM: Final[Mapping[str, str]] = MappingProxyType({"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"})
"""The oldest version that has each verb; verbs not named are in all of them."""

_SCAN: Final = re.compile(rb'"cniVersion"[ \t\r\n]*:[ \t\r\n]*"([0-9.]{1,15})"')


class Shape(IntEnum):
    """How a successful result looks; ordered, so ``shape >= Shape.LISTS`` reads as it should."""

    FAMILIES = 0
    """0.1.0, 0.2.0: one ``ip4`` and one ``ip6``, routes inside them, no interfaces."""
    LISTS = 1
    """0.3.0 to 0.4.0: ``interfaces``, ``ips`` with a ``version`` key, ``routes``."""
    PLAIN_LISTS = 2
    """1.0.0: as before without ``version`` in ``ips``."""
    DETAILED_LISTS = 3
    """1.1.0: interfaces may have mtu, socketPath, pciID; routes mtu, advmss, priority, table, scope."""


_SHAPES: Final = MappingProxyType(
    {
        "0.1.0": Shape.FAMILIES,
        "0.2.0": Shape.FAMILIES,
        "0.3.0": Shape.LISTS,
        "0.3.1": Shape.LISTS,
        "0.4.0": Shape.LISTS,
        "1.0.0": Shape.PLAIN_LISTS,
        "1.1.0": Shape.DETAILED_LISTS,
    }
)


def effective_version(stated: str) -> str:
    """Return the version a configuration asks for, given the text of its ``cniVersion`` ("" when it has none).

    The answer may still be one we do not speak; see ``is_supported``.
    """
    return stated or UNSTATED


def is_supported(version: str) -> bool:
    """Say whether we accept and answer in ``version`` (exact text: "1.0" is not "1.0.0")."""
    return version in _SHAPES


def shape_of(version: str) -> Shape:
    """Return the result shape of a supported version; ``KeyError`` for any other."""
    return _SHAPES[version]


def has_verb(version: str, verb: str) -> bool:
    """Say whether the supported ``version`` of the specification has the verb (``"ADD"``, ``"GC"``, …)."""
    return SUPPORTED.index(version) >= SUPPORTED.index(MINIMUM.get(verb, UNSTATED))


def scan_version(stdin: bytes) -> str:
    """Find a ``cniVersion`` in bytes that may not even be JSON; "" when there is none of 1 to 15 digits and dots.

    Errors must carry a version also when stdin could not be parsed, and VERSION must answer whatever stdin holds. The
    shim (``shim/shim.c``, ``shim/shim.py``) scans the same way, so both give the same answer.
    """
    found = _SCAN.search(stdin)
    return found[1].decode("ascii") if found else ""


def render_versions(stdin: bytes) -> bytes:
    """Return the answer to VERSION: the version found on stdin (else our newest) and all we support, as JSON."""
    asked = scan_version(stdin) or NEWEST
    return json.dumps({"cniVersion": asked, "supportedVersions": SUPPORTED}, separators=(",", ":")).encode()
