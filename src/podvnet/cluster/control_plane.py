"""The control plane: etcd, API server, controller manager, scheduler on one VM. Values: files, and programs to keep.

Sources: Kubernetes documents "kube-apiserver", "kube-controller-manager", "kube-scheduler" (command line reference) and
"PKI certificates and requirements"; etcd document "Configuration options".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from podvnet.cluster.certificates import Identity, Subject
from podvnet.cluster.file import File
from podvnet.cluster.pki import ADMIN, CLUSTER, ETCD, FRONT_PROXY, MASTERS, Pki
from podvnet.cluster.programs import Programs
from podvnet.cluster.settings import API_PORT, ClusterSettings
from podvnet.cluster.unit import Unit

ETC = "/etc/kubernetes"
PKI = f"{ETC}/pki"
ADMIN_CONFIG = f"{ETC}/admin.conf"
KUBECTL = "/usr/local/bin/kubectl"
"""On the VM of the control plane: the user's, told where the cluster is."""
DATA = "/var/lib/etcd"
_ETCD = "https://127.0.0.1:2379"
_LOCAL = ("localhost", "127.0.0.1")
_MANAGER, _SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
_FRONT_PROXY = "front-proxy-client"


@dataclass(frozen=True, slots=True)
class Part:
    """What a VM needs to be part of a cluster."""

    files: tuple[File, ...]
    units: tuple[Unit, ...]

    def with_revisions(self) -> Part:
        """The same; its units are known to be others when a file is another."""
        digest = hashlib.sha256()
        for file in sorted(self.files, key=lambda file: file.path):
            digest.update(file.path.encode() + b"\0" + file.content + b"\0")
        return replace(self, units=tuple(replace(unit, revision=digest.hexdigest()) for unit in self.units))


def control_plane(settings: ClusterSettings, vm: str, pki: Pki, programs: Programs) -> Part:
    """What the VM of the control plane needs.

    Args:
        settings: the cluster.
        vm: the VM's name.
        pki: the cluster's certificates.
        programs: the programs.
    """
    units = (
        Unit("etcd", (programs["etcd"], *flags(etcd_flags(vm, forget=settings.forget)))),
        Unit("kube-apiserver", (programs["kube-apiserver"], *flags(apiserver_flags(settings)))),
        Unit("kube-controller-manager", (programs["kube-controller-manager"], *flags(manager_flags()))),
        Unit("kube-scheduler", (programs["kube-scheduler"], *flags(scheduler_flags()))),
    )
    configs = {
        ADMIN_CONFIG: administrator(settings, pki),
        f"{ETC}/controller-manager.conf": pki.kubeconfig_of(settings, _MANAGER),
        f"{ETC}/scheduler.conf": pki.kubeconfig_of(settings, _SCHEDULER),
    }
    kubectl = f'#!/bin/sh\nexport KUBECONFIG="${{KUBECONFIG:-{ADMIN_CONFIG}}}"\nexec {programs["kubectl"]} "$@"\n'
    return Part(
        (
            *_certificates(settings, vm, pki),
            *(File.document(path, content, 0o600) for path, content in configs.items()),
            File.text(KUBECTL, kubectl, 0o755),
        ),
        units,
    )


def administrator(settings: ClusterSettings, pki: Pki) -> dict[str, Any]:
    """The kubeconfig of somebody who may do everything."""
    return pki.kubeconfig_of(settings, ADMIN, MASTERS)


def _certificates(settings: ClusterSettings, vm: str, pki: Pki) -> tuple[File, ...]:
    zone = settings.domain
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{zone}")
    hosts = (*names, vm, *_LOCAL, str(settings.address), str(settings.api_service))
    server = Subject("kube-apiserver", hosts=hosts, usages=("server",))
    pairs: dict[str, Identity] = {
        "apiserver": pki.issued("apiserver", CLUSTER, server),
        "apiserver-kubelet-client": pki.issued(
            "apiserver-kubelet-client", CLUSTER, Subject("kube-apiserver-kubelet-client", (MASTERS,))
        ),
        "front-proxy-client": pki.issued("front-proxy-client", FRONT_PROXY, Subject(_FRONT_PROXY)),
        "apiserver-etcd-client": pki.issued("apiserver-etcd-client", ETCD, Subject("kube-apiserver-etcd-client")),
        "etcd": pki.issued("etcd", ETCD, Subject("etcd", hosts=_LOCAL, usages=("server", "client"))),
        "service-accounts": pki.signing_key(),
        "ca": pki.authority(CLUSTER).own,
    }
    authorities = {name: pki.authority(name).own.certificate for name in (ETCD, FRONT_PROXY)}
    return (
        *(File(f"{PKI}/{name}.crt", pair.certificate) for name, pair in pairs.items()),
        *(File(f"{PKI}/{name}.key", pair.key, 0o600) for name, pair in pairs.items()),
        *(File(f"{PKI}/{name}.crt", certificate) for name, certificate in authorities.items()),
    )


def etcd_flags(name: str, *, forget: bool) -> dict[str, str]:
    """etcd: a member of its own, for clients of this VM.

    ``forget`` leaves out the wait for the disk: what was said to be written may be gone after a loss of power.
    """
    found = {
        "name": name,
        "data-dir": DATA,
        "listen-client-urls": _ETCD,
        "advertise-client-urls": _ETCD,
        "listen-peer-urls": "https://127.0.0.1:2380",
        "initial-advertise-peer-urls": "https://127.0.0.1:2380",
        "initial-cluster": f"{name}=https://127.0.0.1:2380",
        "peer-auto-tls": "true",
        "cert-file": f"{PKI}/etcd.crt",
        "key-file": f"{PKI}/etcd.key",
        "trusted-ca-file": f"{PKI}/{ETCD}.crt",
        "client-cert-auth": "true",
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "30m",
        "log-level": "warn",
    }
    return found | ({"unsafe-no-fsync": "true"} if forget else {})


def apiserver_flags(settings: ClusterSettings) -> dict[str, str]:
    """The API server, at the VM's address.

    Webhooks and aggregated APIs are reached at their pods (``enable-aggregator-routing``): this VM is no node, so
    nothing here knows Services' addresses, and pods are in the virtual network.
    """
    return {
        "advertise-address": str(settings.address),
        "bind-address": str(settings.address),
        "secure-port": str(API_PORT),
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "enable-aggregator-routing": "true",
        "client-ca-file": f"{PKI}/ca.crt",
        "tls-cert-file": f"{PKI}/apiserver.crt",
        "tls-private-key-file": f"{PKI}/apiserver.key",
        "kubelet-certificate-authority": f"{PKI}/ca.crt",
        "kubelet-client-certificate": f"{PKI}/apiserver-kubelet-client.crt",
        "kubelet-client-key": f"{PKI}/apiserver-kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "etcd-servers": _ETCD,
        "etcd-cafile": f"{PKI}/{ETCD}.crt",
        "etcd-certfile": f"{PKI}/apiserver-etcd-client.crt",
        "etcd-keyfile": f"{PKI}/apiserver-etcd-client.key",
        "service-cluster-ip-range": ",".join(map(str, settings.service_ranges)),
        "service-account-issuer": f"https://kubernetes.default.svc.{settings.domain}",
        "service-account-key-file": f"{PKI}/service-accounts.crt",
        "service-account-signing-key-file": f"{PKI}/service-accounts.key",
        "requestheader-client-ca-file": f"{PKI}/{FRONT_PROXY}.crt",
        "requestheader-allowed-names": _FRONT_PROXY,
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "proxy-client-cert-file": f"{PKI}/front-proxy-client.crt",
        "proxy-client-key-file": f"{PKI}/front-proxy-client.key",
        "profiling": "false",
    }


def manager_flags() -> dict[str, str]:
    """The controller manager. It gives nodes no ranges: pods' addresses are the virtual network's."""
    config = f"{ETC}/controller-manager.conf"
    return {
        "kubeconfig": config,
        "authentication-kubeconfig": config,
        "authorization-kubeconfig": config,
        "bind-address": "127.0.0.1",
        "allocate-node-cidrs": "false",
        "client-ca-file": f"{PKI}/ca.crt",
        "cluster-signing-cert-file": f"{PKI}/ca.crt",
        "cluster-signing-key-file": f"{PKI}/ca.key",
        "leader-elect": "false",
        "profiling": "false",
        "requestheader-client-ca-file": f"{PKI}/{FRONT_PROXY}.crt",
        "root-ca-file": f"{PKI}/ca.crt",
        "service-account-private-key-file": f"{PKI}/service-accounts.key",
        "use-service-account-credentials": "true",
    }


def scheduler_flags() -> dict[str, str]:
    """The scheduler."""
    config = f"{ETC}/scheduler.conf"
    return {
        "kubeconfig": config,
        "authentication-kubeconfig": config,
        "authorization-kubeconfig": config,
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
        "profiling": "false",
    }


def flags(values: Mapping[str, str]) -> tuple[str, ...]:
    """As a program of Kubernetes is told them."""
    return tuple(f"--{name}={value}" for name, value in values.items())
