"""The two ways from one NIC to another that can be closed: a peering, and the appliance of a route.

Sources: Azure documents "Virtual network peering", "Virtual network traffic routing".
"""

from __future__ import annotations

from typing import NoReturn

from podvnet.model.address import Address
from podvnet.model.flow import Flow
from podvnet.model.intent import NetworkInterface
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import EffectiveRoute, Peering
from podvnet.model.verdict import Check, Hop
from podvnet.plan import remedy
from podvnet.plan.address_space import holds
from podvnet.plan.dropped import DroppedError
from podvnet.plan.remedy import named
from podvnet.plan.topology import Topology, Vantage


def over_peering(topology: Topology, here: ResourceId, there: ResourceId, flow: Flow) -> Hop:
    """Go over a peering.

    Raises:
        DroppedError: one side does not allow it.
    """
    near, far = topology.peering(here, there), topology.peering(there, here)
    if near is None or far is None:
        cure = f"Make the peering of {named(there)} with {named(here)} anew."
        raise DroppedError(Hop(here, Check.PEERING, False, f"{there.name} is not peered from both sides", remedy=cure))
    for side in (near, far):
        if not side.access:
            _refuse_peering(side, "allowVirtualNetworkAccess")
    if not far.forwarded and not holds(far.prefixes, flow.source):
        _refuse_peering(far, "allowForwardedTraffic", f", and {flow.source} is not of {here.name}")
    return Hop(near.id, Check.PEERING, True, f"{here.name} and {there.name} are peered")


def _refuse_peering(side: Peering, flag: str, why: str = "") -> NoReturn:
    cure = f"Set {flag} of {named(side.id)} to true."
    raise DroppedError(Hop(side.id, Check.PEERING, False, f"{flag} is false{why}", remedy=cure))


def place_of_appliance(vantage: Vantage, route: EffectiveRoute, address: Address) -> ResourceId:
    """The virtual network of an appliance's address: that of the sender's subnet, or one that is peered.

    Raises:
        DroppedError: it is in neither.
    """
    network = vantage.network
    if holds(network.prefixes, address):
        return network.id
    peering = next((each for each in network.peerings if holds(each.prefixes, address)), None)
    if peering is None:
        via = _via(vantage, route)
        reason = f"{via} leads to {address}, which is not in {network.id.name} nor in a peered virtual network"
        cure = f"Give {via} a next hop that can be reached directly."
        raise DroppedError(Hop(network.id, Check.APPLIANCE, False, reason, remedy=cure))
    return peering.remote


def appliance_at(
    topology: Topology, vantage: Vantage, route: EffectiveRoute, flow: Flow, *, place: ResourceId, address: Address
) -> tuple[NetworkInterface, Hop]:
    """The NIC of the appliance that a route names, by its ``address`` in the virtual network ``place``.

    Raises:
        DroppedError: it is not there, or does not take packets that are not its own.
    """

    def refuse(where: ResourceId, reason: str, cure: str) -> NoReturn:
        raise DroppedError(Hop(where, Check.APPLIANCE, False, reason, remedy=cure))

    via = _via(vantage, route)
    found = topology.holder(place, address)
    if found is None:
        refuse(place, f"{via} leads to {address}, which no NIC has", f"Give {via} the address of an appliance.")
    if not topology.is_running(found):
        refuse(found.id, "the appliance does not run", remedy.against_idle(topology, found))
    if not found.ip_forwarding:
        refuse(found.id, "the appliance's NIC has no IP forwarding", f"Enable IP forwarding on {named(found.id)}.")
    version = flow.destination.version
    if version not in found.versions:
        refuse(found.id, f"the appliance has no IPv{version} address", f"Give {named(found.id)} one.")
    return found, Hop(found.id, Check.APPLIANCE, True, f"has the appliance's address {address}, and IP forwarding")


def _via(vantage: Vantage, route: EffectiveRoute) -> str:
    return remedy.user_route(route, vantage.table) if vantage.table else "the route"
