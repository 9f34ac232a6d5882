"""Security groups between the pods of one VM, enforced by the VM: the half that runs in the agent's thread.

Traffic between pods of one VM never reaches the virtual network in the mode ``transparent``, so the network's groups do
not see it. Here the VM's own tables do what they would do. Until it is known what they say, pods of the VM can begin
nothing with one another; what was known once holds until something else is known, over restarts of the agent too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

from podvnet.agent.group_watcher import GroupWatcher
from podvnet.agent.ledger import Ledger
from podvnet.azure.error import SourceError
from podvnet.linux.error import KernelError
from podvnet.linux.executor import Executor
from podvnet.linux.ruleset import RulesetError
from podvnet.model.address import Mac
from podvnet.model.attachment import Mode
from podvnet.model.nic_security import NicSecurity
from podvnet.model.security import SecurityGroup
from podvnet.plan.attachment_program import HOST
from podvnet.plan.enforced_groups import group_steps
from podvnet.plan.node_ruleset import CLOSED, TABLE
from podvnet.plugin.error import CniError, Code

_UNENFORCEABLE = Mode.BRIDGE
"""Frames between pods of one bridge pass no rules that know connections."""
_OTHER_MODES = (
    "use the mode transparent, where the VM enforces groups, or tunnel, where the virtual network does; or run the"
    " agent without --enforce-groups"
)

_log = structlog.get_logger()


class Enforcement:
    """Keeps the rules between pods.

    Args:
        executor: knows the VM's namespace as ``host``.
        ledger: knows the pods.
        read: asks, in another thread, what filters the NIC with a MAC.
        interval: seconds between questions.
    """

    def __init__(self, executor: Executor, ledger: Ledger, read: Callable[[Mac], NicSecurity], interval: float) -> None:
        self._executor = executor
        self._ledger = ledger
        self._watcher = GroupWatcher(read, self._delivered, interval)
        self._known: NicSecurity | None = None
        self._written: NicSecurity | None = None
        self._heard = 0.0
        self._closed = True
        self._obstacle = SourceError(
            "the resource manager has not answered yet", "wait a moment; the agent's log has what it waits for", True
        )
        self._failing = True

    def start(self, submit: Callable[[Callable[[], None]], None]) -> None:
        """Start asking; ``submit`` runs something in the agent's thread."""
        self._submit = submit
        self._watcher.start()

    def stop(self) -> None:
        """Stop asking."""
        self._watcher.stop()

    def stand(self, mac: Mac, *, emptied: bool) -> None:
        """The VM's tables are there: write what is known, and ask about the NIC with this MAC.

        Raises:
            KernelError, RulesetError: the kernel refused.
        """
        if emptied:
            self._written = None
        self._closed = CLOSED in self._chains()
        self._write()
        self._watcher.ask(mac)
        if left := self._unenforceable():
            _log.error("groups_not_enforced", pods=left, remedy=_OTHER_MODES)

    def admit(self, mode: Mode) -> None:
        """Tell whether a pod may be attached in a mode.

        Raises:
            CniError: groups cannot be enforced there.
        """
        if mode is _UNENFORCEABLE:
            raise CniError(
                Code.INVALID_CONFIG,
                f"mode {str(mode)!r}: this VM's agent enforces security groups between pods, which it cannot between"
                " ports of a bridge",
                _OTHER_MODES,
            )

    def check(self) -> None:
        """Tell whether groups are enforced and their rules are known, for STATUS.

        Raises:
            CniError: not so. ADD is served all the same: a pod has more to talk to than the pods of its VM.
        """
        if left := self._unenforceable():
            raise CniError(
                Code.NOT_AVAILABLE_AND_PODS_SUFFER,
                f"security groups are not enforced between {len(left)} pods that are attached in the mode"
                f" {_UNENFORCEABLE}: {', '.join(left[:3])}{', …' * (len(left) > 3)}",
                f"delete them, and {_OTHER_MODES}",
            )
        if self._closed:
            raise CniError(
                Code.NOT_AVAILABLE_AND_PODS_SUFFER,
                "pods of this VM cannot reach one another: the rules of its NIC's security groups are not known:"
                f" {self._obstacle.message}",
                self._obstacle.remedy,
            )

    def _unenforceable(self) -> list[str]:
        """The attached pods between which groups should be enforced and cannot be."""
        rows = (row for row in self._ledger.rows() if not row.ipam_only and row.attachment.mode is _UNENFORCEABLE)
        return [row.pod or str(row.attachment.key) for row in rows]

    def report(self) -> dict[str, Any]:
        """How enforcement stands, for JSON."""
        known = self._written
        return {
            "closed": self._closed,
            "nicGroup": _name(known.nic) if known else "",
            "subnetGroup": _name(known.subnet) if known else "",
            "age": round(time.monotonic() - self._heard, 1) if known else None,
            "obstacle": self._obstacle.message if self._failing else "",
            "remedy": self._obstacle.remedy if self._failing else "",
        }

    def _chains(self) -> set[str]:
        return self._executor.door(HOST).sets.chains("inet", TABLE)

    def _delivered(self, answer: NicSecurity | SourceError) -> None:
        self._submit(lambda: self._take_in(answer))

    def _take_in(self, answer: NicSecurity | SourceError) -> None:
        if isinstance(answer, SourceError):
            self._failed(answer)
            return
        self._known, self._heard = answer, time.monotonic()
        try:
            self._write()
        except (KernelError, RulesetError) as error:
            self._failed(
                SourceError(f"the rules between pods could not be written: {error}", "see `podvnet doctor`", True)
            )
        else:
            self._failing = False

    def _failed(self, error: SourceError) -> None:
        self._obstacle, self._failing = error, True
        _log.warning("groups_not_followed", reason=error.message, remedy=error.remedy, closed=self._closed)

    def _write(self) -> None:
        """Make the rules what is known; nothing is done when they are."""
        if self._known is None or self._known == self._written:
            return
        self._executor.apply(group_steps(self._known, self._chains()))
        self._written, self._closed = self._known, False
        _log.info("groups_written", nic=_name(self._known.nic), subnet=_name(self._known.subnet))


def _name(group: SecurityGroup | None) -> str:
    return str(group.id) if group else ""
