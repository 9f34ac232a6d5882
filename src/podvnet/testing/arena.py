"""The evaluator against the kernel: what it says of packets, and where real ones come.

A scenario is built by the fabric's own engine. Every packet is sent from the VM it is drawn for as a frame of its NIC,
and looked for where frames come into VMs and into the internet. Then who got a packet replies, and where the way back
is the same one, rules must not stop the reply. VMs say nothing of their own: their kernels drop what is for them, those
of appliances forward the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path

from podvnet.fabric.arm.power_state import PowerState
from podvnet.fabric.dataplane.linux import LinuxDataplane
from podvnet.fabric.engine import Fabric
from podvnet.fabric.machine import Machine
from podvnet.linux import namespace
from podvnet.linux.executor import Executor
from podvnet.model.intent import Intent, NetworkInterface
from podvnet.model.kernel import (
    InterfaceAddress,
    KernelObject,
    NetworkNamespace,
    Ruleset,
    Step,
    Sysctl,
    host_prefix,
)
from podvnet.plan import names
from podvnet.plan.change import difference
from podvnet.plan.parts import compile_fabric
from podvnet.testing.crossing import Crossing
from podvnet.testing.gateway_stand_in import compile_stand_in, with_gateways
from podvnet.testing.passage import Account, Outcome
from podvnet.testing.scenario import Scenario
from podvnet.testing.wire import Wire

_SILENCE = Ruleset(
    (("inet", "silence"),),
    """
table inet silence {
	chain input {
		type filter hook input priority filter; policy drop;
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
	}
	chain output {
		type filter hook output priority filter; policy drop;
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
	}
}
""",
)
_EVERY_ERROR = Sysctl("ipv4/icmp_ratelimit", "0")
"""The platform says of every datagram that nobody takes it, not only of some."""
_FORWARDING = (
    Sysctl("ipv4/conf/all/rp_filter", "0"),
    Sysctl("ipv4/conf/eth0/rp_filter", "0"),
    Sysctl("ipv4/conf/eth0/accept_local", "1"),
    Sysctl("ipv4/ip_forward", "1"),
    Sysctl("ipv6/conf/all/forwarding", "1"),
)


class _EmptyMachines(LinuxDataplane):
    """VMs without mount namespaces: nothing runs in them here, and making them takes longer than all the rest."""

    def boot(self, labels: set[str], resolvers: Callable[[str], str], started: Callable[[Machine], None]) -> None:
        """Leave it at the network namespace."""


class Arena:
    """An engine in which scenarios are played one after another. Only inside ``podvnet sandbox``.

    Args:
        directory: for the engine's files.
    """

    def __init__(self, directory: Path) -> None:
        run, state = directory / "run", directory / "state"
        run.mkdir()
        self._fabric = Fabric(run, state, (), dataplane=_EmptyMachines(run, state))
        self._fabric.recover()
        self._executor = Executor()
        self._number = 0
        self._gateways: tuple[Step, ...] = ()
        self.account = Account()
        self._prepare({names.INTERNET: [_SILENCE]})

    def close(self) -> None:
        """Take the engine down."""
        self._executor.close()
        self._fabric.down()
        self._fabric.close()

    def check(self, scenario: Scenario) -> None:
        """Play a scenario.

        Raises:
            AssertionError: the evaluator and the kernel disagree; the message holds all that is to be known.
        """
        outcome = self.play(scenario)
        self.account.add(scenario.topology.text, outcome)
        if outcome.wrong:
            shown = "\n\n".join(str(each) for each in outcome.wrong[:3])
            raise AssertionError(
                f"{len(outcome.wrong)} of {len(outcome.passages)} packets go other ways than the evaluator says\n\n"
                f"{scenario.topology.text}\n{shown}\n\ncounters: {outcome.counters}"
            )

    def play(self, scenario: Scenario) -> Outcome:
        """Build the topology, send everything, look where it comes; take the topology down."""
        try:
            intent = self._build(scenario)
            labels = [names.machine_namespace(each.id) for each in intent.machines.values() if each.running]
            labels += [label for label in (names.INTERNET, names.SERVICES) if namespace.exists(label)]
            labels += [names.site_namespace(site.id) for site in intent.sites.values()]
            with Wire(labels) as wire:
                crossing = Crossing(intent, wire, self._number)
                self._number += len(scenario.sendings)
                passages = crossing.run(scenario)
            return Outcome(passages, self._fabric.counters())
        finally:
            self._remove_gateways()
            for label in self._labels():
                self._executor.forget(label)
            self._fabric.apply([])

    def _labels(self) -> list[str]:
        intent = self._fabric.intent
        machines = [names.machine_namespace(each.id) for each in intent.machines.values()]
        return [*machines, *(names.network_namespace(each.id) for each in intent.virtual_networks.values())]

    def _build(self, scenario: Scenario) -> Intent:
        self._fabric.apply(scenario.topology.documents)
        for document in self._fabric.documents:
            if document["name"] in scenario.topology.stopped:
                self._fabric.set_power(document, PowerState.DEALLOCATED)
        probes = {
            balancer.id.name: probe.id
            for balancer in self._fabric.intent.load_balancers.values()
            for probe in balancer.probes
        }
        self._fabric.set_health(frozenset((probes[name], address) for name, address in scenario.topology.healthy))
        intent = self._add_gateways(scenario)
        guests: dict[str, list[KernelObject]] = {}
        for machine in intent.machines.values():
            if machine.running:
                own = guests[names.machine_namespace(machine.id)] = [_SILENCE]
                for nic in intent.machine_nics(machine):
                    own += _appliance(nic) if nic.ip_forwarding else ()
        for network in intent.virtual_networks.values():
            guests[names.network_namespace(network.id)] = [_EVERY_ERROR]
        self._prepare(guests)
        return intent

    def _add_gateways(self, scenario: Scenario) -> Intent:
        """Put plain namespaces where gateways are to be, and give the virtual networks what theirs are."""
        plain = self._fabric.intent
        intent = with_gateways(plain, scenario.topology.gateways, scenario.topology.sites)
        if intent is not plain:
            steps = difference(compile_fabric(plain), compile_stand_in(intent))
            self._executor.apply(steps)
            self._gateways = steps
        return intent

    def _remove_gateways(self) -> None:
        steps, self._gateways = self._gateways, ()
        self._executor.apply([step.inverse() for step in reversed(steps)])
        for label in {step.namespace for step in steps if step.object == NetworkNamespace()}:
            self._executor.forget(label)

    def _prepare(self, guests: dict[str, list[KernelObject]]) -> None:
        self._executor.apply([Step(True, label, item) for label, items in guests.items() for item in items])


def _appliance(nic: NetworkInterface) -> list[KernelObject]:
    """An appliance forwards, and knows its addresses besides the first, which DHCP does not tell."""
    known = {nic.primary(version).address for version in nic.versions}
    others = [each.address for each in nic.ip_configurations if each.address not in known]
    return [
        *(InterfaceAddress(names.GUEST_NIC_INDEX, ip_interface(host_prefix(address))) for address in others),
        *_FORWARDING,
    ]
