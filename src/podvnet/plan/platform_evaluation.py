"""What the platform answers at its own addresses, and whom.

Sources: Azure documents "Azure Instance Metadata Service", "What is IP address 168.63.129.16?".
"""

from __future__ import annotations

from collections.abc import Mapping

from podvnet.model.address import IMDS_ADDRESS, WIRESERVER_ADDRESS, Address
from podvnet.model.flow import TCP, UDP, Flow
from podvnet.model.intent import NetworkInterface
from podvnet.model.security import Direction
from podvnet.model.verdict import Check, Hop
from podvnet.plan import remedy
from podvnet.plan.dropped import DroppedError
from podvnet.plan.security_evaluation import groups_of, platform_refusal, rule_hop
from podvnet.plan.topology import Topology

SERVED: Mapping[Address, Mapping[int, frozenset[int]]] = {
    IMDS_ADDRESS: {TCP: frozenset({80})},
    WIRESERVER_ADDRESS: {TCP: frozenset({53, 80, 32526}), UDP: frozenset({53})},
}
"""The platform's addresses, and by IP protocol the ports that they serve."""
_SPOKEN = {TCP: "TCP", UDP: "UDP"}


def ask_platform(topology: Topology, nic: NetworkInterface, flow: Flow) -> Hop:
    """A packet from a NIC to one of the addresses of :data:`SERVED`.

    Raises:
        DroppedError: it is not answered.
    """
    vantage = topology.vantage(nic)
    for where, group in groups_of(topology, nic, Direction.OUTBOUND):
        rule = platform_refusal(topology, vantage, group, flow)
        if rule is not None:
            raise DroppedError(rule_hop(where, group, rule, remedy.against_platform_rule(group, rule)))
    served = SERVED[flow.destination]
    if flow.destination_port not in served.get(flow.protocol, ()):
        ports = " and ".join(f"{_SPOKEN[each]} {', '.join(map(str, sorted(served[each])))}" for each in served)
        reason = f"the platform serves {ports} at {flow.destination}"
        cure = f"Ask one of the ports that {flow.destination} serves."
        raise DroppedError(Hop(nic.virtual_network, Check.PLATFORM, False, reason, remedy=cure))
    if flow.destination == IMDS_ADDRESS and not _may_ask_metadata(topology, nic, flow):
        reason = "the metadata service answers the primary address of a VM's first NIC"
        cure = "Ask from the VM itself: pods and other NICs are not answered."
        raise DroppedError(Hop(nic.virtual_network, Check.PLATFORM, False, reason, remedy=cure))
    return Hop(nic.virtual_network, Check.PLATFORM, True, f"the platform answers at {flow.destination}")


def _may_ask_metadata(topology: Topology, nic: NetworkInterface, flow: Flow) -> bool:
    machine = topology.machine(nic.id)
    return machine is not None and machine.nics[0] == nic.id and nic.primary().address == flow.source
