"""The fabric process and the agents are killed and restarted while pods run; machines lose their power."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

from podvnet.linux import mount_namespace, namespace
from podvnet.plan import names
from podvnet.runtime.probe import seen_as
from podvnet.testing.burst import Burst
from podvnet.testing.lab import PODVNET, Lab, podvnet
from podvnet.testing.outage import kill, kill_fabric, start_fabric
from podvnet.testing.talk import Talk

RUN = Path("/run/podvnet/fabric")


def agent_process(lab: Lab, vm: str) -> int:
    return int(lab.inside(vm, "cat", "/run/podvnet/agent.lock").stdout)


def kill_agent(lab: Lab, vm: str) -> None:
    kill(agent_process(lab, vm))


def start_agent(lab: Lab, vm: str) -> None:
    lab.install(vm, "--unattended")


def addresses(lab: Lab) -> dict[str, list[str]]:
    return {
        machine["name"]: [nic["primary"] for nic in machine["nics"]]
        + [address for nic in machine["nics"] for address in nic["secondary"]]
        for machine in lab.status()["virtualMachines"]
    }


def test_no_packet_is_lost_while_the_fabric_is_down_and_comes_back(fresh_lab: Lab) -> None:
    lab = fresh_lab
    near, far = lab.run_pod("near", "vm1"), lab.run_pod("far", "vm2")
    before = addresses(lab)
    with Talk(near.descriptor, far.address) as talk:
        kill_fabric()
        assert seen_as(far.descriptor, near.address) == far.address
        start_fabric()
        assert seen_as(far.descriptor, near.address) == far.address
    assert talk.calls["lost"] == 0
    assert talk.calls["answered"] > 20
    assert addresses(lab) == before
    # What it recovered is what it had: a second look finds nothing to mend.
    log = (Path(os.environ["PODVNET_STATE"]) / "fabric" / "fabric.log").read_text(encoding="utf-8")
    recoveries = [json.loads(line) for line in log.splitlines() if '"recovered"' in line]
    assert recoveries[-1]["steps"] == 0


def test_agent_killed_in_the_middle_of_attaching_thirty_pods(fresh_lab: Lab) -> None:
    lab = fresh_lab
    old = lab.run_pod("old", "vm1")
    far = lab.run_pod("far", "vm2")
    victim = agent_process(lab, "vm1")
    with Talk(far.descriptor, old.address) as talk, Burst(lab, "vm1") as burst:
        attaching = threading.Thread(target=burst.add, args=(30,))
        attaching.start()
        while lab.agent_status("vm1")["pool"]["held"] < 5:
            pass
        kill(victim)
        attaching.join()
        answered = [member for member in burst.members if member.address]
        start_agent(lab, "vm1")
        # Nobody who was answered is lost, nobody shares an address, nobody half-made is left.
        status = lab.agent_status("vm1")
        held = [each["addresses"][0] for each in status["attachments"]]
        assert len(held) == len(set(held))
        assert {member.address for member in answered} | {old.address} <= set(held)
        assert {each["state"] for each in status["attachments"]} == {"attached"}
        unanswered = [member for member in burst.members if not member.address]
        assert len(answered) + len(unanswered) == 30
        # A runtime sends DEL for what failed, and tries again.
        burst.delete_members(unanswered)
        assert lab.agent_status("vm1")["pool"]["held"] == len(answered) + 1
        burst.members = answered
        assert burst.add(len(unanswered)) == len(unanswered)
        assert burst.reached_from(lab.vm("vm2")) == 30
        burst.delete_all()
    assert talk.calls["lost"] == 0
    assert lab.agent_status("vm1")["pool"]["held"] == 1


def test_both_killed_at_once(fresh_lab: Lab) -> None:
    lab = fresh_lab
    near, far = lab.run_pod("near", "vm1"), lab.run_pod("far", "vm2")
    with Talk(near.descriptor, far.address) as talk:
        kill_fabric()
        kill_agent(lab, "vm1")
        # The platform is silent, yet the agent serves with what it knew: a pod can be deleted, another attached.
        start_agent(lab, "vm1")
        second = lab.run_pod("second", "vm1")
        assert seen_as(second.descriptor, far.address) == second.address
        lab.delete_pod("second")
        start_fabric()
    assert talk.calls["lost"] == 0


def test_a_vm_that_is_rebooted_starts_with_its_whole_pool(fresh_lab: Lab) -> None:
    lab = fresh_lab
    lab.run_pod("before", "vm1")
    other = lab.run_pod("other", "vm2")
    boot_id = lab.inside("vm1", "cat", "/proc/sys/kernel/random/boot_id").stdout
    lab.forget_pod("before")
    podvnet("vm", "reboot", "vm1")
    lab.reopen()
    assert lab.inside("vm1", "cat", "/proc/sys/kernel/random/boot_id").stdout != boot_id
    assert lab.agent_status("vm1")["pool"] == {"total": 250, "held": 0, "resting": 0, "free": 250}
    after = lab.run_pod("after", "vm1")
    assert seen_as(after.descriptor, other.address) == after.address


def test_the_machine_loses_its_power(fresh_lab: Lab) -> None:
    """Namespaces and /run of every VM are gone, the store is there: everything comes back with the same addresses."""
    lab = fresh_lab
    lab.run_pod("before", "vm1")
    before = addresses(lab)
    outbound = [machine["nics"][0]["outbound"] for machine in lab.status()["virtualMachines"]]
    lab.close()
    kill_fabric()
    for pin in (RUN / "mounts").iterdir():
        for process in mount_namespace.processes(pin):
            kill(process)
        mount_namespace.delete(pin)
    for name in namespace.names(names.PREFIX):
        namespace.delete(name)
    start_fabric()
    assert addresses(lab) == before
    assert [machine["nics"][0]["outbound"] for machine in lab.status()["virtualMachines"]] == outbound
    near, far = lab.run_pod("near", "vm1"), lab.run_pod("far", "vm2")
    assert seen_as(near.descriptor, far.address) == near.address


def test_two_fabrics_or_agents_do_not_serve_at_once(fresh_lab: Lab) -> None:
    lab = fresh_lab
    second = subprocess.run([*PODVNET, "fabric"], capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "another fabric process holds" in second.stderr
    again = lab.inside("vm1", *PODVNET, "agent", check=False)
    assert again.returncode == 1
    assert "another agent holds" in again.stderr
    assert lab.agent_status("vm1")["ready"]
