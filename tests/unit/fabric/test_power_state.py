from __future__ import annotations

from collections.abc import Callable

import pytest

from podvnet.fabric.arm import virtual_machines
from podvnet.fabric.arm.power_state import PowerState, instance_view, power_state, with_power
from podvnet.fabric.arm.world import VIRTUAL_MACHINES, Document, World, shown
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle
from podvnet.model.resource_id import Scope, make
from podvnet.plan.parts import PartCompiler

ONE = make(Scope(), VIRTUAL_MACHINES, "one").key


@pytest.mark.parametrize("state", PowerState)
def test_a_state_is_kept_shown_and_survives_a_write(state: PowerState, world: World) -> None:
    world.put(with_power(world.documents[ONE], state))
    held = world.documents[ONE]
    assert power_state(held) is state
    assert [(each["code"], each["displayStatus"]) for each in instance_view(held)["statuses"]] == [
        ("ProvisioningState/succeeded", "Provisioning succeeded"),
        (f"PowerState/{state}", f"VM {state}"),
    ]
    assert power_state(settle(shown(held) | {"tags": {"a": "b"}}, world)) is state


def test_a_new_vm_runs(world: World) -> None:
    assert power_state(world.documents[ONE]) is PowerState.RUNNING
    assert instance_view(world.documents[ONE])["computerName"] == "one"


def test_a_stopped_vm_has_no_place_in_the_kernel_but_keeps_its_addresses(world: World) -> None:
    before = PartCompiler().compile(IntentReader().read(world))
    held = set(world.holders[next(key for key in world.holders if key.endswith("front"))])
    world.put(with_power(world.documents[ONE], PowerState.STOPPED))
    after = PartCompiler().compile(IntentReader().read(world))
    assert {key.split(" ")[0] for key in before.keys() - after.keys()} == {"machine", "nic", "guard", "public"}
    assert all(key.endswith(("/one", "/web")) for key in before.keys() - after.keys())
    assert set(world.holders[next(key for key in world.holders if key.endswith("front"))]) == held


@pytest.mark.parametrize(
    ("option", "goes"), [({}, False), ({"deleteOption": "Detach"}, False), ({"deleteOption": "delete"}, True)]
)
def test_a_nic_goes_with_its_vm_when_that_is_asked(
    option: dict[str, str], goes: bool, world: World, document: Callable[..., Document]
) -> None:
    listed = [{"id": "networkInterfaces/spare", "properties": {"primary": True} | option}]
    settled = settle(document(VIRTUAL_MACHINES, "new", {"networkProfile": {"networkInterfaces": listed}}), world)
    assert virtual_machines.gone_with(settled) == ({listed_key(settled)} if goes else set())


def listed_key(machine: Document) -> str:
    return str(machine["properties"]["networkProfile"]["networkInterfaces"][0]["id"]).lower()
