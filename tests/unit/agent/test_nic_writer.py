"""What the resource manager may answer a write with, and that the pool comes out right whatever it is."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.agent.nic_writer import CertainlyRefusedError, Failed, Nic, SubnetFullError, Written
from podvnet.azure.error import SourceError
from podvnet.azure.nic_document import OWN
from podvnet.azure.resource_manager import RefusedError
from podvnet.model.address import Mac
from podvnet.plan.pool_target import PoolPolicy, Shape, Usage

from .conftest import Bench, FakeArm, LostError, Refusal

THROTTLED = Refusal(429, "TooManyRequests", {"Retry-After": "17"})
LOCKED = Refusal(429, "AnotherOperationInProgress")
CONFLICT = Refusal(409, "Conflict")
BROKEN = Refusal(500, "InternalServerError")


def test_the_first_batch_is_one_write(bench: Bench) -> None:
    outcome = bench.settle()
    assert isinstance(outcome, Written)
    assert (bench.arm.puts, outcome.change.add, len(outcome.pool.addresses)) == (1, 16, 16)
    assert bench.arm.names() == ["primary", *(f"{OWN}{number}" for number in range(1, 17))]
    bench.settle()
    assert bench.arm.puts == 1, "what is as it should be is not written"


def test_a_burst_is_one_write(bench: Bench) -> None:
    bench.usage = Usage(waiting=100)
    bench.settle()
    assert (bench.arm.puts, len(bench.arm.configurations)) == (1, 113)


def test_blocks_are_written_as_blocks_and_bring_sixteen_addresses_each() -> None:
    bench = Bench(policy=PoolPolicy(Shape.BLOCK), usage=Usage(waiting=40))
    outcome = bench.settle()
    assert isinstance(outcome, Written)
    assert len(outcome.pool.addresses) == 48
    assert [each["properties"]["privateIPAddressPrefixLength"] for each in bench.arm.configurations[1:]] == [28] * 3


def test_throttling_is_waited_for_as_long_as_the_answer_says(bench: Bench) -> None:
    bench.arm.script.extend([THROTTLED, THROTTLED])
    assert isinstance(bench.settle(), Written)
    assert bench.waits == [pytest.approx(18.7)] * 2
    assert bench.arm.puts == 3


def test_a_retry_after_of_zero_is_no_reason_to_hurry(bench: Bench) -> None:
    bench.arm.script.extend([replace(THROTTLED, headers={"Retry-After": "0"})] * 4)
    bench.settle()
    assert bench.waits == [1, 2, 4, 8]


@pytest.mark.parametrize("refusal", [BROKEN, CONFLICT, LOCKED, Refusal(503, "ServiceUnavailable"), Refusal(408, "")])
def test_passing_failures_are_tried_again_ever_more_slowly(bench: Bench, refusal: Refusal) -> None:
    bench.arm.script.extend([refusal] * 8)
    assert isinstance(bench.settle(), Written)
    assert bench.waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(bench.arm.configurations) == 17


def test_a_nic_that_somebody_else_changed_is_read_again_at_once_and_keeps_what_is_theirs(bench: Bench) -> None:
    bench.arm.script.append(lambda: bench.arm.add("theirs"))
    assert isinstance(bench.settle(), Written)
    assert bench.waits == []
    assert bench.arm.names()[:2] == ["primary", "theirs"]
    assert len(bench.arm.names()) == 17, "theirs is one of the sixteen"


def test_a_nic_that_changes_all_the_time_is_left_alone_for_a_while(bench: Bench) -> None:
    def meddle() -> None:
        bench.arm.etag += 1

    bench.arm.script.extend([meddle] * 6)
    assert isinstance(bench.settle(), Written)
    assert bench.waits == [1]
    assert bench.arm.puts == 7


def test_a_write_whose_answer_was_lost_is_not_made_twice(bench: Bench) -> None:
    bench.arm.script.append(LostError())
    assert isinstance(bench.settle(), Written)
    assert bench.waits == [1]
    assert (bench.arm.puts, len(bench.arm.configurations)) == (1, 17)


def test_a_full_subnet_is_filled_by_halves_and_then_named(bench: Bench) -> None:
    bench.arm.room, bench.patience = 5, 1
    outcome = bench.settle()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, SubnetFullError)
    assert "SubnetIsFull" in outcome.error.message
    assert "larger" in outcome.error.remedy
    assert (len(bench.arm.configurations) - 1, bench.arm.room) == (5, 0)
    assert bench.arm.puts <= 6
    assert bench.waits == [60]


def test_addresses_are_still_given_back_while_the_subnet_is_full() -> None:
    bench = Bench(patience=1)
    bench.settle()
    first = ip_address(bench.arm.configurations[1]["properties"]["privateIPAddress"])
    bench.arm.room = 0
    bench.usage = Usage(withdrawn=frozenset({first}))
    assert isinstance(bench.settle(), Written)
    assert len(bench.arm.configurations) == 16
    assert f"{OWN}1" not in bench.arm.names()


def test_a_refusal_for_good_is_told_with_what_to_do_and_not_repeated_soon(bench: Bench) -> None:
    bench.arm.script.append(Refusal(403, "AuthorizationFailed"))
    assert isinstance(bench.settle(), Written)
    failed = bench.outcomes[0]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, CertainlyRefusedError)
    assert not failed.error.retryable
    assert "Network Contributor" in failed.error.remedy
    assert bench.waits == [60]


def test_a_bug_does_not_end_the_thread(bench: Bench) -> None:
    nics = iter([KeyError("subnet")])
    found = bench.writer._connect

    def connect(mac: Mac) -> Nic:
        for bug in nics:
            raise bug
        return found(mac)

    bench.writer._connect = connect
    assert isinstance(bench.settle(), Written)
    failed = bench.outcomes[0]
    assert isinstance(failed, Failed)
    assert "KeyError" in failed.error.message


def test_the_pool_shrinks_to_what_is_needed_and_others_configurations_stay(bench: Bench) -> None:
    bench.usage = Usage(waiting=60)
    bench.settle()
    bench.arm.add("theirs")
    bench.usage = Usage()
    outcome = bench.settle()
    assert isinstance(outcome, Written)
    assert (bench.arm.puts, len(outcome.pool.addresses)) == (2, 16)
    assert "theirs" in bench.arm.names()


failures = st.sampled_from(
    [None, THROTTLED, LOCKED, CONFLICT, BROKEN, Refusal(403, "AuthorizationFailed"), LostError()]
)


@given(st.lists(failures, max_size=12), st.lists(st.integers(0, 250), min_size=1, max_size=4))
def test_whatever_fails_in_whatever_order_the_nic_ends_as_it_should(
    script: list[Refusal | LostError | None], demands: list[int]
) -> None:
    bench = Bench(arm=FakeArm(script=deque(script)))
    for waiting in demands:
        bench.usage = Usage(waiting=waiting)
        outcome = bench.settle()
        assert isinstance(outcome, Written)
        assert not bench.decide(outcome.pool)
        assert len(outcome.pool.addresses) == len(bench.arm.configurations) - 1 <= 250
        assert bench.arm.names()[0] == "primary"
    assert all(0.5 <= wait <= 60 for wait in bench.waits)
    assert len(bench.waits) <= len(script)


def test_errors_say_whether_they_pass() -> None:
    passing = {
        status: RefusedError("", "", status, "", None).retryable for status in (400, 403, 404, 409, 412, 429, 500)
    }
    assert passing == {400: False, 403: False, 404: False, 409: True, 412: True, 429: True, 500: True}
    assert issubclass(RefusedError, SourceError)
