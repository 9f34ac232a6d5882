"""Docker's IPAM driver: pools are the subnets of the VM's NIC, addresses its free ip-configurations."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from podvnet.agent.docker.protocol import (
    GATEWAY,
    REQUEST_TYPE,
    AddressCall,
    DockerError,
    Json,
    PoolCall,
    RequestPool,
)
from podvnet.agent.docker.reservations import Reservations
from podvnet.model.address import Address, Prefix
from podvnet.model.attachment import Node
from podvnet.model.kernel import host_prefix

SPACE = "azure-vnet"
"""The name of the address space; pools of the virtual network are all in one."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A subnet, and the part of it that addresses are chosen from. Its id says it all, so none is kept."""

    subnet: Prefix
    part: Prefix

    @property
    def id(self) -> str:
        """What Docker names it by from then on."""
        return f"{SPACE}|{self.subnet}|{self.part}"

    @property
    def gateway(self) -> Address:
        """The next hop of containers; see :func:`podvnet.plan.attachment_program.next_hop`."""
        return self.subnet.network_address + 1


def read_subnet(text: str) -> Prefix:
    """Read a subnet.

    Raises:
        DockerError: it is none.
    """
    try:
        return ip_network(text)
    except ValueError as error:
        raise DockerError(f"{text!r} is not a subnet: {error}") from None


def choose_pool(call: RequestPool, node: Node) -> Pool:
    """The subnet a network is made of.

    Raises:
        DockerError: it is none of the NIC's, or the range is not in it.
    """
    if call.options:
        raise DockerError(f"--ipam-opt {', '.join(sorted(call.options))} is not known", "leave it out")
    asked = read_subnet(call.pool) if call.pool else None
    version = asked.version if asked else 6 if call.v6 else 4
    own = [each for each in node.subnets if each.version == version]
    if version == 6 and not node.has_ipv6:
        own = []
    if not own:
        raise DockerError(f"NIC {node.nic_name} has no IPv{version}", f"create the network without IPv{version}")
    where = ", ".join(map(str, own))
    if asked is None:
        # Docker would find that what we choose is in use, by the VM itself, and ask again and again for another.
        raise DockerError(f"no subnet is given; NIC {node.nic_name} is in {where}", "add --subnet")
    if asked not in own:
        raise DockerError(
            f"{asked} is not a subnet of NIC {node.nic_name}, which is in {where}",
            "containers can only have addresses of the NIC's own subnets",
        )
    part = read_subnet(call.sub_pool) if call.sub_pool else asked
    if part.version != asked.version or part.network_address not in asked or part.prefixlen < asked.prefixlen:
        raise DockerError(f"--ip-range {part} is not in {asked}", "choose a range of the subnet")
    return Pool(asked, part)


def read_pool(identifier: str) -> Pool:
    """The pool of an id.

    Raises:
        DockerError: it is not an id of ours.
    """
    parts = identifier.split("|")
    if len(parts) != 3 or parts[0] != SPACE:
        raise DockerError(f"{identifier!r} is not a pool of this driver")
    return Pool(read_subnet(parts[1]), read_subnet(parts[2]))


class Ipam:
    """Serves the calls of an IPAM driver.

    Args:
        reservations: Docker's part of the ledger.
    """

    def __init__(self, reservations: Reservations) -> None:
        self._reservations = reservations

    def request_pool(self, call: RequestPool, node: Node) -> Json:
        """Choose a subnet; nothing is kept of it."""
        pool = choose_pool(call, node)
        return {"PoolID": pool.id, "Pool": str(pool.subnet), "Data": {}}

    def release_pool(self, call: PoolCall) -> Json:
        """Nothing was kept."""
        read_pool(call.pool)
        return {}

    def request_address(self, call: AddressCall) -> Json:
        """The gateway, which is Azure's; else a free ip-configuration, reserved from now on.

        As in pods, no part of the subnet is on the link of a container: all goes by the next hop.
        """
        pool = read_pool(call.pool)
        wanted = _address(call.address) if call.address else None
        if (call.options or {}).get(REQUEST_TYPE) == GATEWAY:
            if wanted not in {None, pool.gateway}:
                raise DockerError(
                    f"{wanted} is not the gateway of {pool.subnet}, which is {pool.gateway}", "leave --gateway out"
                )
            return {"Address": f"{pool.gateway}/{pool.subnet.prefixlen}", "Data": {}}
        if wanted is not None and wanted not in pool.subnet:
            raise DockerError(f"{wanted} is not in the subnet {pool.subnet}", "ask for an address of the subnet")
        interface = self._reservations.take(pool.subnet.version, wanted, pool.part)
        return {"Address": str(host_prefix(interface.ip)), "Data": {}}


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise DockerError(f"{text!r} is not an address") from None


def address_of(call: AddressCall) -> Address:
    """The address a call is about.

    Raises:
        DockerError: it names none.
    """
    return _address(call.address)
