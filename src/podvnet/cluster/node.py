"""What a node of a cluster needs besides podvnet: settings of containerd, kubelet and kube-proxy, and of the kernel.

Values. They are the same on a VM of Azure and on one of the fabric; what differs is in :class:`Host`. A pod's address
is the virtual network's, so a node has no range of its own (``podCIDR``). What that asks of kubelet and kube-proxy is
in :mod:`podvnet.cluster.node_network`.

Sources: Kubernetes API ``kubelet.config.k8s.io/v1beta1 KubeletConfiguration``, ``kubeproxy.config.k8s.io/v1alpha1
KubeProxyConfiguration``; containerd document "CRI Plugin Config Guide".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from podvnet.cluster.control_plane import Part, flags
from podvnet.cluster.file import File
from podvnet.cluster.node_network import kubelet_network, proxy_network
from podvnet.cluster.programs import Programs
from podvnet.cluster.settings import PodMode, ProxyMode
from podvnet.cluster.unit import Unit
from podvnet.model.address import Address, Prefix

ETC = "/etc/kubernetes"
KUBELET = "/var/lib/kubelet"
KUBELET_CONFIG = f"{KUBELET}/config.json"
KUBELET_KUBECONFIG = f"{ETC}/kubelet.conf"
PROXY_CONFIG = "/var/lib/kube-proxy/config.json"
PROXY_KUBECONFIG = f"{ETC}/kube-proxy.conf"
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CNI_PROGRAMS, CNI_NETWORKS = "/opt/cni/bin", "/etc/cni/net.d"
AUTHORITY = f"{ETC}/pki/ca.crt"
SERVING = f"{ETC}/pki/kubelet"

SYSCTLS: tuple[tuple[str, str], ...] = (
    ("net/ipv4/ip_forward", "1"),
    ("net/bridge/bridge-nf-call-iptables", "1"),
    ("net/bridge/bridge-nf-call-ip6tables", "1"),
)
"""What Services need of the kernel, by path below /proc/sys. Those of a bridge are there with the module br_netfilter:
an answer between two pods of one bridge must pass the translation that the question passed."""

TUNABLES: tuple[tuple[str, str], ...] = (
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
)
"""What kubelet sets of the whole machine, and insists on. Source: kubelet's ``--protect-kernel-defaults``."""


@dataclass(frozen=True, slots=True)
class Host:
    """What kind of VM a node is.

    Attributes:
        cgroup_driver: ``systemd`` where systemd has the control groups, else ``cgroupfs``.
        resolver: the ``resolv.conf`` that pods with the node's DNS get: not one that names a resolver on the loopback.
        oom_score: how little the kernel is to end kubelet and kube-proxy for want of memory; 0 where a lower one may
            not be set.
        guards_disk: end pods when the disk is nearly full, and count what they write; not where the disk is shared.
    """

    cgroup_driver: str = "systemd"
    resolver: str = "/run/systemd/resolve/resolv.conf"
    oom_score: int = -999
    guards_disk: bool = True


FABRIC_HOST = Host("cgroupfs", "/etc/resolv.conf", 0, guards_disk=False)
"""A VM of the fabric: no systemd, and memory and disk are those of the machine, which all VMs share."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """A node.

    Attributes:
        name: the VM's, and the node's.
        addresses: the VM's own, one of each IP version that the cluster knows, IPv4 first.
        subnets: the prefixes that the VM's and its pods' addresses are of, likewise.
        max_pods: how many pods at most; those of the host network count.
        provider_id: ``azure://`` and the resource id of the VM, or empty.
        labels: the node's.
        pods: how pods are attached.
        proxy: how Services come into the kernel.
        dns: the address of the cluster's DNS that pods are told: of IPv4, which every pod has.
        domain: the zone of the cluster's DNS.
        pause_image: of pods' sandboxes.
        host: what kind of VM it is.
    """

    name: str
    addresses: tuple[Address, ...]
    subnets: tuple[Prefix, ...]
    max_pods: int
    dns: Address
    pause_image: str
    provider_id: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    pods: PodMode = PodMode.TRANSPARENT
    proxy: ProxyMode = ProxyMode.IPTABLES
    domain: str = "cluster.local"
    host: Host = field(default_factory=Host)


def node(settings: NodeSettings, programs: Programs) -> Part:
    """The settings of a node's programs, and the programs. Certificates and kubeconfigs are not among the files."""
    kubelet = {
        "config": KUBELET_CONFIG,
        "kubeconfig": KUBELET_KUBECONFIG,
        "hostname-override": settings.name,
        "node-ip": ",".join(map(str, settings.addresses)),
    }
    if settings.provider_id:
        kubelet["provider-id"] = settings.provider_id
    if settings.labels:
        kubelet["node-labels"] = ",".join(f"{name}={value}" for name, value in settings.labels)
    return Part(
        (
            File.text(CONTAINERD_CONFIG, containerd_config(settings)),
            File.document(KUBELET_CONFIG, kubelet_config(settings)),
            File.document(PROXY_CONFIG, proxy_config(settings)),
        ),
        (
            Unit("containerd", (programs["containerd"],)),
            Unit("kubelet", (programs["kubelet"], *flags(kubelet))),
            Unit("kube-proxy", (programs["kube-proxy"], f"--config={PROXY_CONFIG}")),
        ),
    )


def containerd_config(settings: NodeSettings) -> str:
    """The settings of containerd: our folders of CNI, the sandbox's image."""
    restricted = str(settings.host.oom_score == 0).lower()
    systemd = str(settings.host.cgroup_driver == "systemd").lower()
    return f"""version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{settings.pause_image}"
  restrict_oom_score_adj = {restricted}

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PROGRAMS}"
  conf_dir = "{CNI_NETWORKS}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = {systemd}
"""


def kubelet_config(settings: NodeSettings) -> dict[str, Any]:
    """The settings of kubelet."""
    document = kubelet_network(resolver=settings.host.resolver, max_pods=settings.max_pods) | {
        "address": str(settings.addresses[0]),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": AUTHORITY},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{SERVING}.crt",
        "tlsPrivateKeyFile": f"{SERVING}.key",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": settings.host.cgroup_driver,
        "clusterDNS": [str(settings.dns)],
        "clusterDomain": settings.domain,
        "oomScoreAdj": settings.host.oom_score,
        "failSwapOn": False,
        # Version 1 of control groups is what some machines have.
        "failCgroupV1": False,
        # Where kubelet looks by default is not the VM's own.
        "volumePluginDir": f"{KUBELET}/volume-plugins",
        "serializeImagePulls": False,
    }
    if not settings.host.guards_disk:
        document |= {
            "localStorageCapacityIsolation": False,
            "evictionHard": {
                "imagefs.available": "0%",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.inodesFree": "0%",
                "memory.available": "0%",
            },
            "imageGCHighThresholdPercent": 100,
        }
    return document


def proxy_config(settings: NodeSettings) -> dict[str, Any]:
    """The settings of kube-proxy.

    Limits of connection tracking are left as the VM has them. Node ports are not for 127.0.0.1: the kernel would have
    to take packets from outside for it (``route_localnet``).
    """
    document = proxy_network(bridged=settings.pods is PodMode.BRIDGE, subnets=settings.subnets)
    periods = {"minSyncPeriod": "1s", "syncPeriod": "30s"}
    return document | {
        "bindAddress": "0.0.0.0",
        "clientConnection": {"kubeconfig": PROXY_KUBECONFIG},
        "hostnameOverride": settings.name,
        "mode": str(settings.proxy),
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": document["iptables"] | {"localhostNodePorts": False, **periods},
        "nftables": document["nftables"] | periods,
        "healthzBindAddress": f"{settings.addresses[0]}:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": settings.host.oom_score,
    }
