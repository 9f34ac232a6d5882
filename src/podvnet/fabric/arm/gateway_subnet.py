"""The subnet that the gateways of a virtual network are in: what it must be, and what it must not have.

Sources: Azure documents "About VPN Gateway configuration settings" (gateway subnet), "Virtual network traffic routing"
(route tables on it), "Configure ExpressRoute and site-to-site coexisting connections" (/27 for both).
"""

from __future__ import annotations

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.subnets import prefixes_of
from podvnet.fabric.arm.world import NETWORK_GATEWAYS, Document, World
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId, parse

_BOTH = 27
"""The longest prefix of a subnet with gateways of both kinds."""


def network_of(gateway: Document) -> ResourceId:
    """The virtual network that a settled gateway is in."""
    return parse(gateway["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]).parent


def gateways_in(network: ResourceId, world: World) -> list[Document]:
    """The gateways of a virtual network: at most one of each kind."""
    return [each for each in world.of_type(NETWORK_GATEWAYS) if network_of(each) == network]


def refuse_second(fields: Fields, gateway: ResourceId, kind: str, network: ResourceId, world: World) -> None:
    """Refuse a second gateway of a kind.

    Raises:
        ArmError: which one is there.
    """
    for other in gateways_in(network, world):
        if other["properties"]["gatewayType"] == kind and other["id"].lower() != gateway.key:
            raise fields.error(
                "InvalidRequestFormat",
                f"Virtual network {network} has a gateway of type {kind} already: {other['id']}. There can be one.",
                "ipConfigurations",
            )


def check_gateway_subnets(world: World) -> None:
    """Refuse what gateways cannot be with, once all resources are settled.

    Raises:
        ArmError: of which gateway, and what is in its way.
    """
    for gateway in world.of_type(NETWORK_GATEWAYS):
        network = network_of(gateway)
        resource = parse(gateway["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"])
        subnet = world.find(resource)
        if subnet is None:
            continue
        what = _obstacle(subnet, len(gateways_in(network, world)), world) or _remote(network, world)
        if what:
            raise ArmError("InvalidRequestFormat", f"Gateway {gateway['id']}: {what}", target=gateway["id"])


def _obstacle(subnet: Document, gateways: int, world: World) -> str:
    """What is wrong with a gateways' subnet; nothing when all is well."""
    prefix = prefixes_of(subnet)[0]
    if gateways > 1 and prefix.prefixlen > _BOTH:
        return f"{subnet['name']} must be /{_BOTH} or larger for gateways of both types, and is {prefix}."
    table = subnet["properties"].get("routeTable")
    found = world.documents.get(table["id"].lower()) if table else None
    if found is None:
        return ""
    properties = found["properties"]
    if properties["disableBgpRoutePropagation"]:
        return f"{subnet['name']} has route table {found['id']}, which must not disable the propagation of BGP routes."
    if any(each["properties"]["addressPrefix"] == "0.0.0.0/0" for each in properties["routes"]):
        return f"{subnet['name']} has route table {found['id']}, which must not have a route to 0.0.0.0/0."
    return ""


def _remote(network: ResourceId, world: World) -> str:
    """The peering by which a network with a gateway uses another's; nothing when there is none."""
    document = world.get(network)
    peerings = document["properties"]["virtualNetworkPeerings"] if document else []
    used = next((each for each in peerings if each["properties"]["useRemoteGateways"]), None)
    return f"its virtual network uses a remote one already, by peering {used['id']}." if used else ""
