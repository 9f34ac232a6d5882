"""What a virtual network takes from the gateways that it uses.

It is as what comes from elsewhere: it can only be for a NIC here, or for a frontend. At the link of the network's own
gateways the route table of their subnet decides, so that an appliance can stand before the subnets. Flows are filtered
at delivery, as all are.

Source: Azure document "Virtual network traffic routing" (route tables on GatewaySubnet).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from podvnet.model.address import IMDS_ADDRESS, WIRESERVER_ADDRESS
from podvnet.model.gateway import VirtualNetworkGateway
from podvnet.model.intent import VirtualNetwork
from podvnet.model.kernel import Chain, Dispatch, KernelObject, Program
from podvnet.plan import names
from podvnet.plan.routing_program import mark_element, zone_objects


def compile_gateway_entry(network: VirtualNetwork, gateway: VirtualNetworkGateway, table: int | None) -> Program:
    """What a virtual network takes from a gateway that it uses.

    Args:
        network: the virtual network, which has a link to the gateway.
        gateway: its own or a peer's.
        table: the routing table of what the gateway sends in; None for that of what comes from elsewhere.
    """
    index = names.gateway_link_index(gateway.number)
    text = "".join(f"\t\t{line}\n" for line in _from_gateway(network, gateway))
    chain = Chain(names.TABLE, f"gateway-sources-{index}-{hashlib.sha256(text.encode()).hexdigest()[:12]}", text)
    objects: set[KernelObject] = {
        chain,
        Dispatch(names.TABLE, "from_peer", index, chain.name),
        *zone_objects(index, names.gateway_zone(gateway.number)),
    }
    if table is not None:
        objects.add(mark_element(index, table))
    return {names.network_namespace(network.id): frozenset(objects)}


def _from_gateway(network: VirtualNetwork, gateway: VirtualNetworkGateway) -> Iterator[str]:
    """Nobody behind a gateway has an address of the virtual network's own, but for the gateway itself."""
    own = ", ".join(str(each.address) for each in gateway.instances)
    if own:
        yield f"ip saddr {{ {own} }} return"
    for version, family in ((4, "ip"), (6, "ip6")):
        held = [str(prefix) for prefix in network.prefixes if prefix.version == version]
        held += [str(IMDS_ADDRESS), str(WIRESERVER_ADDRESS)] if version == 4 else []
        if held:
            yield f"{family} saddr {{ {', '.join(held)} }} counter name foreign_source drop"
