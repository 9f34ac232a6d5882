"""Which security groups have rules that log, because a flow log wants their decisions."""

from __future__ import annotations

from podvnet.model.intent import Intent
from podvnet.model.resource_id import ResourceId


def logged_groups(intent: Intent) -> frozenset[ResourceId]:
    """The groups whose decisions about at least one NIC are logged.

    A group's rules serve all its NICs, so they may log more than was asked for; who writes the files sorts that out.
    """
    if not intent.flow_logs:
        return frozenset()
    found = set()
    for nic in intent.nics.values():
        for group in (nic.security_group, intent.subnet_of(nic).security_group):
            if group is not None and any(
                log.covers(group, nic.virtual_network, nic.subnet, nic.id) for log in intent.flow_logs.values()
            ):
                found.add(group)
    return frozenset(found)
