"""A trace says how many packets the kernel has counted where it says that they are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podvnet.testing.rule import deny
from podvnet.testing.stage import Stage, control, stage
from podvnet.testing.traffic import UDP

PORT = 7001


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    with stage(Path(__file__).with_name("security-groups.yaml")) as made:
        yield made


def decisive(source: str, destination: str) -> dict[str, Any]:
    """The last hop of a trace."""
    body = {"source": source, "destination": destination, "protocol": "udp", "port": PORT}
    trace = control("POST", "/trace", body)
    found: dict[str, Any] = trace["hops"][-1]
    return found


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("group", ["b-nic", "back"])
def test_the_rule_that_drops_has_counted_it(group: str, version: int, net: Stage) -> None:
    resources = net.declared
    resources[f"networkSecurityGroups/{group}"]["properties"] = {"securityRules": [deny("no", 100, "Inbound")]}
    net.apply(resources)
    a, b = net.places["a"].addresses[version], net.places["b"].addresses[version]
    before = decisive(a, b)
    assert (before["rule"], before["allowed"]) == ("securityRules/no", False)
    assert net.outcome("a", "b", UDP, PORT, version=version) == f"{group} no"
    assert decisive(a, b)["counter"] == before["counter"] + 1
