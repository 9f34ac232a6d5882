"""One refusal of the resource manager, got through the real SDK: what is done, and the code and status it must give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from azure.core.exceptions import HttpResponseError
from azure.core.polling import LROPoller

from podvnet.testing.cloud import Cloud


class Row(NamedTuple):
    """A row of a table of errors.

    Attributes:
        code: Azure's error code.
        status: the HTTP status it comes with.
        what: what is wrong, for a person.
        act: does it; a poller it returns is waited for, a list it returns is read.
    """

    code: str
    status: int
    what: str
    act: Callable[[Cloud], Any]


def refusal_of(act: Callable[[Cloud], Any], cloud: Cloud) -> tuple[str | None, int | None]:
    """The code and the status that an action is refused with.

    Raises:
        AssertionError: it is not refused.
    """
    try:
        found = act(cloud)
        if isinstance(found, LROPoller):
            found.result()
        elif hasattr(found, "by_page"):
            list(found)
    except HttpResponseError as error:
        return error.error.code if error.error else None, error.status_code
    msg = "it was not refused"
    raise AssertionError(msg)


def located(_location: str = "local", _sku: str = "", **properties: Any) -> Any:
    """The body of a resource: its region, its SKU if it has one, its properties."""
    return {"location": _location, "properties": properties} | ({"sku": {"name": _sku}} if _sku else {})


def part(_name: str, **properties: Any) -> dict[str, Any]:
    """A sub-resource within a body."""
    return {"name": _name, "properties": properties}


def network_id(cloud: Cloud, group: str, path: str) -> str:
    """The id of a resource of Microsoft.Network in a group: ``virtualNetworks/v/subnets/s``."""
    return f"/subscriptions/{cloud.access.subscription}/resourceGroups/{group}/providers/Microsoft.Network/{path}"


def reference(cloud: Cloud, group: str, path: str) -> dict[str, str]:
    """``{"id": …}`` of :func:`network_id`."""
    return {"id": network_id(cloud, group, path)}
