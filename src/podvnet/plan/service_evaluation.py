"""How a packet reaches a service with its private source: by a service endpoint, or by a private endpoint.

Whether the service takes it is for the service: what it does not take it refuses in its own words. That a service
endpoint policy makes it refuse is said all the same.
Sources: Azure documents "Virtual network service endpoints", "What is a private endpoint?" (TCP alone), "Manage network
policies for private endpoints", "Virtual network service endpoint policies for Azure Storage".
"""

from __future__ import annotations

from collections.abc import Iterator

from podvnet.model.flow import TCP, Flow
from podvnet.model.intent import NetworkInterface
from podvnet.model.private_endpoint import PrivateEndpoint
from podvnet.model.security import Direction
from podvnet.model.subnet import Subnet
from podvnet.model.verdict import Check, Hop
from podvnet.plan import remedy
from podvnet.plan.dropped import DroppedError
from podvnet.plan.private_endpoints import group_before, subnet_of
from podvnet.plan.remedy import named
from podvnet.plan.security_evaluation import deciding_rule, rule_hop
from podvnet.plan.services_program import is_allowed
from podvnet.plan.topology import Topology


def by_service_endpoint(topology: Topology, nic: NetworkInterface, flow: Flow) -> Hop:
    """A packet that a NIC sends by the service endpoint of its subnet."""
    subnet = topology.vantage(nic).subnet
    reason = f"by the service endpoint of {named(subnet.id)}, with its private source {flow.source}"
    return Hop(subnet.id, Check.SERVICE, True, reason + _objection(topology, subnet, flow))


def by_private_endpoint(topology: Topology, endpoint: PrivateEndpoint, flow: Flow) -> Iterator[Hop]:
    """A packet to the address of a private endpoint, in its virtual network. The last hop is that it gets there.

    Raises:
        DroppedError: it does not.
    """
    group = group_before(topology.intent, endpoint)
    if group:
        vantage = topology.vantage_of(endpoint.network, subnet_of(topology.intent, endpoint))
        rule = deciding_rule(topology, vantage, group, Direction.INBOUND, flow)
        if not rule.allow:
            cure = remedy.against_rule(group, rule, Direction.INBOUND, flow)
            raise DroppedError(rule_hop(endpoint.id, group, rule, cure))
        yield rule_hop(endpoint.id, group, rule)
    if flow.protocol != TCP:
        reason = f"a private endpoint carries TCP alone, no {remedy.protocol(flow)}"
        cure = f"Send TCP to {named(endpoint.id)}."
        raise DroppedError(Hop(endpoint.id, Check.SERVICE, False, reason, remedy=cure))
    service = topology.intent.services.get(endpoint.service.key)
    if service is None:
        reason = f"{named(endpoint.service)}, which it leads to, has been deleted"
        cure = f"Make {named(endpoint.service)} anew, or delete {named(endpoint.id)}."
        raise DroppedError(Hop(endpoint.id, Check.SERVICE, False, reason, remedy=cure))
    reason = (
        f"leads to {endpoint.host}, with the private source {flow.source}, past the firewall of {named(service.id)}"
    )
    yield Hop(endpoint.id, Check.SERVICE, True, reason)


def _objection(topology: Topology, subnet: Subnet, flow: Flow) -> str:
    """What the endpoint policies of a subnet say against a packet, in words."""
    intent = topology.intent
    service = next((each for each in intent.services.values() if flow.destination in each.addresses), None)
    if service is None or is_allowed(service, subnet, intent.endpoint_policies.values()):
        return ""
    own = ", ".join(named(each) for each in subnet.endpoint_policies)
    return f"; it is refused there, for {own} does not name {named(service.id)}"
