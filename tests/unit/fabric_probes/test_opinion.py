"""What is thought of a member after each answer: down first, up at the first success, then by the threshold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.fabric.probes.opinion import Opinion


def thoughts(opinion: Opinion, answers: str, threshold: int) -> str:
    """What is thought after each answer: ``+`` and ``-`` of answers and of thoughts."""
    found = ""
    for each in answers:
        opinion.note(answered=each == "+", threshold=threshold)
        found += "+" if opinion.healthy else "-"
    return found


@pytest.mark.parametrize(
    ("answers", "threshold", "expected"),
    [
        ("---+-", 1, "---+-"),
        ("--+", 3, "--+"),
        ("+--+---++-+++", 3, "++++++-----" + "-+"),
        ("+-+-+-", 2, "++++++"),
        ("+--+-++", 2, "++----+"),
    ],
)
def test_one_success_makes_a_new_member_healthy_and_the_threshold_decides_after(
    answers: str, threshold: int, expected: str
) -> None:
    assert thoughts(Opinion(), answers, threshold) == expected


def test_what_was_found_before_a_restart_falls_by_the_threshold() -> None:
    assert thoughts(Opinion(healthy=True, proven=True), "--+", 2) == "+--"


@given(st.text("+-"), st.integers(1, 5))
def test_a_flip_is_told_and_needs_as_many_in_a_row(answers: str, threshold: int) -> None:
    opinion = Opinion(healthy=True, proven=True)
    for position, each in enumerate(answers):
        before = opinion.healthy
        told = opinion.note(answered=each == "+", threshold=threshold)
        assert told is (opinion.healthy is not before)
        latest = answers[max(0, position - threshold + 1) : position + 1]
        assert not told or latest == each * threshold
