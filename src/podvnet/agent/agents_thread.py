"""Decisions for the writer's thread, made in the agent's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from ipaddress import IPv4Address
from typing import TypeVar

from podvnet.agent.grant_writer import Decider
from podvnet.azure.error import SourceError
from podvnet.model.nic_membership import NicMembership
from podvnet.plan.grant_change import GrantChange

_T = TypeVar("_T")


class InAgentsThread:
    """A decider whose every answer another gives in the agent's thread.

    Args:
        decider: the other.
        submit: runs something in the agent's thread.
    """

    def __init__(self, decider: Decider, submit: Callable[[Callable[[], None]], None]) -> None:
        self._decider = decider
        self._submit = submit

    def decide(self, nic: NicMembership) -> GrantChange:
        """See :class:`~podvnet.agent.grant_writer.Decider`, as for the others."""
        return self._there(lambda: self._decider.decide(nic))

    def discarded(self, name: str) -> None:
        """A public address is gone."""
        self._there(lambda: self._decider.discarded(name))

    def refused(self, address: IPv4Address, error: SourceError) -> bool:
        """What is asked for an address is refused."""
        return self._there(lambda: self._decider.refused(address, error))

    def failed(self, error: SourceError | None, wait: float) -> None:
        """The writer waits, or is content."""
        self._there(lambda: self._decider.failed(error, wait))

    def _there(self, action: Callable[[], _T]) -> _T:
        done: Future[_T] = Future()

        def act() -> None:
            try:
                done.set_result(action())
            except Exception as error:  # noqa: BLE001 - it is raised in the writer's thread, which logs it and goes on
                done.set_exception(error)

        self._submit(act)
        return done.result()
