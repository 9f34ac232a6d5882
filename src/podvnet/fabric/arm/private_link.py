"""What a private endpoint and the service it leads to show of their connection, now.

A service may be deleted though endpoints lead to it: their connections are disconnected then.
Source: Azure documents "Manage Azure private endpoints" (connection states); REST references of Microsoft.Storage and
Microsoft.Sql, "Private Endpoint Connections".
"""

from __future__ import annotations

from podvnet.fabric.arm.world import PRIVATE_ENDPOINTS, SQL_SERVERS, STORAGE_ACCOUNTS, Document, World

_LINKS = "privateLinkServiceConnections"
_CONNECTIONS = "privateEndpointConnections"
_GONE = {"status": "Disconnected", "description": "The service has been deleted.", "actionsRequired": "None"}


def complete_links(view: Document, world: World) -> None:
    """Add to the view of a private endpoint the state of its connection, to that of a service its connections."""
    if view["type"] == PRIVATE_ENDPOINTS:
        for link in view["properties"][_LINKS]:
            if link["properties"]["privateLinkServiceId"].lower() not in world.documents:
                link["properties"]["privateLinkServiceConnectionState"] = dict(_GONE)
    elif view["type"] in {STORAGE_ACCOUNTS, SQL_SERVERS}:
        found = [
            _connection(view, endpoint, link)
            for endpoint in world.of_type(PRIVATE_ENDPOINTS)
            for link in endpoint["properties"][_LINKS]
            if link["properties"]["privateLinkServiceId"].lower() == view["id"].lower()
        ]
        if found:
            view["properties"][_CONNECTIONS] = found


def _connection(service: Document, endpoint: Document, link: Document) -> Document:
    name = f"{endpoint['name']}.{endpoint['properties']['resourceGuid']}"
    return {
        "name": name,
        "id": f"{service['id']}/{_CONNECTIONS}/{name}",
        "type": f"{service['type']}/{_CONNECTIONS}",
        "properties": {
            "provisioningState": "Succeeded" if service["type"] == STORAGE_ACCOUNTS else "Ready",
            "privateEndpoint": {"id": endpoint["id"]},
            "groupIds": link["properties"]["groupIds"],
            "privateLinkServiceConnectionState": dict(link["properties"]["privateLinkServiceConnectionState"]),
        },
    }
