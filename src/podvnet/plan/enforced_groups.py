"""The security groups of a NIC as the VM itself enforces them between its pods.

The order is the network's: outbound the NIC's group and then the subnet's, inbound the subnet's and then the NIC's. A
group that is not there is no filter. What is sent to an address that the VM translates to a pod's (a port of the VM) is
asked of inbound only: the network has seen it, but on its way to the VM. The chains are those of the fabric
(:mod:`podvnet.plan.security_program`), and :mod:`podvnet.plan.node_ruleset` has what leads to them.
Source: Azure document "How network security groups filter network traffic".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from podvnet.model.kernel import Chain, Step
from podvnet.model.nic_security import NicSecurity
from podvnet.plan.attachment_program import HOST
from podvnet.plan.node_ruleset import ARRIVALS, CLOSED, GROUPS, TABLE
from podvnet.plan.security_program import GroupChains, compile_group

_OF_GROUPS = "nsg-"
"""How the names of compiled chains begin."""


def group_steps(security: NicSecurity, present: Collection[str]) -> tuple[Step, ...]:
    """What makes the rules between pods those of a NIC; one transaction when applied together.

    Args:
        security: of the NIC.
        present: the names of the chains that the table has.
    """
    nic, subnet = (
        compile_group(group, security.virtual_network) if group else None for group in (security.nic, security.subnet)
    )
    arriving = [*_inbound(subnet), *_inbound(nic)]
    way = [*_outbound(nic), *_outbound(subnet), *arriving]
    wanted = {chain.name: chain for chain in way}
    stale = [name for name in sorted(present) if name == CLOSED or (name.startswith(_OF_GROUPS) and name not in wanted)]
    return (
        *(Step(True, HOST, chain) for name, chain in wanted.items() if name not in present),
        Step(True, HOST, Chain(TABLE, GROUPS, _jumps(way))),
        Step(True, HOST, Chain(TABLE, ARRIVALS, _jumps(arriving))),
        *(Step(False, HOST, Chain(TABLE, name, "")) for name in stale),
    )


def _jumps(chains: Iterable[Chain]) -> str:
    return "".join(f"\t\tjump {chain.name}\n" for chain in chains)


def _outbound(chains: GroupChains | None) -> list[Chain]:
    return [chains.outbound] if chains else []


def _inbound(chains: GroupChains | None) -> list[Chain]:
    return [chains.inbound] if chains else []
