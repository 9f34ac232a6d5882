"""What can be asked of Azure's services beyond reading and writing them: an account's keys, whether a name is free.

Source: REST references of Microsoft.Storage ("List Keys", "Check Name Availability") and Microsoft.Sql ("Check Name
Availability"). Their deletions, and the creation of an account, are answered 200 at once.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from podvnet.fabric.api.answers import answer
from podvnet.fabric.api.request_body import read_body
from podvnet.fabric.api.resources import Resources
from podvnet.fabric.api.target import Target
from podvnet.fabric.arm import sql_servers, storage_accounts
from podvnet.fabric.arm.service_addresses import is_free_name
from podvnet.fabric.arm.storage_accounts import keys_of
from podvnet.fabric.arm.world import SQL_SERVERS, STORAGE_ACCOUNTS, Document, World
from podvnet.fabric.engine import Fabric
from podvnet.fabric.turn import Turn

_CHECK = "/checknameavailability"
_CHECKED = {
    STORAGE_ACCOUNTS.split("/")[0].lower(): (STORAGE_ACCOUNTS, storage_accounts.NAME, "AccountNameInvalid"),
    SQL_SERVERS.split("/")[0].lower(): (SQL_SERVERS, sql_servers.NAME, "Invalid"),
}


def status_of_creation(target: Target) -> HTTPStatus:
    """How the creation of a resource is answered."""
    return HTTPStatus.OK if target.full_type.lower() == STORAGE_ACCOUNTS.lower() else HTTPStatus.CREATED


def deletes_at_once(target: Target) -> bool:
    """Tell whether a deletion is answered 200, not 202 with something to poll."""
    return target.provider.lower() in _CHECKED


class ServiceActions:
    """The actions of services.

    Args:
        fabric, turn: the engine.
        resources: where accounts are found.
    """

    def __init__(self, fabric: Fabric, turn: Turn, resources: Resources) -> None:
        self._fabric = fabric
        self._turn = turn
        self._resources = resources

    async def answer(self, request: Request, target: Target) -> Response | None:
        """The answer; None for what is not here.

        Raises:
            ArmError: there is no such account.
        """
        kind = target.full_type.lower()
        if request.method != "POST":
            return None
        if kind == f"{STORAGE_ACCOUNTS}/listKeys".lower() and len(target.segments) == 3:
            keys = await self._turn.take(lambda: keys_of(self._resources.top(target)))
            return answer(request, {"keys": keys})
        if kind.endswith(_CHECK) and kind.removesuffix(_CHECK) in _CHECKED and not target.group:
            full_type, pattern, invalid = _CHECKED[kind.removesuffix(_CHECK)]
            body = await read_body(request)
            name = str(body.get("name", ""))
            return answer(request, _availability(full_type, name, pattern, invalid, self._fabric.world))
        return None


def _availability(full_type: str, name: str, pattern: str, invalid: str, world: World) -> Document:
    """Both forms of the answer: that of accounts has ``nameAvailable``, that of servers ``available`` and ``name``."""
    reason = ""
    if not re.fullmatch(pattern, name):
        reason, message = invalid, f"{name} is not a valid name; it must match {pattern}."
    elif not is_free_name(full_type, name, world):
        reason, message = "AlreadyExists", f"The name {name} is already taken."
    free = {"nameAvailable": not reason} if full_type == STORAGE_ACCOUNTS else {"available": not reason, "name": name}
    return free | ({"reason": reason, "message": message} if reason else {})
