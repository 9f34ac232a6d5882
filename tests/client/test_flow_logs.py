"""Flow logs through the SDK, as a client of Azure makes them."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from podvnet.testing.cloud import Cloud

GROUP = "flow-logs"
ACCOUNT = "/subscriptions/{}/resourceGroups/any/providers/Microsoft.Storage/storageAccounts/logs"


def test_a_flow_log_is_made_read_listed_switched_off_and_goes_with_its_group(cloud: Cloud) -> None:
    network = cloud.network
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    here: Any = {"location": "local"}
    watcher = network.network_watchers.create_or_update(GROUP, "watcher", here)
    group = network.network_security_groups.begin_create_or_update(GROUP, "web", here).result()
    assert group.id
    storage = ACCOUNT.format(group.id.split("/")[2])
    wanted: Any = here | {
        "properties": {
            "targetResourceId": group.id,
            "storageId": storage,
            "enabled": True,
            "format": {"type": "JSON", "version": 2},
        }
    }
    made = network.flow_logs.begin_create_or_update(GROUP, "watcher", "log", wanted).result()
    assert made.id == f"{watcher.id}/flowLogs/log"
    assert made.type == "Microsoft.Network/networkWatchers/flowLogs"
    assert (made.target_resource_id, made.target_resource_guid) == (group.id, group.resource_guid)
    assert (made.storage_id, made.enabled, made.provisioning_state) == (storage, True, "Succeeded")
    assert made.format is not None
    assert made.format.version == 2
    assert network.flow_logs.get(GROUP, "watcher", "log").name == "log"
    network.network_watchers.create_or_update(GROUP, "watcher", here)
    assert [each.name for each in network.flow_logs.list(GROUP, "watcher")] == ["log"]
    wanted["properties"]["enabled"] = False
    assert network.flow_logs.begin_create_or_update(GROUP, "watcher", "log", wanted).result().enabled is False
    wrong = here | {"properties": wanted["properties"] | {"targetResourceId": f"{group.id}-gone"}}
    with pytest.raises(HttpResponseError) as refused:
        network.flow_logs.begin_create_or_update(GROUP, "watcher", "wrong", wrong).result()
    assert refused.value.error
    assert (refused.value.status_code, refused.value.error.code) == (400, "InvalidResourceReference")
    network.flow_logs.begin_create_or_update(GROUP, "watcher", "other", wanted).result()
    network.flow_logs.begin_delete(GROUP, "watcher", "other").result()
    assert [each.name for each in network.flow_logs.list(GROUP, "watcher")] == ["log"]
    network.network_security_groups.begin_delete(GROUP, "web").result()
    with pytest.raises(ResourceNotFoundError):
        network.flow_logs.get(GROUP, "watcher", "log")
    cloud.resources.resource_groups.begin_delete(GROUP).result()
