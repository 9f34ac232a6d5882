"""Whether a part of a resource is as it is wanted, though the server says more of it and spells ids its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

_ADDRESSES = frozenset({"privateIPAddress", "ipAddress"})


def fits(there: Any, wanted: Any, name: str = "") -> bool:
    """Tell whether all that is wanted is there.

    Args:
        there: as the server says it.
        wanted: as it is to be; None is for what is not to be there.
        name: of the member.
    """
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(fits(there.get(key), each, key) for key, each in wanted.items())
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return isinstance(there or [], Sequence) and _all_fit(there or [], wanted, name)
    if isinstance(wanted, str) and isinstance(there, str):
        if name in _ADDRESSES:
            return ip_address(there) == ip_address(wanted)
        return there == wanted or (wanted.startswith("/") and there.lower() == wanted.lower())
    return bool(there == wanted) or (wanted is None and there in ("", [], {}))


def without_none(wanted: Any) -> Any:
    """What is wanted, as it is sent."""
    if isinstance(wanted, Mapping):
        return {key: without_none(each) for key, each in wanted.items() if each is not None}
    if isinstance(wanted, list):
        return [without_none(each) for each in wanted]
    return wanted


def _all_fit(there: Sequence[Any], wanted: Sequence[Any], name: str) -> bool:
    """Lists of parts with names have no order; others have."""
    if len(there) != len(wanted):
        return False
    if all(isinstance(each, Mapping) and "name" in each for each in (*there, *wanted)):
        by_name = {each["name"].lower(): each for each in there}
        return all(fits(by_name.get(each["name"].lower()), each) for each in wanted)
    return all(fits(one, other, name) for one, other in zip(there, wanted, strict=True))
