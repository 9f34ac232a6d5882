"""Many calls at once on one VM."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from podvnet.runtime.probe import seen_as
from podvnet.testing.cni import Answer, Runtime, Sandbox, address_of, configuration, eventually

CROWD = 50
OTHER_VM = "10.1.2.4"


@pytest.fixture(params=["transparent", "bridge", "tunnel"])
def mode(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def crowd(cni: Runtime) -> Iterator[Runtime]:
    with Runtime(cni.lab, "vm1", hands=CROWD) as runtime:
        yield runtime


def at_once(crowd: Runtime, verb: str, pods: list[Sandbox], mode: str) -> list[Answer]:
    stdin = json.dumps(configuration(mode)).encode()
    started = [crowd.begin(crowd.environment(verb, pod), stdin) for pod in pods]
    return [each.result() for each in started]


def test_fifty_adds_at_once_all_succeed_and_fifty_dels_undo_them(crowd: Runtime, mode: str) -> None:
    crowd.add(crowd.sandbox(), configuration(mode))
    pods = [crowd.sandbox() for _ in range(CROWD)]
    before = crowd.state()
    results = [answer.result for answer in at_once(crowd, "ADD", pods, mode)]
    addresses = [address_of(result) for result in results]
    assert len(set(addresses)) == CROWD
    held = crowd.held()
    assert {address: held[address] for address in addresses} == {
        address: pod.container for address, pod in zip(addresses, pods, strict=True)
    }
    crowd.lab.servers.listen(crowd.lab.vm("vm2"), OTHER_VM)
    try:
        assert [seen_as(pod.descriptor, OTHER_VM) for pod in pods] == addresses
    finally:
        crowd.lab.servers.forget(OTHER_VM)
    assert all(answer.silent for answer in at_once(crowd, "DEL", pods, mode))
    assert eventually(lambda: crowd.state() == before)


def test_the_first_packet_to_a_new_pod_arrives(crowd: Runtime, mode: str) -> None:
    late = []
    for _ in range(CROWD):
        pod = crowd.sandbox()
        address = address_of(crowd.add(pod, configuration(mode)))
        crowd.lab.servers.listen(pod.descriptor, address)
        if seen_as(crowd.lab.vm("vm2"), address, timeout=0.9) != OTHER_VM:  # a second attempt is made after a second
            late.append(address)
        crowd.lab.servers.forget(address)
    assert late == []


def test_the_same_add_many_times_at_once_is_one_attachment(crowd: Runtime, mode: str) -> None:
    pod = crowd.sandbox()
    answers = at_once(crowd, "ADD", [pod] * 20, mode)
    assert len({answer.stdout for answer in answers}) == 1
    assert crowd.held() == {address_of(answers[0].result): pod.container}
    assert len(crowd.pod_links()) == 1


def test_adds_and_dels_mixed_leave_exactly_what_was_added_last(crowd: Runtime) -> None:
    leaving, coming = ([crowd.sandbox() for _ in range(20)] for _ in range(2))
    assert all(answer.code == 0 for answer in at_once(crowd, "ADD", leaving, "transparent"))
    stdin = json.dumps(configuration()).encode()
    pairs = [
        (crowd.begin(crowd.environment("DEL", old), stdin), crowd.begin(crowd.environment("ADD", new), stdin))
        for old, new in zip(leaving, coming, strict=True)
    ]
    addresses = {address_of(added.result().result) for deleted, added in pairs if deleted.result().silent}
    assert len(addresses) == len(coming)
    assert set(crowd.held().values()) == {pod.container for pod in coming}
