"""Which established flows a change of security rules ends.

Rules decide about new flows; what is established goes on, unless the group has ``flushConnection``: then its flows are
judged anew whenever its rules change.
Source: the resource manager's description of ``NetworkSecurityGroup.flushConnection``; Azure document "Network security
groups".
"""

from __future__ import annotations

from collections.abc import Iterable

from podvnet.model.flow import Flow
from podvnet.model.intent import Intent
from podvnet.model.resource_id import ResourceId
from podvnet.model.verdict import Check
from podvnet.plan.evaluate import Evaluator, SenderError

_PASSING = (Check.BACKEND, Check.GATEWAY, Check.SITE)
"""What keeps first packets away and is no matter of security groups."""


def flushed_networks(old: Intent, new: Intent) -> set[ResourceId]:
    """The virtual networks in which a group that has ``flushConnection`` now is another than before."""
    changed = {
        group.id for key, group in new.security_groups.items() if group.flush and old.security_groups.get(key) != group
    }
    if not changed:
        return set()
    return {
        nic.virtual_network
        for nic in new.nics.values()
        if nic.security_group in changed or new.subnet_of(nic).security_group in changed
    }


def refused(flows: Iterable[Flow], network: ResourceId, evaluator: Evaluator) -> set[Flow]:
    """Those of the flows in a virtual network that would not be allowed if they began now.

    A flow whose sender is not known is left alone. One that a load balancer led to a member outlasts that member's
    health, and one with somebody on premises the tunnel's: no rule of a group ends it for that.
    """
    return {flow for flow in flows if _is_refused(flow, network, evaluator)}


def _is_refused(flow: Flow, network: ResourceId, evaluator: Evaluator) -> bool:
    holders = evaluator.topology.holders(flow.source)
    here = [nic for nic in holders if nic.virtual_network == network]
    try:
        trace = evaluator.evaluate(flow, here[0] if here else None, follow=False)
    except SenderError:
        return False
    return trace.culprit is not None and trace.culprit.check not in _PASSING
