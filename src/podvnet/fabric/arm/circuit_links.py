"""The links of circuits that meet at one router: a gateway, which knows their edges by the addresses, or a site.

Source: Azure document "ExpressRoute routing requirements".
"""

from __future__ import annotations

from collections.abc import Iterator

from podvnet.fabric.arm.express_route_circuits import intent_of
from podvnet.fabric.arm.world import CONNECTIONS, ON_PREMISES_SITES, Document, World
from podvnet.model.address import Prefix
from podvnet.model.arm_error import ArmError


def check_links(circuits: list[Document], world: World) -> None:
    """Refuse circuits that meet and have a link's prefix in common, once all resources are settled.

    Args:
        circuits: all that there are.
        world: where gateways and sites are.

    Raises:
        ArmError: which two.
    """
    for router, meeting in _meetings(circuits, world) if len(circuits) > 1 else ():
        seen: dict[Prefix, Document] = {}
        for circuit in meeting:
            peering = intent_of(circuit).peering
            for prefix in (peering.primary, peering.secondary) if peering else ():
                other = seen.setdefault(prefix, circuit)
                if other is not circuit:
                    what = f"Circuits {other['id']} and {circuit['id']} both lead to {router} by links of {prefix}"
                    raise ArmError("InvalidRequestFormat", f"{what}: each needs its own.", target=circuit["id"])


def _meetings(circuits: list[Document], world: World) -> Iterator[tuple[str, list[Document]]]:
    """Routers, and the circuits that each has links of."""
    found: dict[str, dict[str, Document]] = {}
    for connection in world.of_type(CONNECTIONS):
        properties = connection["properties"]
        circuit = world.documents.get(properties.get("peer", {}).get("id", "").lower())
        if circuit:
            found.setdefault(properties["virtualNetworkGateway1"]["id"], {})[circuit["id"]] = circuit
    for site in world.of_type(ON_PREMISES_SITES):
        keys = {each["serviceKey"] for each in site["properties"]["circuits"]}
        held = {each["id"]: each for each in circuits if each["properties"]["serviceKey"] in keys}
        found[site["id"]] = held
    return ((router, list(each.values())) for router, each in found.items())
