"""What pods' network asks of kubelet and kube-proxy is part of what every node of a cluster is told."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest

from podvnet.cluster.node import NodeSettings, kubelet_config, proxy_config
from podvnet.cluster.node_network import kubelet_network, proxy_network
from podvnet.cluster.settings import PodMode, ProxyMode
from podvnet.model.address import Prefix

SUBNET, SUBNET6 = IPv4Network("10.1.16.0/20"), IPv6Network("fd00:1:0:10::/64")
NODE = NodeSettings(
    "node1",
    (IPv4Address("10.1.16.4"), IPv6Address("fd00:1:0:10::4")),
    (SUBNET, SUBNET6),
    30,
    IPv4Address("10.96.0.10"),
    "localhost/pause:1",
)


def differing(part: dict[str, Any], whole: dict[str, Any]) -> set[str]:
    """The fields of a part that a document has not, or has otherwise; those within fields by a dotted name."""
    found = set()
    for name, value in part.items():
        if isinstance(value, dict) and isinstance(whole.get(name), dict):
            found |= {f"{name}.{each}" for each in differing(value, whole[name])}
        elif name not in whole or whole[name] != value:
            found.add(name)
    return found


def test_kubelet_is_told_what_is_known_and_keeps_its_own_otherwise() -> None:
    kind = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
    assert kubelet_network(resolver="/etc/r", max_pods=7) == kind | {"maxPods": 7, "resolvConf": "/etc/r"}
    # maxPods 0 would mean kubelet's default, and an empty resolvConf no DNS at all.
    assert kubelet_network(resolver="", max_pods=0) == kind


@pytest.mark.parametrize(
    ("bridged", "subnets", "known_by"),
    [
        (
            False,
            (SUBNET, SUBNET6),
            {"detectLocalMode": "InterfaceNamePrefix", "detectLocal": {"interfaceNamePrefix": "azv"}},
        ),
        (False, (), {"detectLocalMode": "InterfaceNamePrefix", "detectLocal": {"interfaceNamePrefix": "azv"}}),
        (True, (SUBNET,), {"detectLocalMode": "ClusterCIDR", "clusterCIDR": "10.1.16.0/20"}),
        (
            True,
            (SUBNET, SUBNET6),
            {"detectLocalMode": "ClusterCIDR", "clusterCIDR": "10.1.16.0/20,fd00:1:0:10::/64"},
        ),
        (True, (), {}),
    ],
)
def test_kube_proxy_is_told_how_pods_are_known_and_hides_no_caller(
    bridged: bool, subnets: tuple[Prefix, ...], known_by: dict[str, Any]
) -> None:
    found = proxy_network(bridged=bridged, subnets=subnets)
    assert found == known_by | {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "iptables": {"masqueradeAll": False},
        "nftables": {"masqueradeAll": False},
    }


@pytest.mark.parametrize("pods", list(PodMode))
@pytest.mark.parametrize("proxy", list(ProxyMode))
def test_a_node_of_a_cluster_is_told_all_of_it(pods: PodMode, proxy: ProxyMode) -> None:
    node = replace(NODE, pods=pods, proxy=proxy)
    kubelet = kubelet_network(resolver=node.host.resolver, max_pods=30)
    assert differing(kubelet, kubelet_config(node)) == set()
    kube_proxy = proxy_network(bridged=pods is PodMode.BRIDGE, subnets=(SUBNET, SUBNET6))
    assert differing(kube_proxy, proxy_config(node)) == set()
    # The comparison can fail.
    assert differing(kubelet | {"maxPods": 31}, kubelet_config(node)) == {"maxPods"}
    assert differing({"iptables": {"masqueradeAll": True}}, proxy_config(node)) == {"iptables.masqueradeAll"}
