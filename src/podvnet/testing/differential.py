"""The evaluator against the kernel, for as many topologies as are asked for."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, seed, settings

from podvnet.testing.arena import Arena
from podvnet.testing.drawn_flow import scenarios
from podvnet.testing.scenario import Scenario

PACKETS = 60
"""In each topology."""
_ROUND = 10
"""What hypothesis draws in one go is soon more of the same: it varies what it had before."""
_CHECKS_OF_SPEED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)


def compare(arena: Arena, topologies: int, first: int, *, shrink: bool = True) -> None:
    """Play scenarios in an arena until so many different topologies have been in it.

    Args:
        arena: where; its account has the figures afterwards.
        topologies: how many.
        first: which ones: the same number draws the same scenarios.
        shrink: find the smallest scenario with the same outcome before it is reported.

    Raises:
        AssertionError: the evaluator and the kernel disagree.
    """
    while len(arena.account.topologies) < topologies:
        _play_round(arena, topologies, first, shrink=shrink)
        first += 1


def _play_round(arena: Arena, topologies: int, number: int, *, shrink: bool) -> None:
    @seed(number)
    @settings(
        max_examples=min(_ROUND, topologies - len(arena.account.topologies) + 1),
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=_CHECKS_OF_SPEED,
    )
    @given(scenarios(PACKETS))
    def play(scenario: Scenario) -> None:
        arena.check(scenario)

    play()
