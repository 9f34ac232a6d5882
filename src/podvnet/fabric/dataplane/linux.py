"""The data plane of one machine: namespaces, veth pairs, routes and nftables, and the VMs that hang on them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from podvnet.fabric.machine import Machine
from podvnet.linux import namespace, ruleset
from podvnet.linux.conntrack import ConntrackSocket
from podvnet.linux.executor import Executor
from podvnet.linux.observation import Observation
from podvnet.linux.ruleset import RulesetError
from podvnet.model.flow import Flow
from podvnet.model.kernel import (
    AddressSet,
    Chain,
    Dispatch,
    Element,
    IdleTimeout,
    Junction,
    LinkUp,
    NetworkNamespace,
    Program,
    Ruleset,
    Step,
    VethPair,
)
from podvnet.plan import change, names
from podvnet.plan.network_ruleset import ENDED

_RULES = AddressSet | IdleTimeout | Chain | Dispatch | Junction
_IN_TABLES = Element | _RULES
_RULE_COUNTER = re.compile(r'counter packets (\d+) bytes \d+ .*comment "([^"]+)"')
"""One decision in what nft lists. A rule of two families or several groups is several lines with one comment."""


class LinuxDataplane:
    """Carries programs out and keeps VMs up.

    Args:
        run: for what a reboot of the machine ends.
        state: for the disks of VMs.
    """

    def __init__(self, run: Path, state: Path) -> None:
        self._run = run
        self._state = state
        self._executor = Executor()
        self._booted: set[str] = set()

    def machine(self, label: str) -> Machine:
        """The VM whose network namespace has this name."""
        return Machine(label, self._run, self._state)

    def apply(self, steps: tuple[Step, ...]) -> None:
        """Carry out steps, or none of them.

        Raises:
            KernelError, RulesetError: what the kernel refused.
        """
        self._executor.apply(steps)

    def recover(self, program: Program) -> tuple[Step, ...]:
        """Make the kernel hold ``program``, whatever it holds now; return what that took.

        What agrees is not touched, so running traffic does not notice. The inside of a running VM is its own affair.
        """
        self._booted.clear()
        steps = self._differences(program)
        for label in self._strays(program):
            self.machine(label).shut_down()
            self._executor.forget(label)
            namespace.delete(label)
        self._executor.apply(steps, converge=True)
        return steps

    def compare(self, program: Program) -> tuple[Step, ...]:
        """What :meth:`recover` would do; namespaces of ours that nobody wants among it. Nothing is changed."""
        strays = (Step(False, label, NetworkNamespace()) for label in self._strays(program))
        return (*strays, *self._differences(program))

    @staticmethod
    def _strays(program: Program) -> list[str]:
        return sorted(set(namespace.names(names.PREFIX)) - program.keys())

    def _differences(self, program: Program) -> tuple[Step, ...]:
        removals: list[Step] = []
        additions: list[Step] = []
        for label, objects in program.items():
            if not namespace.exists(label):
                additions += (Step(True, label, item) for item in objects)
            elif not label.startswith(names.MACHINE_PREFIX):
                seen = Observation(self._executor.door(label))
                # The near end of a cable whose far end's namespace is gone may linger a moment; it is no use any more.
                dangling = {
                    item for item in objects if isinstance(item, VethPair) and not namespace.exists(item.peer_namespace)
                }
                missing = dangling.union(seen.missing(objects))
                removals += (Step(False, label, item) for item in (*seen.unwanted(objects), *dangling))
                if any(isinstance(item, Ruleset) for item in missing):
                    # Rules of another version are replaced with their sets and chains, so all of those go in anew, and
                    # what was too much of them is gone by then.
                    missing |= {item for item in objects if isinstance(item, _IN_TABLES)}
                    removals = [
                        step for step in removals if step.namespace != label or not isinstance(step.object, _RULES)
                    ]
                if dangling:
                    indexes = {item.index for item in dangling}
                    missing |= {item for item in objects if getattr(item, "index", None) in indexes}
                additions += (Step(True, label, item) for item in missing)
        additions += self._guests_cut_off(program, additions)
        return change.ordered(removals, additions)

    @staticmethod
    def _guests_cut_off(program: Program, additions: list[Step]) -> list[Step]:
        """What DHCP sets in VMs that are still there but lost their NIC."""
        created = {step.namespace for step in additions if step.namespace.startswith(names.MACHINE_PREFIX)}
        plugged = {
            (step.object.peer_namespace, step.object.peer_index)
            for step in additions
            if isinstance(step.object, VethPair) and step.object.peer_namespace not in created
        }
        return [
            Step(True, label, item)
            for label, index in plugged
            for item in program.get(label, frozenset())
            if getattr(item, "index", None) == index and not (isinstance(item, LinkUp) and index == 1)
        ]

    def boot(self, labels: set[str], resolvers: Callable[[str], str], started: Callable[[Machine], None]) -> None:
        """Boot those of the VMs that are not up; ``started`` is called with each that was booted.

        ``resolvers`` gives the text of the ``resolv.conf`` that a VM finds, by its label.

        One that was up is looked at again only after a recovery: looking at every VM would make each change dearer.
        """
        for label in sorted(labels - self._booted):
            machine = self.machine(label)
            if not machine.is_up:
                machine.boot(resolvers(label))
                started(machine)
            self._booted.add(label)

    def shut_down(self, labels: set[str], *, discard: bool) -> None:
        """Shut VMs down; their network namespaces go with the steps that follow."""
        self._booted -= labels
        for label in sorted(labels):
            machine = self.machine(label)
            if discard:
                machine.discard()
            else:
                machine.shut_down()
            self._executor.forget(label)

    def counters(self, label: str) -> dict[str, int]:
        """The named counters of a virtual network's rules."""
        if not namespace.exists(label):
            return {}
        sets = self._executor.door(label).sets
        found = {
            name: count for name, count in sets.counters("inet", "podvnet").items() if not name.startswith("text_")
        }
        for name, count in sets.counters("arp", "podvnet").items():
            if not name.startswith("text_"):
                found[f"{name}_arp"] = count
        return found

    def rule_counters(self, label: str, chain: str) -> dict[str, int]:
        """By name of the rule, the packets that a chain of security rules has decided about; nothing without it."""
        if not namespace.exists(label):
            return {}
        with namespace.entered(self._executor.door(label).descriptor):
            try:
                text = ruleset.run(f"list chain inet {names.TABLE} {chain}")
            except RulesetError:
                return {}
        found: Counter[str] = Counter()
        for count, rule in _RULE_COUNTER.findall(text):
            found[rule] += int(count)
        return dict(found)

    def end_flows(self, label: str, refused: Callable[[list[Flow]], set[Flow]]) -> int:
        """End those connections of a virtual network that ``refused`` picks, let all others go on; return how many.

        They are not forgotten: an answer would be taken for the first packet of a new flow, in the other direction.
        """
        if not namespace.exists(label):
            return 0
        with namespace.run_inside(self._executor.door(label).descriptor, ConntrackSocket) as table:
            connections = list(table.connections())
            ended = refused([each.original for each in connections])
            table.mark((each for each in connections if each.mark and each.original not in ended), 0)
            return table.mark((each for each in connections if each.original in ended and not each.mark), ENDED)

    def forget_flows(self, label: str, unwanted: Callable[[Flow, Flow], bool]) -> int:
        """Forget those connections of a virtual network that ``unwanted`` says, whose next packet begins a new flow.

        It is asked with the first packet of each connection, and with an answer as it comes in, before translation.
        Returns how many are forgotten.
        """
        if not namespace.exists(label):
            return 0
        with namespace.run_inside(self._executor.door(label).descriptor, ConntrackSocket) as table:
            return table.delete([each for each in table.connections() if unwanted(each.original, each.reply)])

    def forget(self, label: str) -> None:
        """Close what is open of a namespace."""
        self._executor.forget(label)

    def close(self) -> None:
        """Close every socket."""
        self._executor.close()
