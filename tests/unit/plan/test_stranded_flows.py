"""Which flows end when a member fails its probe or is taken out of rotation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from podvnet.model.intent import Intent
from podvnet.model.resource_id import ResourceId
from podvnet.plan.stranded_flows import Way, is_stranded, stranded
from podvnet.testing.balancing_draft import BalancingDraft
from podvnet.testing.draft import Draft, network_id

HUB = network_id("virtualNetworks", "hub")
FRONT = "10.0.1.100"
ONE, TWO = "10.0.1.4", "10.0.1.5"


def drafted(*healthy: str, rule: str = "Udp 53>5353 probe", pool: str = "", all_up: bool = False) -> Intent:
    """Two members behind an internal frontend; those that are ``healthy`` answer the probe."""
    made = BalancingDraft()
    made.network("hub", "10.0.0.0/16", front="10.0.1.0/24")
    made.balancer("lb", f"hub/front {FRONT}", pool=pool, all_up=all_up, rules={"r": rule})
    for name, address in (("one", ONE), ("two", TWO)):
        made.nic(name, "hub/front", address)
        if not pool:
            made.join(name, "lb")
    made.healthy("lb", *healthy)
    return made.intent


def ways(found: dict[ResourceId, set[Way]]) -> set[str]:
    assert found.keys() <= {HUB}
    return {f"{protocol} {address}:{port} > {member}" for protocol, address, port, member in found.get(HUB, set())}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (drafted(TWO), {f"17 {FRONT}:53 > {ONE}"}),
        (drafted(), {f"17 {FRONT}:53 > {ONE}", f"17 {FRONT}:53 > {TWO}"}),
        (drafted(all_up=True), set()),
        (drafted(TWO, rule="Tcp 80 probe"), set()),
        (drafted(TWO, rule="All 0 probe"), {f"17 {FRONT}:0 > {ONE}"}),
        (drafted(TWO, rule="Udp 53>5353"), set()),
        (drafted(ONE, TWO, pool=f"hub {ONE}=Down {TWO}"), {f"17 {FRONT}:53 > {ONE}"}),
        (
            drafted(ONE, TWO, rule="All 0 probe", pool=f"hub {ONE}=Down {TWO}"),
            {f"6 {FRONT}:0 > {ONE}", f"17 {FRONT}:0 > {ONE}"},
        ),
        (drafted(TWO, pool=f"hub {ONE}=Up {TWO}"), set()),
    ],
    ids=["one down", "all down", "all down is all up", "TCP stays", "HA ports", "no probe", "out of rotation",
         "out of rotation ends TCP too", "up whatever the probe says"],
)  # fmt: skip
def test_who_loses_flows(now: Intent, expected: set[str]) -> None:
    assert ways(stranded(Intent(), now)) == expected


def test_a_member_whose_vm_stops_is_left() -> None:
    before = drafted(ONE, TWO)
    stopped = {key: replace(each, running=each.id.name != "one-vm") for key, each in before.machines.items()}
    after = replace(before, machines=stopped)
    assert ways(stranded(before, after)) == {f"17 {FRONT}:53 > {ONE}"}
    assert (
        stranded(after, replace(after, healthy=frozenset(each for each in after.healthy if str(each[1]) == TWO))) == {}
    )


def test_only_what_has_changed_is_looked_at() -> None:
    now = drafted(TWO)
    assert stranded(now, now) == {}
    assert stranded(replace(now, healthy=frozenset()), now)
    assert stranded(replace(now, load_balancers={}), now)


def test_a_connection_is_known_by_its_frontend_and_the_member_that_answers() -> None:
    came = stranded(Intent(), drafted(TWO))[HUB]
    first, flow = Draft.flow(f"udp 10.0.1.9 > {FRONT} 53"), Draft.flow
    assert is_stranded(first, flow(f"udp {ONE} > 10.0.1.9 40000"), came)
    assert not is_stranded(first, flow(f"udp {TWO} > 10.0.1.9 40000"), came)
    assert not is_stranded(flow(f"udp 10.0.1.9 > {FRONT} 54"), flow(f"udp {ONE} > 10.0.1.9 40000"), came)
    assert not is_stranded(flow(f"udp 10.0.1.9 > {ONE} 53"), flow(f"udp {ONE} > 10.0.1.9 40000"), came)
