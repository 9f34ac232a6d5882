from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.address import Mac
from podvnet.model.kernel import (
    LOOPBACK,
    AddressSet,
    BridgeEntry,
    Chain,
    Dispatch,
    Element,
    InterfaceAddress,
    KernelObject,
    LinkUp,
    Neighbour,
    NetworkNamespace,
    Program,
    Route,
    Ruleset,
    Step,
    Sysctl,
    VethPair,
)
from podvnet.plan.change import difference, merge, ordered

MAC = Mac("00:0d:3a:00:00:01")
CABLE = VethPair("nic1", 1001, MAC, "vm", "eth0", 2, MAC)
SETTING = Sysctl("ipv4/ip_forward", "1")
RULES = Ruleset((("inet", "podvnet"),), "table inet podvnet { }")
ELEMENT = Element("inet", "podvnet", "owned4", b"\x01")
ADDRESS = InterfaceAddress(1001, ip_interface("10.0.0.4/24"))
NEIGHBOUR = Neighbour(1001, ip_address("10.0.0.4"), MAC)
ENTRY = BridgeEntry(1001, MAC)
NEAR = Route(ip_network("10.0.0.1/32"), 1001)
FAR = Route(ip_network("0.0.0.0/0"), 1001, ip_address("10.0.0.1"))

IN_ORDER: tuple[KernelObject, ...] = (
    NetworkNamespace(),
    SETTING,
    RULES,
    ELEMENT,
    CABLE,
    LinkUp(1001),
    ADDRESS,
    NEIGHBOUR,
    NEAR,
    FAR,
)


def program(**namespaces: object) -> Program:
    made: Program = {}
    for name, objects in namespaces.items():
        assert isinstance(objects, tuple)
        made[name] = frozenset(objects)
    return made


def applied(old: Program, steps: tuple[Step, ...]) -> Program:
    """Apply steps as set operations; a namespace that goes takes what it holds with it."""
    held = {name: set(objects) for name, objects in old.items()}
    for step in steps:
        place = held.setdefault(step.namespace, set())
        if step.add:
            assert step.object not in place, step
            place.add(step.object)
        else:
            assert step.object in place, step
            place.discard(step.object)
            if isinstance(step.object, NetworkNamespace):
                place.clear()
    return {name: frozenset(objects) for name, objects in held.items() if objects}


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param(NetworkNamespace(), SETTING, id="the namespace is first"),
        pytest.param(SETTING, CABLE, id="settings before links, which inherit them"),
        pytest.param(RULES, ELEMENT, id="a table before its elements"),
        pytest.param(RULES, CABLE, id="rules before links"),
        pytest.param(ELEMENT, CABLE, id="elements before links"),
        pytest.param(CABLE, LinkUp(1001), id="a link before it is up"),
        pytest.param(LinkUp(1001), ADDRESS, id="up before its addresses"),
        pytest.param(LinkUp(1001), NEIGHBOUR, id="up before its neighbours"),
        pytest.param(CABLE, ENTRY, id="a port before its bridge entries"),
        pytest.param(ADDRESS, NEAR, id="addresses before routes"),
        pytest.param(NEIGHBOUR, NEAR, id="neighbours before routes"),
        pytest.param(NEAR, FAR, id="the route of a next hop before routes by it"),
    ],
)
def test_order(earlier: KernelObject, later: KernelObject) -> None:
    added = difference({}, program(net=(later, earlier)))
    assert added == (Step(True, "net", earlier), Step(True, "net", later))
    removed = ordered([Step(False, "net", earlier), Step(False, "net", later)], [])
    assert removed == (Step(False, "net", later), Step(False, "net", earlier))


def test_the_whole_order() -> None:
    assert tuple(step.object for step in difference({}, program(net=IN_ORDER))) == IN_ORDER
    kept = IN_ORDER[1:]
    removed = difference(program(net=IN_ORDER), program(net=(NetworkNamespace(),)))
    assert tuple(step.object for step in removed) == kept[::-1]


def test_namespaces_come_before_anything_in_any_of_them() -> None:
    steps = difference({}, program(a=(NetworkNamespace(), CABLE), vm=(NetworkNamespace(), LinkUp(2))))
    assert {step.namespace for step in steps[:2] if step.object == NetworkNamespace()} == {"a", "vm"}


def test_removals_come_before_additions() -> None:
    old, new = program(net=(NetworkNamespace(), NEAR)), program(net=(NetworkNamespace(), replace(NEAR, index=1002)))
    assert difference(old, new) == (Step(False, "net", NEAR), Step(True, "net", replace(NEAR, index=1002)))


def test_nothing_changes_when_nothing_differs() -> None:
    assert difference(program(net=IN_ORDER), program(net=IN_ORDER)) == ()
    assert difference({}, {}) == ()


def test_a_namespace_that_goes_takes_what_it_holds_with_it() -> None:
    assert difference(program(net=IN_ORDER), {}) == (Step(False, "net", NetworkNamespace()),)


def test_a_cable_out_of_a_namespace_that_goes_is_removed_by_itself() -> None:
    # Its other end, in a namespace that stays, may be in the way of the next one's.
    old = program(net=IN_ORDER, vm=(NetworkNamespace(),))
    steps = difference(old, program(vm=(NetworkNamespace(),)))
    assert steps == (Step(False, "net", CABLE), Step(False, "net", NetworkNamespace()))


MADE_ANEW = replace(CABLE, peer_name="eth1")


@pytest.mark.parametrize(
    ("namespace", "item", "expected"),
    [
        pytest.param("net", LinkUp(1001), True, id="near end: up"),
        pytest.param("net", NEIGHBOUR, True, id="near end: neighbour"),
        pytest.param("net", NEAR, True, id="near end: route"),
        pytest.param("net", ADDRESS, True, id="near end: address"),
        pytest.param("net", ENTRY, True, id="near end: bridge entry"),
        pytest.param("vm", LinkUp(2), True, id="far end: up"),
        pytest.param("vm", InterfaceAddress(2, ADDRESS.interface), True, id="far end: address"),
        pytest.param("vm", LinkUp(LOOPBACK), False, id="far end: another link"),
        pytest.param("net", LinkUp(1002), False, id="near end: another link"),
        pytest.param("vm", LinkUp(1001), False, id="the near end's index elsewhere"),
        pytest.param("net", ELEMENT, False, id="elements stand by themselves"),
    ],
)
def test_what_hangs_on_a_link_that_is_made_anew_is_made_anew(
    namespace: str, item: KernelObject, expected: bool
) -> None:
    old = merge(program(net=(NetworkNamespace(), CABLE), vm=(NetworkNamespace(),)), {namespace: frozenset({item})})
    new = merge(program(net=(NetworkNamespace(), MADE_ANEW), vm=(NetworkNamespace(),)), {namespace: frozenset({item})})
    steps = difference(old, new)
    assert (Step(False, namespace, item) in steps) == expected
    assert (Step(True, namespace, item) in steps) == expected
    if expected:
        assert steps.index(Step(False, namespace, item)) < steps.index(Step(False, "net", CABLE))
        assert steps.index(Step(True, "net", MADE_ANEW)) < steps.index(Step(True, namespace, item))
    assert applied(old, steps) == new


def test_a_far_end_is_made_anew_for_the_next_namespace() -> None:
    # A virtual network is replaced by another, which gets its number: the internet's end has the same index.
    internet = (NetworkNamespace(), LinkUp(2))
    old = program(internet=internet, hub=(NetworkNamespace(), replace(CABLE, peer_namespace="internet")))
    new = program(internet=internet, spoke=(NetworkNamespace(), replace(CABLE, peer_namespace="internet")))
    added = [(step.namespace, step.object) for step in difference(old, new) if step.add]
    assert added[-1] == ("internet", LinkUp(2))


OBJECTS: st.SearchStrategy[KernelObject] = st.one_of(
    st.just(SETTING),
    st.just(RULES),
    st.builds(lambda number: Element("inet", "podvnet", "owned4", bytes([number])), st.integers(0, 3)),
    st.builds(lambda i, far: replace(CABLE, index=i, peer_index=far), st.integers(1001, 1003), st.integers(2, 3)),
    st.builds(LinkUp, st.integers(1, 3) | st.integers(1001, 1003)),
    st.builds(lambda i: replace(NEAR, index=i), st.integers(1001, 1003)),
    st.builds(lambda i: replace(FAR, index=i), st.integers(1001, 1003)),
    st.builds(lambda i: replace(NEIGHBOUR, index=i), st.integers(1001, 1003)),
)
HELD = st.frozensets(OBJECTS, max_size=8).map(lambda held: held | {NetworkNamespace()})
NAMES = st.sampled_from(["net", "vm", "internet"])
PROGRAMS: st.SearchStrategy[Program] = st.dictionaries(NAMES, HELD)
FULL_PROGRAMS: st.SearchStrategy[Program] = st.fixed_dictionaries({"net": HELD, "vm": HELD})


@given(PROGRAMS, PROGRAMS)
def test_the_difference_turns_the_old_into_the_new(old: Program, new: Program) -> None:
    assert applied(old, difference(old, new)) == new


@given(FULL_PROGRAMS, FULL_PROGRAMS)
def test_its_inverse_turns_the_new_into_the_old(old: Program, new: Program) -> None:
    steps = difference(old, new)
    there = applied(old, steps)
    assert applied(there, tuple(step.inverse() for step in reversed(steps))) == old


@given(PROGRAMS, PROGRAMS)
def test_every_removal_precedes_every_addition(old: Program, new: Program) -> None:
    adds = [step.add for step in difference(old, new)]
    assert adds == sorted(adds)


@given(PROGRAMS, PROGRAMS)
def test_merge_holds_what_either_does(one: Program, other: Program) -> None:
    both = merge(one, other)
    assert both.keys() == one.keys() | other.keys()
    for name, objects in both.items():
        assert objects == one.get(name, frozenset()) | other.get(name, frozenset())
    assert merge(other, one) == both


OLD_SET, NEW_SET = AddressSet("podvnet", "asg-old", 4), AddressSet("podvnet", "asg-new", 4)
OLD_MEMBER, NEW_MEMBER = (Element("inet", "podvnet", each.name, b"\x01") for each in (OLD_SET, NEW_SET))
OLD_CHAIN, NEW_CHAIN = Chain("podvnet", "nsg-old", ""), Chain("podvnet", "nsg-new", "")
OLD_JUMP, NEW_JUMP = (Dispatch("podvnet", "to_nic", 1001, each.name) for each in (OLD_CHAIN, NEW_CHAIN))


def test_security_rules_change_between_the_filling_of_new_sets_and_the_end_of_old_ones() -> None:
    old: Program = {"vnet": frozenset({OLD_SET, OLD_MEMBER, OLD_CHAIN, OLD_JUMP})}
    new: Program = {"vnet": frozenset({NEW_SET, NEW_MEMBER, NEW_CHAIN, NEW_JUMP, CABLE, NEAR})}
    steps = difference(old, new)
    objects = [step.object for step in steps]
    assert objects[:2] == [NEW_SET, NEW_MEMBER], "what new chains ask is there before them"
    assert set(objects[2:6]) == {OLD_CHAIN, OLD_JUMP, NEW_CHAIN, NEW_JUMP}, "one run, so one transaction"
    assert objects[6:8] == [OLD_MEMBER, OLD_SET], "what old chains ask goes after them"
    assert objects[8:] == [CABLE, NEAR], "no port before its rules"


def test_a_port_goes_before_its_rules() -> None:
    old: Program = {"vnet": frozenset({OLD_CHAIN, OLD_JUMP, CABLE, NEAR})}
    objects = [step.object for step in difference(old, {"vnet": frozenset()})]
    assert objects.index(CABLE) < objects.index(OLD_JUMP)
