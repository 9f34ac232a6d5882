"""The command line as a person and a program use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from podvnet.linux import sandbox
from podvnet.testing.lab import PODVNET, Lab, podvnet

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-subnets.yaml"
NOBODY = 65534


def test_up_again_changes_nothing(lab: Lab) -> None:
    again = json.loads(podvnet("up", str(EXAMPLE), "--json").stdout)
    assert again == {"resources": [], "steps": []}
    assert "nothing changes" in podvnet("plan", str(EXAMPLE)).stdout


def test_plan_shows_what_would_change_and_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "wanted.yaml"
    file.write_text(EXAMPLE.read_text(encoding="utf-8").replace("copy: 16", "copy: 17"), encoding="utf-8")
    before = lab.status()
    planned = json.loads(podvnet("plan", str(file), "--json").stdout)
    assert [each["action"] for each in planned["resources"]] == ["update"]
    assert planned["resources"][0]["details"] == ["+ properties.ipConfigurations.pod-17"]
    assert any("10.1.2.21" in step for step in planned["steps"])
    assert all("nic1 " not in step for step in planned["steps"]), "the other NIC is not touched"
    shown = podvnet("plan", str(file), "--steps").stdout
    assert "~ Microsoft.Network/networkInterfaces/vm2-nic" in shown
    after = lab.status()
    assert after["virtualMachines"] == before["virtualMachines"]


def test_every_mistake_of_a_file_is_named_at_once(lab: Lab, tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    file = tmp_path / "wrong.yaml"
    file.write_text(
        text.replace("10.1.2.0/24", "10.1.1.128/25").replace("address: 198.51.100.10", "address: 10.0.0.1"),
        encoding="utf-8",
    )
    refused = podvnet("up", str(file), check=False)
    assert refused.returncode == 1
    assert "NetcfgSubnetRangesOverlap" in refused.stderr
    assert "10.0.0.1 is no public address" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert podvnet("plan", str(EXAMPLE)).stdout.strip() == "nothing changes"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("stauts",), "Did you mean 'status'?"),
        (("vm", "lst"), "Did you mean 'list'?"),
        (("vm", "exec", "vm9", "true"), "there is no VM 'vm9' (there are: vm1, vm2)"),
        (("pod", "exec", "nobody", "--vm", "vm1", "--", "true"), "there is no pod 'nobody'"),
        (("up", "/no/such/file"), "cannot read /no/such/file: No such file or directory"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(words: tuple[str, ...], answer: str, lab: Lab) -> None:
    refused = podvnet(*words, check=False)
    assert refused.returncode != 0
    assert answer in refused.stderr
    assert "Traceback" not in refused.stderr


def test_doctor_is_content_with_a_vm_and_finds_what_is_wrong(lab: Lab) -> None:
    found = {each["subject"]: each for each in json.loads(lab.inside("vm1", *PODVNET, "doctor", "--json").stdout)}
    assert {each["state"] for each in found.values()} <= {"ok", "note"}
    assert found["conflist"]["found"] == "/etc/cni/net.d/10-azure.conflist"
    lab.inside("vm1", "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    lab.inside("vm1", "mv", "/etc/cni/net.d/10-azure.conflist", "/etc/cni/net.d/off")
    ill = lab.inside("vm1", *PODVNET, "doctor", check=False)
    assert ill.returncode == 1
    assert "ip_forward: off: pods reach nobody" in ill.stdout
    assert "conflist: none in /etc/cni/net.d" in ill.stdout
    lab.inside("vm1", "mv", "/etc/cni/net.d/off", "/etc/cni/net.d/10-azure.conflist")
    lab.inside("vm1", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")


@pytest.mark.parametrize("mode", ["transparent", "bridge", "tunnel"])
def test_uninstall_leaves_the_vm_as_it_was(mode: str, fresh_vm: Lab) -> None:
    lab = fresh_vm
    before = snapshot(lab)
    lab.install("vm2", "--mode", mode, "--docker")
    assert "PODVNET_DOCKER=1" in lab.inside("vm2", "cat", "/etc/podvnet/agent.env").stdout
    lab.inside("vm2", "test", "-s", "/var/lib/podvnet/docker.db")
    lab.run_pod("guest", "vm2")
    refused = lab.inside("vm2", *PODVNET, "uninstall", check=False)
    assert refused.returncode == 1
    assert "1 pods are attached" in refused.stderr
    lab.install("vm2", "--mode", mode)
    lab.delete_pod("guest")
    lab.inside("vm2", *PODVNET, "uninstall")
    assert snapshot(lab) == before
    lab.install("vm2")


@pytest.fixture
def fresh_vm(lab: Lab) -> Lab:
    """The second VM without the plug-in."""
    lab.inside("vm2", *PODVNET, "uninstall", "--force")
    return lab


def snapshot(lab: Lab) -> dict[str, str]:
    """What a VM has of links, addresses, routes, rules, processes and files."""
    looks = {
        "links": "ip -o link | cut -d: -f2 | grep -v gone",
        "addresses": "ip -o addr show scope global | awk '{print $2,$4}'",
        "routes": "ip route | sort",
        "rules": "nft list ruleset",
        "files": "ls -A -I pods /opt/cni/bin /etc/cni/net.d /run/podvnet",
        "for Docker": "find /etc/podvnet /var/lib/podvnet /run/docker/plugins -not -type d; true",
    }
    return {name: lab.inside("vm2", "sh", "-c", command).stdout for name, command in looks.items()}


# -- without root, and interrupted


def outside(*argv: str) -> list[str]:
    """A command line that forgets that it runs in a bubble, so that it makes one of its own."""
    return ["env", "-u", sandbox.MARK, "-u", "PODVNET_STATE", *argv]


def test_the_demo_runs_without_root() -> None:
    argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *outside(*PODVNET, "demo", "--json")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    proofs = json.loads(done.stdout)
    assert len(proofs) == 5
    assert all(each["holds"] for each in proofs)


@pytest.mark.parametrize("lines", [1, 2, 12, 14])
def test_ctrl_c_at_any_moment_leaves_nothing_behind(lines: int) -> None:
    """Interrupted after so many lines: before the network is up, while pods are attached, while they talk."""
    mark = f"PODVNET_TEST_MARK=interrupted-{lines}-{os.getpid()}"
    process = subprocess.Popen(
        ["env", mark, *outside(*PODVNET, "demo")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    for _ in range(lines):
        assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    process.stdout.read()  # ends when the last process that could write has
    process.stdout.close()
    assert process.wait(30) != 0
    assert marked(mark) == []


def marked(mark: str) -> list[str]:
    """The processes that have a mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return found


def test_where_no_namespace_can_be_made_the_message_says_what_is_missing(tmp_path: Path) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text(
        "#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n", encoding="ascii"
    )
    refusing.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != sandbox.MARK}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    refused = subprocess.run(
        [sys.executable, "-m", "podvnet", "demo"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode == 1
    assert "does not let root make namespaces" in refused.stderr
    assert "CAP_SYS_ADMIN" in refused.stderr
