"""The description of the API agrees with what the types take, and with what there is."""

from __future__ import annotations

import json
from typing import Any

from podvnet.fabric.api.description import CHILD_SHAPES, PROPERTY_SHAPES, describe
from podvnet.fabric.arm.children import KINDS
from podvnet.fabric.arm.world import CONNECTIONS, NETWORK_GATEWAYS, VIRTUAL_MACHINES
from podvnet.fabric.deployment.scope import DEPLOYMENTS
from podvnet.fabric.settlement import TYPES


def references(value: Any) -> set[str]:
    if isinstance(value, list):
        return {found for each in value for found in references(each)}
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own | {found for each in value.values() for found in references(each)}
    return set()


def test_every_type_and_every_kind_of_child_has_a_shape() -> None:
    assert {each.full_type for each in TYPES.values()} == PROPERTY_SHAPES.keys()
    for full_type, kinds in KINDS.items():
        # The rules that every group has are written by nobody.
        assert kinds.keys() - {"defaultSecurityRules"} == CHILD_SHAPES[full_type].keys()


def test_every_type_is_read_written_listed_and_deleted() -> None:
    paths = describe()["paths"]
    for each in TYPES.values():
        one = next(path for path in paths if path.endswith(f"/{each.full_type}/{{name}}"))
        assert {"get", "put", "patch", "delete"} < paths[one].keys()
        lists = [path for path in paths if path.endswith(f"/providers/{each.full_type}")]
        assert len(lists) == 2


def test_actions_are_described() -> None:
    paths = describe()["paths"]

    def actions(one: str) -> set[tuple[str, str]]:
        return {
            (path.rsplit("/", 1)[1], method)
            for path in paths
            if path.startswith(one) and "/" not in path.removeprefix(one)
            for method in paths[path].keys() - {"parameters"}
        }

    machine, deployment, gateway, connection = (
        next(path for path in paths if path.endswith(f"/{full_type}/{{name}}"))
        for full_type in (VIRTUAL_MACHINES, DEPLOYMENTS, NETWORK_GATEWAYS, CONNECTIONS)
    )
    asked_of_gateways = {(f"get{each}", "post") for each in ("BgpPeerStatus", "LearnedRoutes", "AdvertisedRoutes")}
    assert actions(f"{gateway}/") == asked_of_gateways | {("reset", "post"), ("connections", "get")}
    assert actions(f"{connection}/") == {("sharedkey", "get"), ("sharedkey", "put"), ("resetconnection", "post")}
    stopping = {(action, "post") for action in ("start", "powerOff", "deallocate", "restart")}
    assert actions(f"{machine}/") == stopping | {("instanceView", "get")}
    asked = {("operations", "get"), ("cancel", "post"), ("validate", "post"), ("whatIf", "post")}
    assert actions(f"{deployment}/") == asked
    assert "get" in paths[f"{deployment.split('/providers/')[0]}/deployments/{{name}}/operations"]


def test_what_is_referred_to_is_in_the_document() -> None:
    document = describe()
    for reference in references(document):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place
    assert json.loads(json.dumps(document)) == document
