"""The VM's tables: written when they are not there, and told who sees a pod's own address.

That are destinations, and for a pod with a public address of its own all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from podvnet.agent.ledger import Ledger
from podvnet.linux import namespace, ruleset
from podvnet.linux.executor import Executor
from podvnet.model.address import Address, Prefix
from podvnet.model.attachment import Node
from podvnet.model.kernel import Step
from podvnet.plan.attachment_program import HOST
from podvnet.plan.node_ruleset import TABLE, network_elements, node_ruleset, public_elements, untranslated


class Egress:
    """Keeps the tables of one VM.

    Args:
        executor: knows the VM's namespace as ``host``.
        ledger: remembers what each network's configuration said.
        pods_may_ask_platform, enforce_groups: see :func:`podvnet.plan.node_ruleset.node_ruleset`.
    """

    def __init__(
        self, executor: Executor, ledger: Ledger, *, pods_may_ask_platform: bool, enforce_groups: bool = False
    ) -> None:
        self._executor = executor
        self._ledger = ledger
        self._pods_may_ask_platform = pods_may_ask_platform
        self._enforce_groups = enforce_groups
        self._written: frozenset[Prefix] | None = None
        self._public: frozenset[Address] | None = None
        self._known: dict[str, tuple[tuple[Prefix, ...], tuple[Prefix, ...], bool]] = {}

    def ensure(self, node: Node, bridge: str) -> bool:
        """Write the tables unless they are there in just this form; tell whether they were written (and so emptied)."""
        rules = node_ruleset(
            node,
            bridge,
            pods_may_ask_platform=self._pods_may_ask_platform,
            enforce_groups=self._enforce_groups,
        )
        sets = self._executor.door(HOST).sets
        there = rules.marker in sets.counters("inet", TABLE)
        if not there:
            self._executor.apply((Step(True, HOST, rules),))
        self._written = self._public = None
        self._translate(node)
        return not there

    def expose(self, addresses: frozenset[Address]) -> None:
        """Leave alone what these pods send, and no others: each has a public address of its own.

        Raises:
            RulesetError: the kernel refused.
        """
        if addresses != self._public:
            with namespace.entered(self._executor.door(HOST).descriptor):
                ruleset.run(public_elements(addresses))
            self._public = addresses

    def follow(
        self, node: Node, network: str, prefixes: Iterable[Prefix], exceptions: Iterable[Prefix], *, bridged: bool
    ) -> None:
        """Take in what a network's configuration says; nothing is done when it says what it said before."""
        said = (tuple(prefixes), tuple(exceptions), bridged)
        if self._known.get(network) == said:
            return
        self._ledger.vm.remember_network(network, said[0], said[1], bridged=bridged)
        self._translate(node)
        kept = {name for name, *_ in self._ledger.vm.networks()}
        self._known = {name: other for name, other in self._known.items() if name in kept} | {network: said}

    def _translate(self, node: Node) -> None:
        prefixes: set[Prefix] = set()
        exceptions: set[Prefix] = set()
        for _, own, other, _ in self._ledger.vm.networks():
            prefixes |= {ip_network(text) for text in own}
            exceptions |= {ip_network(text) for text in other}
        wanted = untranslated(node, prefixes, exceptions)
        if wanted == self._written:
            return
        with namespace.entered(self._executor.door(HOST).descriptor):
            ruleset.run(network_elements(wanted))
        self._written = wanted

    def counters(self) -> dict[str, int]:
        """What the tables have dropped, by reason."""
        sets = self._executor.door(HOST).sets
        found: dict[str, int] = {}
        for family in ("inet", "arp", "bridge"):
            for name, count in sets.counters(family, TABLE).items():
                if not name.startswith("text_"):
                    found[name] = found.get(name, 0) + count
        return found
