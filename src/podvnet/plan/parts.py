"""The program of the whole fabric in parts, one a network, VM or NIC, so that a change costs what changes.

A part is compiled again only when what it is made of is another value; the same part object stands for the same
objects in the kernel. Parts hold nothing in common, so the difference of two wholes is that of the parts that differ.
Only when a network's own part changes does everything count, because links that other parts hang on may go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from podvnet.model.intent import Intent, NetworkInterface
from podvnet.model.kernel import Program, Step
from podvnet.plan import names
from podvnet.plan.change import difference, merge
from podvnet.plan.network_program import (
    compile_internet,
    compile_machine,
    compile_network,
    compile_nic,
)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part of the program. ``carries``: other parts' objects hang on links of this one."""

    program: Program
    carries: bool = False


Parts = dict[str, Part]
_Known = dict[str, tuple[tuple[object, ...], Part]]


class PartCompiler:
    """Compiles intents into parts and remembers the last one's."""

    def __init__(self) -> None:
        self._known: _Known = {}

    def compile(self, intent: Intent) -> Parts:
        """The parts of an intent. Values that are the same objects as last time give the same parts."""
        known: _Known = {}
        hosts = tuple(intent.internet_hosts.values())
        self._take(known, "internet", hosts, lambda: compile_internet(hosts), carries=True)
        for key, network in intent.virtual_networks.items():
            self._take(known, f"network {key}", (network,), partial(compile_network, network), carries=True)
        for key, machine in intent.machines.items():
            if not machine.running:
                continue
            self._take(known, f"machine {key}", (machine.id.key,), partial(compile_machine, machine))
            nics = intent.machine_nics(machine)
            for position, nic in enumerate(nics):
                beside = _stands_beside(nic, nics[:position])
                inputs = (
                    intent.virtual_networks[nic.virtual_network.key],
                    nic,
                    names.machine_namespace(machine.id),
                    position,
                    beside,
                )
                self._take(known, f"nic {nic.id.key}", inputs, partial(compile_nic, *inputs))
        self._known = known
        return {key: part for key, (_, part) in known.items()}

    def _take(
        self,
        known: _Known,
        key: str,
        inputs: tuple[object, ...],
        make: Callable[[], Program],
        *,
        carries: bool = False,
    ) -> None:
        before = self._known.get(key)
        if before and len(before[0]) == len(inputs) and all(map(_same, before[0], inputs)):
            known[key] = before
        else:
            known[key] = (inputs, Part(make(), carries))


def whole(parts: Parts) -> Program:
    """The program of all parts."""
    return merge(*(part.program for part in parts.values()))


def compile_fabric(intent: Intent) -> Program:
    """The whole program of an intent."""
    return whole(PartCompiler().compile(intent))


def difference_of_parts(old: Parts, new: Parts) -> tuple[Step, ...]:
    """The steps that turn one whole into another; costs what differs."""
    gone = [part for key, part in old.items() if new.get(key) is not part]
    come = [part for key, part in new.items() if old.get(key) is not part]
    if any(part.carries for part in (*gone, *come)):
        return difference(whole(old), whole(new))
    return difference(merge(*(part.program for part in gone)), merge(*(part.program for part in come)))


def _same(before: object, now: object) -> bool:
    """Identity for what is dear to compare, equality for names and numbers."""
    return before is now or (isinstance(now, str | int) and before == now)


def _stands_beside(nic: NetworkInterface, earlier: tuple[NetworkInterface, ...]) -> bool:
    return any(each.subnet == nic.subnet for each in earlier)
