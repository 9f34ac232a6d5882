"""The program in parts: the same whole, and a difference that costs what differs."""

from __future__ import annotations

from dataclasses import replace

from podvnet.model.intent import Intent
from podvnet.model.resource_id import Scope, make
from podvnet.model.security import Direction, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.plan.change import difference
from podvnet.plan.parts import PartCompiler, difference_of_parts, whole


def other(intent: Intent) -> Intent:
    """The intent with an IP-forwarding NIC where the first one was."""
    key, nic = next(iter(intent.nics.items()))
    nics = intent.nics | {key: replace(nic, ip_forwarding=not nic.ip_forwarding)}
    return replace(intent, nics=nics)


def test_parts_hold_nothing_in_common(intent: Intent) -> None:
    parts = PartCompiler().compile(intent)
    pieces = [(label, item) for part in parts.values() for label, objects in part.program.items() for item in objects]
    assert len(pieces) == len(set(pieces))
    assert sum(len(objects) for objects in whole(parts).values()) == len(pieces)


def test_what_did_not_change_is_not_compiled_again(intent: Intent) -> None:
    compiler = PartCompiler()
    first, second = compiler.compile(intent), compiler.compile(other(intent))
    changed = {key for key in first if first[key] is not second[key]}
    changed_nic = next(iter(intent.nics))
    assert changed == {f"nic {changed_nic}", f"public {changed_nic}"}
    assert compiler.compile(other(intent)).keys() == first.keys()


def test_the_difference_is_that_of_the_wholes(intent: Intent) -> None:
    compiler = PartCompiler()
    first, second = compiler.compile(intent), compiler.compile(other(intent))
    assert difference_of_parts(first, second) == difference(whole(first), whole(second))
    assert difference_of_parts(first, second)
    assert difference_of_parts(first, first) == ()
    assert difference_of_parts({}, first) == difference({}, whole(first))
    assert difference_of_parts(first, {}) == difference(whole(first), {})


def test_a_changed_rule_compiles_no_nic_again(intent: Intent) -> None:
    """So that its cost does not grow with the addresses that NICs have."""
    scope = next(iter(intent.virtual_networks.values())).id
    guard = make(Scope(scope.subscription, scope.resource_group), "Microsoft.Network/networkSecurityGroups", "guard")
    nics = {key: replace(nic, security_group=guard) for key, nic in intent.nics.items()}

    def with_rule(*, allow: bool) -> Intent:
        rule = SecurityRule("securityRules/x", 100, Direction.INBOUND, allow, Protocol.ANY, Side(), Side())
        return replace(intent, nics=nics, security_groups={guard.key: SecurityGroup(guard, (rule,))})

    compiler = PartCompiler()
    first, second = compiler.compile(with_rule(allow=True)), compiler.compile(with_rule(allow=False))
    changed = {key.split()[0] for key in first.keys() | second.keys() if first.get(key) is not second.get(key)}
    assert changed == {"guard", "chain"}
