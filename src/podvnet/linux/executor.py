"""Carries out steps: batched by namespace and channel, undone when one fails.

Steps of the same namespace that follow one another travel in one netlink batch. When a step fails, everything done so
far is taken back in reverse order and the first failure is raised; what could not be taken back is noted on it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from podvnet.linux import namespace, rtnetlink, ruleset
from podvnet.linux.error import KernelError
from podvnet.linux.netlink import ROUTE, NetlinkSocket
from podvnet.linux.nfnetlink import SetSocket
from podvnet.linux.security_text import security_texts
from podvnet.model.kernel import (
    AddressSet,
    Chain,
    Dispatch,
    Element,
    IdleTimeout,
    Junction,
    NetworkNamespace,
    Ruleset,
    Step,
    Sysctl,
)

_CHANNELS = {
    NetworkNamespace: "namespace",
    Sysctl: "sysctl",
    Ruleset: "ruleset",
    AddressSet: "security",
    Chain: "security",
    Dispatch: "security",
    Junction: "security",
    IdleTimeout: "security",
    Element: "element",
}


@dataclass(slots=True)
class Door:
    """The open sockets of one namespace. The sockets are made on first use and kept."""

    descriptor: int
    _route: NetlinkSocket | None = field(default=None)
    _sets: SetSocket | None = field(default=None)

    @property
    def route(self) -> NetlinkSocket:
        """The rtnetlink socket."""
        if self._route is None:
            self._route = namespace.run_inside(self.descriptor, lambda: NetlinkSocket(ROUTE))
        return self._route

    @property
    def sets(self) -> SetSocket:
        """The nftables socket."""
        if self._sets is None:
            self._sets = namespace.run_inside(self.descriptor, SetSocket)
        return self._sets

    def close(self) -> None:
        """Close the sockets and the namespace."""
        if self._route:
            self._route.close()
        if self._sets:
            self._sets.close()
        os.close(self.descriptor)


class Executor:
    """Applies steps to namespaces known by label: those lent to it, else those mounted below /run/netns.

    Not for use by two threads at once: one writer owns the sockets.
    """

    def __init__(self) -> None:
        self._doors: dict[str, Door] = {}

    def door(self, label: str) -> Door:
        """The door of a namespace; opened by its mounted name when it was not lent."""
        found = self._doors.get(label)
        if found is None:
            found = self._doors[label] = Door(os.open(namespace.path(label), os.O_RDONLY | os.O_CLOEXEC))
        return found

    def lend(self, label: str, descriptor: int) -> None:
        """Know an open namespace by ``label``; the descriptor is duplicated."""
        self.forget(label)
        self._doors[label] = Door(os.dup(descriptor))

    @contextlib.contextmanager
    def lent(self, label: str, descriptor: int) -> Iterator[None]:
        """Know an open namespace by ``label`` for the block."""
        self.lend(label, descriptor)
        try:
            yield
        finally:
            self.forget(label)

    def forget(self, label: str) -> None:
        """Close the door of a namespace."""
        found = self._doors.pop(label, None)
        if found:
            found.close()

    def close(self) -> None:
        """Close every door."""
        for label in list(self._doors):
            self.forget(label)

    def apply(self, steps: Sequence[Step], *, converge: bool = False) -> None:
        """Carry out steps in order.

        Args:
            steps: what to add and remove.
            converge: take what is there already as done. Without it an object in the way is an error, which is what a
                new attachment wants. What is gone already needs no removal in either case.

        Raises:
            KernelError, RulesetError: the first failure, after everything was taken back.
        """
        done: list[Step] = []
        try:
            for (label, channel, adding), group in itertools.groupby(steps, key=_batch_of):
                self._group(label, channel, list(group), done, adding=adding, converge=converge)
        except (KernelError, ruleset.RulesetError) as failure:
            for note in self.undo(done):
                failure.add_note(note)
            raise

    def undo(self, done: Sequence[Step]) -> list[str]:
        """Take steps back in reverse order, as far as possible; return what could not be taken back."""
        notes = []
        for (label, channel, adding), group in itertools.groupby((s.inverse() for s in reversed(done)), key=_batch_of):
            members = list(group)
            # What is one transaction is taken back as one.
            for part in [members] if channel == "security" else [[step] for step in members]:
                try:
                    self._group(label, channel, part, [], adding=adding, converge=True)
                except (KernelError, ruleset.RulesetError) as error:
                    notes.append(f"not taken back: {error}")
        return notes

    def _group(
        self, label: str, channel: str, steps: list[Step], done: list[Step], *, adding: bool, converge: bool
    ) -> None:
        objects = [step.object for step in steps]
        match channel:
            case "route":
                self._route(label, steps, done, adding=adding, converge=converge)
                return
            case "element":
                self._elements(label, cast("list[Element]", objects), adding=adding)
            case "security":
                with namespace.entered(self.door(label).descriptor):
                    for number, text in enumerate(security_texts(steps)):
                        ruleset.run(text)
                        if number == 0:
                            done += steps  # should the rest fail, all of it is taken back
                return
            case "ruleset":
                self._rulesets(label, cast("list[Ruleset]", objects), adding=adding)
            case "sysctl":
                if adding:
                    with namespace.entered(self.door(label).descriptor):
                        for setting in cast("list[Sysctl]", objects):
                            write_sysctl(setting)
            case "namespace":
                if adding:
                    namespace.create(label)
                else:
                    self.forget(label)
                    namespace.delete(label)
        done += steps

    def _rulesets(self, label: str, rulesets: list[Ruleset], *, adding: bool) -> None:
        with namespace.entered(self.door(label).descriptor):
            for rules in rulesets:
                if adding:
                    ruleset.replace(rules.tables, rules.text, rules.marker)
                else:
                    ruleset.remove(rules.tables)

    def _route(self, label: str, steps: list[Step], done: list[Step], *, adding: bool, converge: bool) -> None:
        messages, owners = [], []
        for step in steps:
            item = cast("rtnetlink.RtnetlinkObject", step.object)
            encoded = (
                rtnetlink.add(item, lambda name: self.door(name).descriptor, converge=converge)
                if adding
                else rtnetlink.remove(item)
            )
            messages += encoded
            owners += [step] * len(encoded)
        outcome = self.door(label).route.transact(messages)
        failed: dict[Step, KernelError] = {}
        for step, error in zip(owners, outcome, strict=True):
            if error is None or step in failed or (converge and error.is_there if adding else error.is_gone):
                continue
            failed[step] = error
            if adding and not error.is_there:
                done.append(step)  # a link may have been made before one of its settings was refused
        if not failed:
            done += steps  # hashing them is dear, and this is the path of every attachment
            return
        done += [step for step in steps if step not in failed]
        raise next(iter(failed.values()))

    def _elements(self, label: str, elements: list[Element], *, adding: bool) -> None:
        sets = self.door(label).sets
        if adding:
            sets.add(elements)
            return
        try:
            sets.remove(elements)
        except KernelError as error:
            if not error.is_gone:
                raise
            self._remove_singly(sets, elements)

    @staticmethod
    def _remove_singly(sets: SetSocket, elements: list[Element]) -> None:
        """Remove what is there of elements of which some are gone: a transaction would remove none."""
        for element in elements:
            try:
                sets.remove([element])
            except KernelError as error:
                if not error.is_gone:
                    raise


def _batch_of(step: Step) -> tuple[str, str, bool]:
    channel = _CHANNELS.get(type(step.object), "route")
    # Additions and removals of security rules are one transaction.
    return step.namespace, channel, step.add or channel == "security"


_SYSCTLS = Path(os.environ.get("PODVNET_SYSCTLS", "/proc/sys/net"))
"""Where settings are written. A container sees /proc/sys read-only; it can be given the same tree at another place."""


def write_sysctl(item: Sysctl) -> None:
    """Write a setting of the calling thread's namespace; one that this kernel does not have is skipped."""
    target = _SYSCTLS / item.path
    if target.exists() and target.read_text().strip() != item.value:
        try:
            target.write_text(item.value)
        except OSError as error:
            raise KernelError(error.errno or 0, f"set {target} to {item.value}") from error
