"""``flushConnection``: a change of rules ends the established flows that they do not allow, and only those."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.testing.rule import deny
from podvnet.testing.stage import Stage, stage
from podvnet.testing.traffic import connected, still_flows

PORT, OTHER_PORT = 7001, 7002


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    with stage(Path(__file__).with_name("security-groups.yaml")) as made:
        yield made


def ruled(net: Stage, *rules: dict[str, object], flush: bool) -> None:
    resources = net.declared
    for name in ("a-nic", "b-nic", "front", "back"):
        properties = resources[f"networkSecurityGroups/{name}"].setdefault("properties", {})
        properties["flushConnection"] = flush
    resources["networkSecurityGroups/b-nic"]["properties"]["securityRules"] = list(rules)
    net.apply(resources)


@pytest.mark.parametrize("version", [4, 6])
def test_established_flows_end_only_where_the_group_says_so(version: int, net: Stage) -> None:
    a, b = net.places["a"], net.places["b"]
    ruled(net, flush=False)
    with connected(a, b, version, PORT) as ends, connected(a, b, version, OTHER_PORT) as others:
        refusal = deny("no", 100, "Inbound", ports=str(PORT))
        ruled(net, refusal, flush=False)
        assert still_flows(*ends), "a rule is for new flows"
        ruled(net, refusal, flush=True)
        before = net.lab.dropped("ended")
        assert not still_flows(*ends), "turning the flag on judges every flow anew"
        assert still_flows(*others)
        assert net.lab.dropped("ended") > before
        ruled(net, flush=True)
        ends[1].settimeout(10.0)
        assert ends[1].recv(64), "what was held back is sent again, and arrives"
