"""Microsoft.Network/networkWatchers: what questions about packets are asked of.

A watcher holds flow logs, nothing else; :mod:`podvnet.fabric.api.network_questions` has what can be asked of it.
Source: Azure document "Network Watcher overview"; Azure REST reference "Network Watchers - Create Or Update".
"""

from __future__ import annotations

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.flow_logs import KIND, settle_flow_logs
from podvnet.fabric.arm.resource_type import head
from podvnet.fabric.arm.world import NETWORK_WATCHERS, Document, World
from podvnet.model.resource_id import ResourceId


class NetworkWatchers:
    """The type."""

    full_type = NETWORK_WATCHERS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a watcher."""
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow("provisioningState")
        logs = settle_flow_logs(resource, document["location"], properties, world)
        properties.refuse_unread()
        body.refuse_unread()
        document["properties"] = {"provisioningState": "Succeeded"} | ({KIND: logs} if logs else {})
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A watcher may always go."""
