"""What a NIC may send at all: from which sources, of which protocols.

Sources: Azure documents "Create, change, or delete a network interface", "Virtual Network FAQ".
"""

from __future__ import annotations

from podvnet.model.address import Address
from podvnet.model.flow import Flow
from podvnet.model.intent import NetworkInterface
from podvnet.model.resource_id import ResourceId
from podvnet.model.verdict import Check, Hop
from podvnet.plan import remedy
from podvnet.plan.dropped import DroppedError
from podvnet.plan.platform_evaluation import SERVED
from podvnet.plan.remedy import named
from podvnet.plan.topology import Topology

NOT_CARRIED = frozenset({4, 41, 47})
"""IP protocols that a virtual network drops: IP-in-IP, both versions, and GRE. Source: "Virtual Network FAQ"."""


def check_sender(topology: Topology, nic: NetworkInterface, flow: Flow) -> Hop:
    """Whether a NIC may send from the source of a packet.

    Raises:
        DroppedError: it may not, or does not run.
    """
    if not topology.is_running(nic):
        cure = remedy.against_idle(topology, nic)
        raise DroppedError(Hop(nic.id, Check.SENDER, False, f"{named(nic.id)} is on no VM that runs", remedy=cure))
    if any(each.address == flow.source for each in nic.ip_configurations):
        return Hop(nic.id, Check.SPOOFING, True, f"{flow.source} is an address of the NIC")
    if nic.ip_forwarding and not {flow.source, flow.destination} & SERVED.keys():
        return Hop(nic.id, Check.SPOOFING, True, "the NIC has IP forwarding")
    cure = f"Send from an address of {named(nic.id)}"
    cure += "." if nic.ip_forwarding else ", or enable IP forwarding on it."
    raise DroppedError(Hop(nic.id, Check.SPOOFING, False, f"{flow.source} is no address of the NIC", remedy=cure))


def check_carried(network: ResourceId, flow: Flow) -> None:
    """Whether a virtual network carries the protocol and the addresses of a packet.

    Raises:
        DroppedError: it does not.
    """
    if flow.protocol in NOT_CARRIED:
        reason = f"virtual networks do not carry IP protocol {flow.protocol}"
        cure = "Use an encapsulation in UDP: the virtual network carries no IP-in-IP and no GRE."
        raise DroppedError(Hop(network, Check.CARRIED, False, reason, remedy=cure))
    check_routed(network, flow)


def check_routed(where: ResourceId, flow: Flow) -> None:
    """Whether the addresses of a packet are such as routers send on.

    Raises:
        DroppedError: one is not.
    """
    for address in (flow.source, flow.destination):
        if not _is_carried(address):
            reason = f"{address} is no address that is routed"
            cure = "Use unicast addresses: nothing here carries multicast, broadcast or loopback."
            raise DroppedError(Hop(where, Check.CARRIED, False, reason, remedy=cure))


def _is_carried(address: Address) -> bool:
    return not (
        address.is_multicast
        or address.is_loopback
        or address.is_unspecified
        or (address.version == 4 and str(address) == "255.255.255.255")
        or (address.version == 6 and address.is_link_local)
    )
