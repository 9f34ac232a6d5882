"""Which established flows end because a service endpoint was turned on or off: those of its subnet to its service.

They have another source from then on, so to the service they are not what they were, and it resets them.
Source: Azure document "Virtual network service endpoints", "Considerations".
"""

from __future__ import annotations

from collections.abc import Iterator

from podvnet.model.address import Prefix
from podvnet.model.flow import Flow
from podvnet.model.intent import Intent, VirtualNetwork
from podvnet.model.resource_id import ResourceId
from podvnet.model.service_tag import endpoint_prefixes

Stretch = tuple[Prefix, Prefix]
"""From a prefix of a subnet to one of a service."""


def rerouted(before: Intent, after: Intent) -> dict[ResourceId, set[Stretch]]:
    """By virtual network, what flows end.

    Args:
        before: what was the case. Virtual networks that it does not have are left alone.
        after: what is the case now.
    """
    found = {
        network.id: set(_stretches(before.virtual_networks[key], network))
        for key, network in after.virtual_networks.items()
        if before.virtual_networks.get(key, network) is not network
    }
    return {network: stretches for network, stretches in found.items() if stretches}


def is_rerouted(first: Flow, _: Flow, stretches: set[Stretch]) -> bool:
    """Whether a connection, by its first packet, is one of these."""
    return any(first.source in here and first.destination in there for here, there in stretches)


def _stretches(before: VirtualNetwork, after: VirtualNetwork) -> Iterator[Stretch]:
    earlier = {subnet.id: set(subnet.service_endpoints) for subnet in before.subnets}
    for subnet in after.subnets:
        for service in set(subnet.service_endpoints) ^ earlier.get(subnet.id, set(subnet.service_endpoints)):
            yield from ((here, there) for here in subnet.prefixes for there in endpoint_prefixes(service))
