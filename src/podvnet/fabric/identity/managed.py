"""Managed identities as principals: who holds a client id that a resource brought, and tokens for it.

The rule of the fabric: a managed identity is Contributor of everything. An identity lives as long as its resource, so
a token of one that is gone is refused from then on.
"""

from __future__ import annotations

from collections.abc import Callable

from podvnet.fabric.arm.machine_identity import identities_of
from podvnet.fabric.arm.world import USER_ASSIGNED_IDENTITIES, VIRTUAL_MACHINES, World
from podvnet.fabric.identity.principals import Principal, Role
from podvnet.fabric.identity.tokens import Signer


def find(world: World, client: str) -> Principal | None:
    """The principal behind the client id of a managed identity."""
    for machine in world.of_type(VIRTUAL_MACHINES):
        for identity in identities_of(machine):
            if identity.system_assigned and identity.client == client:
                return Principal(client, identity.object, machine["name"], Role.CONTRIBUTOR)
    for assigned in world.of_type(USER_ASSIGNED_IDENTITIES):
        if assigned["properties"]["clientId"] == client:
            return Principal(client, assigned["properties"]["principalId"], assigned["name"], Role.CONTRIBUTOR)
    return None


class ManagedTokens:
    """Tokens for the managed identities of a fabric.

    Args:
        signer: signs them.
        world: gives the resources as they are now.
    """

    def __init__(self, signer: Signer, world: Callable[[], World]) -> None:
        self._signer = signer
        self._world = world

    def mint(self, client: str, audience: str, now: float) -> str | None:
        """A token for a client id and an audience, ``now`` in seconds since the epoch; None for an unknown client."""
        principal = find(self._world(), client)
        return None if principal is None else self._signer.mint(principal, audience, now)
