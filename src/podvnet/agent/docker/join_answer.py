"""What Docker is told to do with a container's end of a link."""

from __future__ import annotations

from podvnet.agent.docker.networks import Network
from podvnet.agent.docker.protocol import Json
from podvnet.model.attachment import Attachment
from podvnet.model.kernel import host_prefix
from podvnet.plan.attachment_program import next_hop

_ON_LINK, _BY_NEXT_HOP = 1, 0


def join_answer(attachment: Attachment, network: Network) -> Json:
    """The answer to Join.

    Nothing of the subnet is on the link: the next hop is, and the network's subnets are reached by it. They have routes
    of their own, for the container may be on a network of another driver as well, and Docker gives it one default
    route, by the network whose name sorts first. A container of an internal network gets none by us.
    """
    answer: Json = {"InterfaceName": {"SrcName": attachment.offered_name, "DstPrefix": "eth"}}
    routes = []
    for interface in attachment.addresses:
        hop = next_hop(interface)
        routes.append({"Destination": str(host_prefix(hop)), "RouteType": _ON_LINK, "NextHop": ""})
        routes += [
            {"Destination": str(subnet), "RouteType": _BY_NEXT_HOP, "NextHop": str(hop)}
            for subnet in network.subnets
            if subnet.version == interface.version
        ]
        if not network.internal:
            answer["Gateway" if interface.version == 4 else "GatewayIPv6"] = str(hop)
    return answer | {"StaticRoutes": routes}
