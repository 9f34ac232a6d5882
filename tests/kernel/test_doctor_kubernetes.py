"""The table of docs/kubernetes.md, executed on a VM: what is wrong is found, and what to do makes it right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.testing.lab import PODVNET, Lab, laboratory

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
TABLE = PAGE.split("<!-- executed by tests/kernel/test_doctor_kubernetes.py -->", 1)[1].split("\n\n", 1)[0]
ROWS = dict(re.findall(r"^\| `([^`]+)` \| .* \| `([^`]+)` \|$", TABLE, flags=re.MULTILINE))
KUBELET = {"kind": "KubeletConfiguration", "resolvConf": "/etc/resolv.conf", "maxPods": 1}
CONTAINERD = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".cni]\n  bin_dir = "{}"\n'
BREAKING = {
    "ip_forward": "sysctl -qw net.ipv4.ip_forward=0",
    "bridge-nf-call-iptables": "sysctl -qw net.bridge.bridge-nf-call-iptables=0",
    "FORWARD": "iptables -P FORWARD DROP",
    "containerd": "sed -i 's|/opt/cni/bin|/usr/lib/cni|' /etc/containerd/config.toml",
    "resolvConf": "echo nameserver 127.0.0.53 >/etc/loop.conf; "
    "sed -i 's|/etc/resolv.conf|/etc/loop.conf|' /var/lib/kubelet/config.json",
    "maxPods": 'sed -i \'s|"maxPods": 1|"maxPods": 5000|\' /var/lib/kubelet/config.json',
}


@pytest.fixture(scope="module")
def node() -> Iterator[Lab]:
    """A lab whose vm1 has what makes it a node of Kubernetes, in so far as doctor looks at it."""
    with laboratory(ROOT / "tests" / "runtime" / "two-vms.yaml") as lab:
        lab.inside("vm1", "mkdir", "-p", "/var/lib/kubelet", "/etc/containerd")
        lab.inside("vm1", "tee", "/var/lib/kubelet/config.json", stdin=json.dumps(KUBELET, indent=2))
        lab.inside("vm1", "tee", "/etc/containerd/config.toml", stdin=CONTAINERD.format("/usr/lib/cni"))
        lab.inside("vm1", *PODVNET, "install", "--kubernetes", "--mode", "bridge", "--plugins-from", "/usr/lib/cni")
        yield lab


def finding(lab: Lab, subject: str) -> tuple[str, str]:
    """The state and the remedy of what doctor says of a subject."""
    found = json.loads(lab.inside("vm1", *PODVNET, "doctor", "--json", check=False).stdout)
    return next((each["state"], each["remedy"]) for each in found if each["subject"] == subject)


def test_the_table_has_what_is_broken_here() -> None:
    assert ROWS.keys() == BREAKING.keys()


def test_installing_for_kubernetes_leaves_doctor_nothing_to_say(node: Lab) -> None:
    assert {subject: finding(node, subject) for subject in ROWS} == dict.fromkeys(ROWS, ("ok", ""))
    assert "/opt/cni/bin" in node.inside("vm1", "cat", "/etc/containerd/config.toml").stdout
    assert "net.ipv4.ip_forward = 1" in node.inside("vm1", "cat", "/etc/sysctl.d/90-podvnet.conf").stdout


@pytest.mark.parametrize("subject", BREAKING)
def test_what_is_wrong_is_found_and_the_remedy_mends_it(node: Lab, subject: str) -> None:
    node.inside("vm1", "sh", "-euc", BREAKING[subject])
    state, remedy = finding(node, subject)
    assert state in {"bad", "note"}
    assert remedy
    node.inside("vm1", "sh", "-euc", ROWS[subject])
    assert finding(node, subject) == ("ok", "")


def test_uninstalling_takes_the_settings_back(node: Lab) -> None:
    node.inside("vm1", *PODVNET, "uninstall")
    files = ("/etc/sysctl.d/90-podvnet.conf", "/etc/modules-load.d/podvnet.conf", "/etc/podvnet/agent.env")
    look = 'for each in "$@"; do [ ! -e "$each" ] || grep -H podvnet\\|KUBECONFIG "$each" || true; done'
    assert node.inside("vm1", "sh", "-c", look, "sh", *files).stdout == ""
