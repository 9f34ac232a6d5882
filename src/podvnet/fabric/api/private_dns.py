"""How the DNS resource provider answers otherwise than that of the network.

Writes of zones and links are accepted with an empty object and polled; those of record sets are done at once, deletions
too. Source: Azure REST reference "Private DNS", and recorded answers.
"""

from __future__ import annotations

from podvnet.fabric.arm.private_dns_links import KIND
from podvnet.fabric.arm.private_dns_records import RECORD_TYPES
from podvnet.fabric.arm.world import PRIVATE_ZONES

_POLLED = {PRIVATE_ZONES.lower(), f"{PRIVATE_ZONES}/{KIND}".lower()}
_RECORD_SETS = {f"{PRIVATE_ZONES}/{each}".lower() for each in RECORD_TYPES}


def is_polled(full_type: str) -> bool:
    """Tell whether a PUT is answered before it is said to be done."""
    return full_type.lower() in _POLLED


def is_record_set(full_type: str) -> bool:
    """Tell whether a type is one of record sets, whose deletions are done when they are answered."""
    return full_type.lower() in _RECORD_SETS
