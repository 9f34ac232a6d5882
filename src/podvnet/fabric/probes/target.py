"""Who is to be asked: every member behind a rule that has a probe."""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.model.address import Address
from podvnet.model.intent import Intent
from podvnet.model.load_balancer import Probe
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names
from podvnet.plan.backends import Backends

Key = tuple[ResourceId, Address]
"""A probe and the address of a member: what is known of the two is known by this."""

_LONGEST = 30
"""Seconds that a member has to answer, however long the interval.

Source: Azure document "Load Balancer health probes".
"""


@dataclass(frozen=True, slots=True)
class Target:
    """One member that one probe asks.

    Attributes:
        label: the namespace of the virtual network that the member is in.
        port: the index there of its NIC's port: what a link-local address goes with.
    """

    probe: Probe
    address: Address
    label: str
    port: int

    @property
    def timeout(self) -> int:
        """Seconds that the member has to answer."""
        return min(self.probe.interval, _LONGEST)


def find_targets(intent: Intent) -> dict[Key, Target]:
    """Everybody who is to be asked now.

    An address of a pool that no NIC of a running VM has is not asked: a VM that is stopped is not, in Azure, and nobody
    else could answer. Its administrative state does not matter.
    """
    backends = Backends(intent)
    found: dict[Key, Target] = {}
    for balancer in intent.load_balancers.values():
        probes = {probe.id: probe for probe in balancer.probes}
        for rule in balancer.rules:
            if rule.probe is None or rule.pool is None:
                continue
            probe = probes[rule.probe]
            for member in backends.members(rule.pool):
                if member.nic:
                    label, port = (
                        names.network_namespace(member.nic.virtual_network),
                        names.port_index(member.nic.number),
                    )
                    found[probe.id, member.address] = Target(probe, member.address, label, port)
    return found
