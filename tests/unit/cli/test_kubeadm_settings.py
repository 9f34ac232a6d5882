"""The file for kubeadm: what it holds, what is left out and said, and that it goes."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from podvnet.cli import agent_status, kubeadm_settings
from podvnet.cli.kubeadm_settings import Found

SUBNETS = ["fd00:1:0:1::/64", "10.1.1.0/24"]
STATUS: dict[str, Any] = {
    "ready": True,
    "reason": "",
    "nic": {"name": "eth0", "subnets": SUBNETS, "primary": ["10.1.1.4"]},
    "pool": {"total": 30},
    "growth": None,
}


@pytest.fixture
def vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A VM whose agent serves, with systemd-resolved: below a folder, which is returned."""
    stub, real = tmp_path / "resolv.conf", tmp_path / "real.conf"
    stub.write_text("nameserver 127.0.0.53\n", encoding="utf-8")
    real.write_text("# of the network\nnameserver 168.63.129.16\nsearch example\n", encoding="utf-8")
    monkeypatch.setattr(kubeadm_settings, "RESOLVERS", (stub, real))
    monkeypatch.setattr(kubeadm_settings, "FILE", tmp_path / "etc" / "kubeadm.yaml")
    monkeypatch.setattr(agent_status, "ask", lambda: STATUS)
    return tmp_path


def written(vm: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((vm / "etc" / "kubeadm.yaml").read_text(encoding="utf-8")))


def test_both_documents_are_written_with_what_the_vm_has(vm: Path) -> None:
    assert kubeadm_settings.ensure("bridge") == [f"{vm}/etc/kubeadm.yaml: for kubelet and kube-proxy"]
    kubelet, proxy = written(vm)
    assert (kubelet["kind"], kubelet["maxPods"], kubelet["resolvConf"]) == (
        "KubeletConfiguration",
        30,
        f"{vm}/real.conf",
    )
    assert (proxy["kind"], proxy["clusterCIDR"]) == ("KubeProxyConfiguration", "10.1.1.0/24")


def test_a_nic_of_both_families_has_its_pods_known_by_both(vm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"name": "eth0", "subnets": [*SUBNETS, "10.1.9.0/24"], "primary": ["10.1.1.4", "fd00:1:0:1::4"]}
    monkeypatch.setattr(agent_status, "ask", lambda: STATUS | {"nic": both})
    kubeadm_settings.ensure("bridge")
    assert written(vm)[1]["clusterCIDR"] == "10.1.1.0/24,fd00:1:0:1::/64"


def test_behind_another_file_it_makes_no_document_without_a_kind(vm: Path) -> None:
    kubeadm_settings.ensure("transparent")
    text = (vm / "etc" / "kubeadm.yaml").read_text(encoding="utf-8")
    assert text.startswith("---\n")  # what stands before it, kubeadm takes for a document
    kinds = [each["kind"] for each in yaml.safe_load_all(f"kind: ClusterConfiguration\n{text}")]
    assert kinds == ["ClusterConfiguration", "KubeletConfiguration", "KubeProxyConfiguration"]


def test_a_pool_that_grows_counts_as_far_as_it_may(vm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_status, "ask", lambda: STATUS | {"growth": {"ceiling": 250}})
    kubeadm_settings.ensure("transparent")
    assert written(vm)[0]["maxPods"] == 250


def test_without_an_agent_what_it_would_know_is_left_out_and_said(vm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> dict[str, Any]:
        raise FileNotFoundError(2, "nothing there")

    monkeypatch.setattr(agent_status, "ask", silent)
    (line,) = kubeadm_settings.ensure("bridge")
    kubelet, proxy = written(vm)
    assert "maxPods" not in kubelet
    assert not {"detectLocalMode", "clusterCIDR"} & proxy.keys()
    assert "without maxPods (the agent does not answer" in line
    assert "clusterCIDR (the agent does not answer" in line
    assert "resolvConf" not in line
    assert "clusterCIDR" not in kubeadm_settings.ensure("transparent")[0]


def test_an_agent_that_waits_for_the_platform_says_why(vm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = {"ready": False, "reason": "no answer of 168.63.129.16", "nic": None, "pool": {"total": 0}}
    monkeypatch.setattr(agent_status, "ask", lambda: waiting)
    assert "maxPods (no answer of 168.63.129.16)" in kubeadm_settings.ensure("transparent")[0]
    assert "maxPods" not in written(vm)[0]


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("nameserver 168.63.129.16\n", True),
        ("nameserver 127.0.0.53\n", False),
        ("nameserver ::1\n", False),
        ("nameserver 168.63.129.16\nnameserver 127.0.0.1\n", False),
        ("search example\n", False),
    ],
)
def test_a_resolver_on_the_loopback_is_no_pods(tmp_path: Path, text: str, usable: bool) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(text, encoding="utf-8")
    assert kubeadm_settings.choose_resolver((tmp_path / "none", file)) == (str(file) if usable else "")


def test_each_setting_that_is_left_out_has_its_reason() -> None:
    assert kubeadm_settings.left_out(Found(5, (ip_network("10.1.1.0/24"),), "/etc/resolv.conf"), "bridge") == []
    bare = kubeadm_settings.left_out(Found(), "bridge")
    assert [each.partition(" ")[0] for each in bare] == ["maxPods", "clusterCIDR", "resolvConf"]
    assert "no addresses for pods" in bare[0]


def test_it_goes(vm: Path) -> None:
    kubeadm_settings.ensure("transparent")
    assert kubeadm_settings.forget() == [f"{vm}/etc/kubeadm.yaml"]
    assert list((vm / "etc").iterdir()) == []
    assert kubeadm_settings.forget() == []
