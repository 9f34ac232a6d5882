from __future__ import annotations

from collections.abc import Callable

import pytest

from podvnet.fabric.arm import children
from podvnet.fabric.arm.world import NETWORK_WATCHERS, SECURITY_GROUPS, VIRTUAL_NETWORKS, Document, World, shown
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle, settle_all, settle_removal
from podvnet.model.arm_error import ArmError
from podvnet.model.flow_log import FlowLog
from podvnet.model.resource_id import ResourceId, Scope, make, parse

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

WATCHER = make(Scope(), NETWORK_WATCHERS, "watcher")
GROUP = make(Scope(), SECURITY_GROUPS, "web")
ACCOUNT = make(Scope(), "Microsoft.Storage/storageAccounts", "logs")


def log(name: str = "log", target: ResourceId | str = GROUP, **members: object) -> Document:
    return {"name": name, "properties": {"targetResourceId": str(target), "storageId": str(ACCOUNT)} | members}


@pytest.fixture
def grouped(document: Make) -> World:
    """A world with a security group."""
    return settle_all([document(SECURITY_GROUPS, "web", {})], World(), set()).world


def watcher(document: Make, *logs: Document) -> Document:
    return document(NETWORK_WATCHERS, "watcher", {"flowLogs": list(logs)})


ROWS: list[tuple[str, Document, str, str]] = [
    ("nameless", log(""), "InvalidRequestFormat", "flowLogs[0].name: is required"),
    ("bad name", log("a/b"), "InvalidResourceName", "'a/b' is invalid"),
    ("no target", log(target=""), "InvalidRequestFormat", "targetResourceId: is required"),
    ("no id", log(target="web"), "LinkedInvalidPropertyId", "'web' is not a resource id"),
    (
        "a target that is not there",
        log(target=make(Scope(), SECURITY_GROUPS, "gone")),
        "InvalidResourceReference",
        "was not found",
    ),
    (
        "a target that cannot be logged",
        log(target=make(Scope(), "Microsoft.Network/routeTables", "t")),
        "InvalidResourceReference",
        "none of what can be logged: networkSecurityGroups, virtualNetworks, subnets, networkInterfaces",
    ),
    ("no storage", log(storageId=""), "InvalidRequestFormat", "storageId: is required"),
    (
        "storage of another type",
        log(storageId=str(GROUP)),
        "InvalidResourceReference",
        "not the id of a storage account",
    ),
    (
        "a storage account that cannot be",
        log(storageId=str(make(Scope(), "Microsoft.Storage/storageAccounts", ".."))),
        "InvalidResourceReference",
        "not the id of a storage account",
    ),
    ("another version", log(format={"version": 3}), "InvalidRequestFormat", "version: must be between 1 and 2"),
    ("another format", log(format={"type": "CSV"}), "InvalidRequestFormat", "type: must be one of JSON"),
    ("retention", log(retentionPolicy={"enabled": True, "days": 7}), "UnsupportedProperty", "retentionPolicy.enabled"),
    (
        "analytics",
        log(flowAnalyticsConfiguration={"networkWatcherFlowAnalyticsConfiguration": {"enabled": True}}),
        "UnsupportedProperty",
        "networkWatcherFlowAnalyticsConfiguration.enabled",
    ),
    ("filters", log(enabledFilteringCriteria="srcIP=1.1.1.1"), "UnsupportedProperty", "enabledFilteringCriteria"),
    ("misspelt", log(enable=True), "InvalidRequestFormat", "could not find member 'enable'"),
    ("another region", log() | {"location": "moon"}, "InvalidRequestFormat", "must be that of the network watcher"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_refused(row: tuple[str, Document, str, str], document: Make, refusal: Refusal, grouped: World) -> None:
    _, wanted, code, says = row
    error = refusal(watcher(document, wanted), grouped)
    assert error.code == code
    assert says in error.message
    assert error.status == 400


def test_two_of_one_name_are_refused(document: Make, refusal: Refusal, grouped: World) -> None:
    assert "two flow logs are called 'LOG'" in refusal(watcher(document, log(), log("LOG")), grouped).message


def test_what_azure_fills_in(document: Make, grouped: World) -> None:
    settled = settle(watcher(document, log() | {"tags": {"who": "me"}}), grouped)
    [found] = shown(settled)["properties"]["flowLogs"]
    assert found == {
        "name": "log",
        "id": f"{WATCHER}/flowLogs/log",
        "type": "Microsoft.Network/networkWatchers/flowLogs",
        "location": "local",
        "tags": {"who": "me"},
        "properties": {
            "provisioningState": "Succeeded",
            "targetResourceId": str(GROUP),
            "targetResourceGuid": grouped.documents[GROUP.key]["properties"]["resourceGuid"],
            "storageId": str(ACCOUNT),
            "enabled": True,
            "retentionPolicy": {"days": 0, "enabled": False},
            "format": {"type": "JSON", "version": 2},
        },
    }
    assert settle(shown(settled), grouped) == settled


def test_a_log_is_written_by_itself_and_a_write_of_the_watcher_keeps_it(document: Make, grouped: World) -> None:
    grouped.put(settle(watcher(document), grouped))
    body = children.put_child(shown(grouped.documents[WATCHER.key]), (("flowLogs", "log"),), log())
    grouped.put(settle(body, grouped))
    assert children.read_child(grouped.documents[WATCHER.key], (("flowlogs", "LOG"),))["name"] == "log"
    again = children.keep_unnamed(document(NETWORK_WATCHERS, "watcher", {}), grouped.documents[WATCHER.key])
    assert settle(again, grouped) == grouped.documents[WATCHER.key]


@pytest.mark.parametrize("place", ["networks", "subnets", "nics"])
def test_networks_subnets_and_nics_can_be_logged(place: str, document: Make, stocked: World) -> None:
    target = {
        "networks": make(Scope(), VIRTUAL_NETWORKS, "one"),
        "subnets": make(Scope(), f"{VIRTUAL_NETWORKS}/subnets", "one", "a"),
        "nics": make(Scope(), "Microsoft.Network/networkInterfaces", "nic"),
    }[place]
    [found] = settle(watcher(document, log(target=target)), stocked)["properties"]["flowLogs"]
    assert found["properties"]["targetResourceId"] == str(target)
    assert found["properties"]["targetResourceGuid"]


def test_a_log_goes_with_its_target_and_the_watcher_stays(document: Make, grouped: World) -> None:
    grouped.put(settle(document(SECURITY_GROUPS, "other", {}), grouped))
    other = make(Scope(), SECURITY_GROUPS, "other")
    grouped.put(settle(watcher(document, log(), log("kept", other)), grouped))
    after = settle_removal({GROUP.key}, grouped).world
    assert [each["name"] for each in after.documents[WATCHER.key]["properties"]["flowLogs"]] == ["kept"]


def test_only_logs_that_are_enabled_reach_the_compilers(document: Make, grouped: World) -> None:
    logs = log("one", format={"version": 1}), log("off", enabled=False)
    grouped.put(settle(watcher(document, *logs), grouped))
    identity = parse(f"{WATCHER}/flowLogs/one")
    assert IntentReader().read(grouped).flow_logs == {identity.key: FlowLog(identity, GROUP, ACCOUNT, 1)}


def test_a_file_may_declare_a_log_with_its_target(document: Make) -> None:
    wanted = [watcher(document, log()), document(SECURITY_GROUPS, "web", {})]
    assert WATCHER.key in settle_all(wanted, World(), set()).world.documents
