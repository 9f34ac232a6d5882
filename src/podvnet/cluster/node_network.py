"""What pods on the virtual network ask of kubelet and kube-proxy, whoever makes the node. Values.

Nodes of the fabric's clusters run with them (:mod:`podvnet.cluster.node`); ``podvnet install --kubernetes`` hands them
to kubeadm.

Sources: Kubernetes API ``kubelet.config.k8s.io/v1beta1 KubeletConfiguration``, ``kubeproxy.config.k8s.io/v1alpha1
KubeProxyConfiguration``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from podvnet.model.address import Prefix
from podvnet.model.attachment import LINK_PREFIX

KUBEADM_SETTINGS = "/etc/podvnet/kubeadm.yaml"
"""On a VM: where they are for kubeadm."""


def kubelet_network(*, resolver: str, max_pods: int) -> dict[str, Any]:
    """The document for kubelet.

    Args:
        resolver: the ``resolv.conf`` of pods with the node's DNS: one that names a resolver on the loopback would have
            the cluster's DNS ask itself. Empty: not known, kubelet has its own.
        max_pods: how many pods there are addresses for. 0: not known, kubelet has its own limit.
    """
    document: dict[str, Any] = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
    if max_pods:
        document["maxPods"] = max_pods
    if resolver:
        document["resolvConf"] = resolver
    return document


def proxy_network(*, bridged: bool, subnets: Iterable[Prefix]) -> dict[str, Any]:
    """The document for kube-proxy.

    What pods of the node begin is known by the links it comes in by. With a bridge all comes in by that; there it is
    known by its source, the nodes' subnet, as Azure's own nodes have it: what VMs of the subnet begin counts as pods'.
    No caller's address is hidden.

    Args:
        bridged: pods are attached in the mode ``bridge``.
        subnets: the prefixes that the VM's and its pods' addresses are of, at most one of each IP version. Of a version
            that is not known, no caller is taken for a pod's with a bridge.
    """
    document: dict[str, Any] = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration"}
    if not bridged:
        document["detectLocalMode"] = "InterfaceNamePrefix"
        document["detectLocal"] = {"interfaceNamePrefix": LINK_PREFIX}
    elif prefixes := ",".join(map(str, subnets)):
        document["detectLocalMode"] = "ClusterCIDR"
        document["clusterCIDR"] = prefixes
    # Which of the two counts depends on kube-proxy's mode.
    return document | {name: {"masqueradeAll": False} for name in ("iptables", "nftables")}
