from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest

from podvnet.cluster.control_plane import Part
from podvnet.cluster.node import (
    CONTAINERD_CONFIG,
    FABRIC_HOST,
    KUBELET_CONFIG,
    PROXY_CONFIG,
    NodeSettings,
    node,
)
from podvnet.cluster.programs import Programs
from podvnet.cluster.settings import PodMode, ProxyMode

SETTINGS = NodeSettings(
    "node1",
    (IPv4Address("10.1.16.4"),),
    (IPv4Network("10.1.16.0/20"),),
    30,
    IPv4Address("10.96.0.10"),
    "localhost/pause:1",
    "azure:///subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/node1",
    (("topology.kubernetes.io/region", "local"),),
)
PROGRAMS = Programs({name: f"/opt/bin/{name}" for name in ("containerd", "kubelet", "kube-proxy")})


def document(part: Part, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(file.content for file in part.files if file.path == path))
    return found


def test_kubelet_is_told_who_it_is_and_where_its_settings_are() -> None:
    unit = next(each for each in node(SETTINGS, PROGRAMS).units if each.name == "kubelet")
    assert unit.argv[0] == "/opt/bin/kubelet"
    assert f"--config={KUBELET_CONFIG}" in unit.argv
    assert "--hostname-override=node1" in unit.argv
    assert "--node-ip=10.1.16.4" in unit.argv
    assert f"--provider-id={SETTINGS.provider_id}" in unit.argv
    assert "--node-labels=topology.kubernetes.io/region=local" in unit.argv


def test_a_node_of_both_families_is_known_by_both_and_serves_the_api_at_the_first() -> None:
    addresses = (*SETTINGS.addresses, IPv6Address("fd00:1:0:10::4"))
    subnets = (*SETTINGS.subnets, IPv6Network("fd00:1:0:10::/64"))
    part = node(replace(SETTINGS, addresses=addresses, subnets=subnets), PROGRAMS)
    kubelet = next(each for each in part.units if each.name == "kubelet")
    assert "--node-ip=10.1.16.4,fd00:1:0:10::4" in kubelet.argv
    assert document(part, KUBELET_CONFIG)["address"] == "10.1.16.4"
    assert document(part, PROXY_CONFIG)["healthzBindAddress"] == "10.1.16.4:10256"


def test_a_node_without_a_provider_or_labels_claims_neither() -> None:
    bare = replace(SETTINGS, provider_id="", labels=())
    words = " ".join(next(each for each in node(bare, PROGRAMS).units if each.name == "kubelet").argv)
    assert "provider-id" not in words
    assert "node-labels" not in words


def test_a_vm_of_azure_guards_its_disk_and_a_vm_of_the_fabric_leaves_the_machines_alone() -> None:
    own = document(node(SETTINGS, PROGRAMS), KUBELET_CONFIG)
    shared = document(node(replace(SETTINGS, host=FABRIC_HOST), PROGRAMS), KUBELET_CONFIG)
    assert (own["cgroupDriver"], shared["cgroupDriver"]) == ("systemd", "cgroupfs")
    assert "evictionHard" not in own
    assert set(shared["evictionHard"].values()) == {"0%"}
    assert (own["oomScoreAdj"], shared["oomScoreAdj"]) == (-999, 0)


@pytest.mark.parametrize(
    ("pods", "known_by"),
    [
        (
            PodMode.TRANSPARENT,
            {"detectLocalMode": "InterfaceNamePrefix", "detectLocal": {"interfaceNamePrefix": "azv"}},
        ),
        (PodMode.BRIDGE, {"detectLocalMode": "ClusterCIDR", "clusterCIDR": "10.1.16.0/20"}),
    ],
)
def test_kube_proxy_knows_the_nodes_pods_by_what_their_mode_gives(pods: PodMode, known_by: dict[str, Any]) -> None:
    found = document(node(replace(SETTINGS, pods=pods), PROGRAMS), PROXY_CONFIG)
    assert {name: found.get(name) for name in known_by} == known_by
    assert ("clusterCIDR" in found) is ("clusterCIDR" in known_by)


def test_kube_proxy_writes_with_what_it_is_told() -> None:
    found = document(node(replace(SETTINGS, proxy=ProxyMode.NFTABLES), PROGRAMS), PROXY_CONFIG)
    assert found["mode"] == "nftables"
    assert found["iptables"]["localhostNodePorts"] is False


def test_containerd_looks_where_podvnet_is_installed() -> None:
    text = next(file.content for file in node(SETTINGS, PROGRAMS).files if file.path == CONTAINERD_CONFIG).decode()
    plugin = tomllib.loads(text)["plugins"]["io.containerd.grpc.v1.cri"]
    assert plugin["cni"] == {"bin_dir": "/opt/cni/bin", "conf_dir": "/etc/cni/net.d"}
    assert plugin["sandbox_image"] == "localhost/pause:1"
    assert plugin["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is True


def test_a_changed_setting_starts_programs_anew_and_an_equal_one_does_not() -> None:
    before = node(SETTINGS, PROGRAMS).with_revisions()
    assert node(SETTINGS, PROGRAMS).with_revisions() == before
    after = node(replace(SETTINGS, max_pods=31), PROGRAMS).with_revisions()
    assert all(old.revision != new.revision for old, new in zip(before.units, after.units, strict=True))
