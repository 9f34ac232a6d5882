"""Whatever load balancers there are, no public port is lent twice, nor one at which clients come in."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podvnet.model.flow import TCP, UDP
from podvnet.plan.backends import Backends
from podvnet.plan.outbound_ports import BLOCK, outbound_ports
from podvnet.testing.balancing_draft import BalancingDraft

MEMBERS = 6
PROTOCOLS = st.sampled_from(["Tcp", "Udp"])
PORTS = st.one_of(st.integers(1, 1200), st.integers(1, 65000))


@st.composite
def drafts(draw: st.DrawFn) -> BalancingDraft:
    """One or two public load balancers of one, two or more addresses, and NICs in the pools of some."""
    made = BalancingDraft()
    made.network("hub", "10.0.0.0/16", front="10.0.0.0/16")
    names = ["a", "b"][: draw(st.integers(1, 2))]
    for name in names:
        made.public(f"{name}0", f"203.0.113.{names.index(name) * 16}/{draw(st.sampled_from([30, 31, 32]))}")
        made.public(f"{name}1", f"203.0.113.{names.index(name) * 16 + 8}/32")
        entrances = draw(st.lists(st.tuples(PROTOCOLS, PORTS, st.sampled_from(["", "snat"])), max_size=4))
        first = draw(PORTS)
        rules = {f"r{n}": f"{what} {port} {snat}" for n, (what, port, snat) in enumerate(entrances)}
        span = f"Tcp {first}-{first + draw(st.integers(1, 400))}>22"
        sizes = st.one_of(
            st.just(0), st.integers(1, 8).map(lambda n: n * BLOCK), st.integers(1, 4).map(lambda n: n * 16000)
        )
        outbound = draw(
            st.lists(
                st.tuples(st.sampled_from(["Tcp", "Udp", "All"]), st.sampled_from(["f0", "f0,f1"]), sizes), max_size=3
            )
        )
        texts = {f"o{n}": f"{what} {fronts} {size}" for n, (what, fronts, size) in enumerate(outbound)}
        made.balancer(name, f"{name}0", f"{name}1", rules=rules, nat_rules={"n": span}, outbound=texts)
    for number in range(draw(st.integers(0, MEMBERS))):
        made.nic(f"n{number}", "hub/front", f"10.0.1.{4 + number}", f"10.0.2.{4 + number}", running=draw(st.booleans()))
        for name in names:
            for position in draw(st.sets(st.integers(0, 1))):
                made.join(f"n{number}", name, position)
    return made


@given(drafts())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_ports_are_lent_once_in_whole_blocks_and_never_where_clients_come_in(made: BalancingDraft) -> None:
    backends = Backends(made.intent)
    found = outbound_ports(made.intent, backends)
    taken: set[tuple[object, int, int]] = set()
    for (_, private, protocol), each in found.items():
        assert protocol in {TCP, UDP}
        assert each.address.version == private.version
        assert 1024 <= each.first < each.last <= 65535
        assert each.first % BLOCK == 0
        assert (each.last + 1 - each.first) % BLOCK == 0
        ports = {(each.address, protocol, port) for port in range(each.first, each.last + 1)}
        assert taken.isdisjoint(ports)
        taken |= ports
    for balancer in made.intent.load_balancers.values():
        spans = [(rule.frontend, rule.frontend_port, rule.frontend_port) for rule in balancer.rules]
        spans += [(rule.frontend, rule.first_port, rule.last_port) for rule in balancer.nat_rules]
        for frontend, first, last in spans:
            wanted = next(each for each in balancer.frontends if each.id == frontend)
            for address in backends.addresses(wanted):
                burnt = range(first - first % BLOCK, last - last % BLOCK + BLOCK)
                assert taken.isdisjoint((address, protocol, port) for protocol in (TCP, UDP) for port in burnt)


@given(drafts())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_is_lent_every_time_and_to_first_addresses_of_vms_that_run(made: BalancingDraft) -> None:
    found = outbound_ports(made.intent, Backends(made.intent))
    assert found == outbound_ports(made.intent, Backends(made.intent))
    running = [
        nic for machine in made.intent.machines.values() if machine.running for nic in made.intent.machine_nics(machine)
    ]
    firsts = {nic.primary().address for nic in running}
    assert {address for _, address, _ in found} <= firsts
