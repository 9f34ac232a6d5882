"""While rules change no packet takes a forbidden way, and no flow that the changes do not touch loses any."""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import eventually
from podvnet.testing.flood import Arrivals, Flood
from podvnet.testing.rule import allow, deny
from podvnet.testing.stage import Stage, copied, stage
from podvnet.testing.traffic import Place, opened

CHANGES = int(os.environ.get("PODVNET_RULE_CHANGES", "150"))
UNTOUCHED, FRESH, FORBIDDEN = 7001, 7002, 7003
DENIED = {"a-nic": 7003, "front": 7004, "back": 7005, "b-nic": 7006}
"""All groups on the way, and the port that this one alone denies."""


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    """The file of the security groups' tests."""
    with stage(Path(__file__).with_name("security-groups.yaml")) as made:
        yield made


@pytest.fixture(scope="module")
def cloud(net: Stage) -> Cloud:
    """The SDK's clients."""
    return cloud_for(net.lab, access_for())


def rules(dice: random.Random, denied: int) -> list[dict[str, Any]]:
    """Rules that allow two ports and deny one, among others, at other places every time."""
    order = dice.sample(range(100, 4000), 30)
    others = [
        dice.choice((allow, deny))(f"o{n}", priority, dice.choice(("Inbound", "Outbound")), "Tcp", ports=str(8000 + n))
        for n, priority in enumerate(order[4:])
    ]
    return [
        *(deny(f"no-{way}", order[n], way, "Udp", ports=str(denied)) for n, way in enumerate(("Inbound", "Outbound"))),
        *(
            allow(f"yes-{way}", order[n], way, "Udp", ports=[str(UNTOUCHED), str(FRESH)])
            for n, way in enumerate(("Inbound", "Outbound"), 2)
        ),
        *others,
    ]


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
def test_under_load_nothing_forbidden_passes_and_nothing_else_is_lost(net: Stage, cloud: Cloud, version: int) -> None:
    """The rules of one group after another are replaced by others that mean the same to the ports that count.

    One flow is established; another is made of datagrams that are flows of their own, so that each meets every rule.
    Of what is forbidden each port is denied by one group alone: a hole in that would let it through.
    """
    dice = random.Random(version)
    resource_group = net.declared["networkSecurityGroups/a-nic"]["id"].split("/")[4]
    groups: Any = cloud.network.network_security_groups

    def put(group: str) -> None:
        body = {"location": "local", "properties": {"securityRules": rules(dice, DENIED[group])}}
        groups.begin_create_or_update(resource_group, group, body).result()

    for group in DENIED:
        put(group)
    a, b = net.places["a"], net.places["b"]
    address = b.addresses[version]
    with ExitStack() as stack:
        listening = {
            name: stack.enter_context(opened(b, version, socket.SOCK_DGRAM, port))
            for name, port in (("established", UNTOUCHED), ("fresh", FRESH), *DENIED.items())
        }
        came = {name: stack.enter_context(Arrivals(each)) for name, each in listening.items()}
        with (
            Flood(a, [(address, UNTOUCHED)], version) as established,
            Flood(a, [(address, FRESH)], version, fresh=True) as fresh,
            Flood(a, [(address, port) for port in DENIED.values()], version) as forbidden,
        ):
            for group in itertools.islice(itertools.cycle(DENIED), CHANGES // 2):
                put(group)
        assert eventually(lambda: established.sent - 1 in came["established"].numbers)
        assert eventually(lambda: fresh.sent - 1 in came["fresh"].numbers)
    assert established.sent - len(came["established"].numbers) == 0
    assert fresh.sent - len(came["fresh"].numbers) == 0
    assert {group: came[group].numbers for group in DENIED} == {group: set() for group in DENIED}
    assert min(established.sent, fresh.sent, forbidden.sent) > CHANGES


def came_since(arrivals: Arrivals, before: int) -> bool:
    """Something has come that was not there when there were so many."""
    return len(arrivals.numbers) > before


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
def test_an_address_that_comes_into_a_denied_group_gets_nothing_forbidden(net: Stage, version: int) -> None:
    """Traffic flows at it before it is there; what is allowed arrives as soon as it is."""
    web = [{"id": "applicationSecurityGroups/web"}]
    present = net.declared
    rule = deny("x", 100, "Inbound", "Udp", destination=("web",), ports=str(FORBIDDEN))
    present["networkSecurityGroups/back"]["properties"] = {"securityRules": [rule]}
    configurations = present["networkInterfaces/b"]["properties"]["ipConfigurations"]
    for config in configurations[2:]:
        config["properties"]["applicationSecurityGroups"] = web
    absent = copied(present)
    del absent["networkInterfaces/b"]["properties"]["ipConfigurations"][2:]
    address = configurations[{4: 2, 6: 3}[version]]["properties"]["privateIPAddress"]
    net.run("b", "ip", "addr", "replace", f"{address}/{128 if version == 6 else 32}", "dev", "lo")
    pod = Place(net.lab.vm("b"), {version: address})
    with (
        opened(pod, version, socket.SOCK_DGRAM, UNTOUCHED) as far,
        opened(pod, version, socket.SOCK_DGRAM, FORBIDDEN) as never,
        Arrivals(far) as allowed,
        Arrivals(never) as forbidden,
        Flood(net.places["a"], [(address, UNTOUCHED), (address, FORBIDDEN)], version),
    ):
        for _ in range(CHANGES // 3):
            net.apply(absent)
            before = len(allowed.numbers)
            net.apply(present)
            assert eventually(partial(came_since, allowed, before))
    assert forbidden.numbers == set()
