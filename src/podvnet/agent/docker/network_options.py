"""What ``docker network create`` asks for, read into a network. Whatever is not understood is refused."""

from __future__ import annotations

from podvnet.agent.docker.ipam import SPACE, read_subnet
from podvnet.agent.docker.networks import Network
from podvnet.agent.docker.protocol import (
    GENERIC,
    INTERNAL,
    MTU,
    CreateNetwork,
    DockerError,
    Json,
    PoolData,
    whole_number,
)
from podvnet.agent.docker.reservations import interface_of
from podvnet.model.address import Prefix
from podvnet.model.attachment import Node

MODE = "com.microsoft.azure.network.mode"
"""The option that the original plug-in chose its mode by."""
_SMALLEST_MTU = 1280


def read_network(call: CreateNetwork, node: Node) -> Network:
    """The network that a call describes.

    Raises:
        DockerError: its addresses are not ours, or an option is not known or cannot be had.
    """
    pools = [*(call.ipv4 or []), *(call.ipv6 or [])]
    if not pools or any(each.address_space != SPACE for each in pools):
        raise DockerError(
            "addresses of this driver's networks must come from its own IPAM driver", "add --ipam-driver azure-vnet"
        )
    options = call.options or {}
    internal = options.get(INTERNAL, False)
    if not isinstance(internal, bool):
        raise DockerError(f"the option {INTERNAL} is {internal!r}, not true or false")
    generic = options.get(GENERIC) or {}
    if not isinstance(generic, dict):
        raise DockerError(f"the option {GENERIC} is {generic!r}, not a list of names and values")
    return Network(
        id=call.network,
        internal=internal,
        mtu=_mtu_of(generic, node),
        subnets=tuple(_subnet_of(each, node) for each in pools),
        auxiliary=tuple(interface_of(text).ip for each in pools for text in (each.auxiliary or {}).values()),
    )


def _subnet_of(pool: PoolData, node: Node) -> Prefix:
    subnet = read_subnet(pool.pool)
    if subnet not in node.subnets:
        raise DockerError(
            f"{subnet} is not a subnet of NIC {node.nic_name}, which is in {', '.join(map(str, node.subnets))}",
            "containers can only have addresses of the NIC's own subnets",
        )
    return subnet


def _mtu_of(options: Json, node: Node) -> int:
    """Read the options of ``-o``."""
    known = {MODE, MTU}
    for name in options:
        if name not in known:
            raise DockerError(f"-o {name} is not known", f"known are {', '.join(sorted(known))}")
    if options.get(MODE, "transparent") != "transparent":
        raise DockerError(
            f"-o {MODE}={options[MODE]}: containers of Docker are attached in the mode transparent", "leave it out"
        )
    if MTU not in options:
        return 0
    number = whole_number(str(options[MTU]))
    if number is None or not _SMALLEST_MTU <= number <= node.mtu:
        raise DockerError(f"-o {MTU}={options[MTU]} is not between {_SMALLEST_MTU} and {node.mtu}, which is the NIC's")
    return number
