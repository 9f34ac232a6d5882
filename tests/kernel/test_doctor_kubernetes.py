"""The table of docs/kubernetes.md, executed on a VM: what is wrong is found, and what to do makes it right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from podvnet.cluster.fabric_vm import vms
from podvnet.cluster.node import FABRIC_HOST, NodeSettings, kubelet_config, proxy_config
from podvnet.cluster.settings import PodMode
from podvnet.testing.lab import PODVNET, Lab, laboratory

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
TABLE = PAGE.split("<!-- executed by tests/kernel/test_doctor_kubernetes.py -->", 1)[1].split("\n\n", 1)[0]
ROWS = dict(re.findall(r"^\| `([^`]+)` \| .* \| `([^`]+)` \|$", TABLE, flags=re.MULTILINE))
KUBEADM = "/etc/podvnet/kubeadm.yaml"
KUBELETS_DOCUMENT = next(iter(re.findall(r"`(awk [^`]*) >DIR", PAGE)))
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


def finding(lab: Lab, subject: str, vm: str = "vm1") -> tuple[str, str]:
    """The state and the remedy of what doctor says of a subject."""
    found = json.loads(lab.inside(vm, *PODVNET, "doctor", "--json", check=False).stdout)
    return next((each["state"], each["remedy"]) for each in found if each["subject"] == subject)


def shared(part: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """What a document says of the fields of a part of it."""
    return {
        name: shared(value, whole[name]) if isinstance(value, dict) else whole[name] for name, value in part.items()
    }


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


@pytest.mark.parametrize("mode", list(PodMode))
def test_kubeadm_is_given_what_nodes_of_clusters_run_with_and_doctor_demands(node: Lab, mode: PodMode) -> None:
    said = json.loads(node.inside("vm2", *PODVNET, "install", "--kubernetes", "--mode", str(mode), "--json").stdout)
    assert f"{KUBEADM}: for kubelet and kube-proxy" in said["installed"]
    assert KUBEADM in said["next"]
    kubelet, proxy = yaml.safe_load_all(node.inside("vm2", "cat", KUBEADM).stdout)
    # As `podvnet cluster up` makes a node of this VM.
    facts = vms(node.status())["vm2"]
    settings = NodeSettings(
        "vm2",
        (facts.address,),
        facts.subnets,
        facts.pool,
        IPv4Address("10.96.0.10"),
        "localhost/pause:1",
        pods=mode,
        host=FABRIC_HOST,
    )
    assert kubelet == shared(kubelet, kubelet_config(settings))
    assert proxy == shared(proxy, proxy_config(settings))
    assert kubelet.keys() >= {"maxPods", "resolvConf"}
    assert ("clusterCIDR" in proxy) is (mode is PodMode.BRIDGE)
    own = "/var/lib/kubelet/config.yaml"
    node.inside("vm2", "sh", "-euc", f"mkdir -p /var/lib/kubelet; {KUBELETS_DOCUMENT} >{own}")
    assert yaml.safe_load(node.inside("vm2", "cat", own).stdout) == kubelet
    assert {subject: finding(node, subject, "vm2") for subject in ("maxPods", "resolvConf")} == {
        "maxPods": ("ok", ""),
        "resolvConf": ("ok", ""),
    }
    # One more would be one too many: the file is not merely careful.
    node.inside("vm2", "sed", "-i", f"s/^maxPods: .*/maxPods: {facts.pool + 1}/", own)
    assert finding(node, "maxPods", "vm2")[0] == "note"


def test_uninstalling_takes_the_settings_back(node: Lab) -> None:
    node.inside("vm1", "test", "-e", KUBEADM)
    node.inside("vm1", *PODVNET, "uninstall")
    assert node.inside("vm1", "test", "-e", KUBEADM, check=False).returncode == 1
    files = ("/etc/sysctl.d/90-podvnet.conf", "/etc/modules-load.d/podvnet.conf", "/etc/podvnet/agent.env")
    look = 'for each in "$@"; do [ ! -e "$each" ] || grep -H podvnet\\|KUBECONFIG "$each" || true; done'
    assert node.inside("vm1", "sh", "-c", look, "sh", *files).stdout == ""
