"""Whether a VM runs, and the instance view that says so.

Source: Azure document "States and billing status of Azure Virtual Machines"; REST reference of Microsoft.Compute
(``VirtualMachineInstanceView``).
"""

from __future__ import annotations

from enum import StrEnum

from podvnet.fabric.arm.world import Document


class PowerState(StrEnum):
    """The power states that last, as their codes spell them."""

    RUNNING = "running"
    STOPPED = "stopped"
    DEALLOCATED = "deallocated"


def power_state(machine: Document) -> PowerState:
    """The power state of a settled VM."""
    if machine["_fabric"]["running"]:
        return PowerState.RUNNING
    return PowerState.DEALLOCATED if machine["_fabric"].get("deallocated") else PowerState.STOPPED


def with_power(machine: Document, state: PowerState) -> Document:
    """The VM in another power state."""
    own: Document = {"running": state is PowerState.RUNNING}
    return machine | {"_fabric": own | ({"deallocated": True} if state is PowerState.DEALLOCATED else {})}


def instance_view(machine: Document) -> Document:
    """The instance view of a settled VM."""
    state = power_state(machine)
    return {
        "computerName": machine["properties"].get("osProfile", {}).get("computerName", machine["name"]),
        "statuses": [
            {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded"},
            {"code": f"PowerState/{state}", "level": "Info", "displayStatus": f"VM {state}"},
        ],
    }
