"""What ``podvnet doctor`` looks at on a node of Kubernetes: what stands between Services and pods.

docs/kubernetes.md has the table of it.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podvnet.cli import agent_status
from podvnet.cli import conflist as conflists
from podvnet.cli.containerd_settings import CONFIG, bin_dirs
from podvnet.cli.finding import BAD, NOTE, OK, Finding

KUBELET_CONFIGS = (Path("/var/lib/kubelet/config.yaml"), Path("/var/lib/kubelet/config.json"))
_KUBECONFIG = Path("/etc/kubernetes/kubelet.conf")
_CONFLIST = Path("/etc/cni/net.d") / conflists.NAME
_PROC = Path("/proc")
_BRIDGES = Path("/sys/class/net/azure0")
_BIN_DIR = "/opt/cni/bin"
_CLOSED = re.compile(r"table ip filter \{.*?chain FORWARD \{\s*type filter hook forward [^}]*policy drop", re.DOTALL)
_MANY, _FULL = 0.8, 0.98
"""Parts of the table of connections."""
_DEFAULT_PODS = 110
"""kubelet's own limit. Source: ``KubeletConfiguration.maxPods``."""


def looks() -> Iterator[Finding]:
    """Look, if this machine is a node, or this is the agent's container on one."""
    config = next((each for each in KUBELET_CONFIGS if each.exists()), None)
    if config is None and not _KUBECONFIG.exists() and "KUBERNETES_SERVICE_HOST" not in os.environ:
        return
    yield from bridge_filter(_PROC, bridged=_bridged())
    yield from reverse_path(_PROC)
    yield from connections(_PROC)
    yield from forward_policy()
    yield from containerd(CONFIG)
    if config is not None:
        yield from kubelet(config)


def bridge_filter(proc: Path, *, bridged: bool) -> Iterator[Finding]:
    """Whether answers from pod to pod of one bridge pass the translation of Services."""
    if not bridged:
        return
    name = "bridge-nf-call-iptables"
    file = proc / "sys/net/bridge" / name
    if not file.exists():
        yield Finding(name, BAD, "the module br_netfilter is not loaded", "modprobe br_netfilter")
    elif file.read_text(encoding="ascii").strip() != "1":
        found = "off: Services do not work between pods of this node"
        yield Finding(name, BAD, found, f"sysctl -w net.bridge.{name}=1")
    else:
        yield Finding(name, OK, "on")


def reverse_path(proc: Path) -> Iterator[Finding]:
    """Whether answers may leave by another NIC than questions come by."""
    routes = (line.split() for line in (proc / "net/route").read_text(encoding="ascii").splitlines()[1:])
    nics = sorted({words[0] for words in routes if words[1] == "00000000"})
    conf = proc / "sys/net/ipv4/conf"
    everywhere = int((conf / "all/rp_filter").read_text(encoding="ascii"))
    strict = [nic for nic in nics if max(everywhere, int((conf / nic / "rp_filter").read_text(encoding="ascii"))) == 1]
    if len(nics) > 1 and strict:
        found = f"strict on {', '.join(strict)}, of {len(nics)} NICs with a default route: answers may be dropped"
        yield Finding("rp_filter", NOTE, found, "sysctl -w net.ipv4.conf.all.rp_filter=2")
    else:
        yield Finding("rp_filter", OK, "drops no answers here")


def connections(proc: Path) -> Iterator[Finding]:
    """Whether the table of connections has room."""
    folder = proc / "sys/net/netfilter"
    try:
        count, most = (int((folder / f"nf_conntrack_{each}").read_text(encoding="ascii")) for each in ("count", "max"))
    except FileNotFoundError:
        return  # nothing tracks connections here
    found = f"{count} of {most} connections"
    if count >= most * _MANY:
        remedy = f"sysctl -w net.netfilter.nf_conntrack_max={2 * most}, and kube-proxy's conntrack.maxPerCore"
        yield Finding(
            "conntrack", BAD if count >= most * _FULL else NOTE, f"{found}: new ones are soon refused", remedy
        )
    else:
        yield Finding("conntrack", OK, found)


def forward_policy() -> Iterator[Finding]:
    """Whether the VM's own firewall forwards for pods."""
    from podvnet.linux import ruleset
    from podvnet.linux.error import KernelError

    try:
        # Without rules: libxtables complains of those of iptables whose extensions are not installed.
        text = ruleset.run("list chains ip")
        closed = _CLOSED.search(text) and 'iifname "azv*"' not in ruleset.run("list chain ip filter FORWARD")
    except (ruleset.RulesetError, KernelError):
        closed = False  # there is no such chain
    if closed:
        found = "iptables' chain FORWARD drops what no rule admits (Docker sets it so): pods reach nobody directly"
        yield Finding("FORWARD", BAD, found, "iptables -P FORWARD ACCEPT")
    else:
        yield Finding("FORWARD", OK, "forwards for pods")


def containerd(config: Path) -> Iterator[Finding]:
    """Whether containerd looks for plug-ins where they are."""
    try:
        document = tomllib.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return  # its own defaults are ours, or it is not here
    except (OSError, ValueError) as error:
        yield Finding("containerd", NOTE, f"{config} cannot be read: {error}", "see what containerd says of it")
        return
    folders = list(bin_dirs(document))
    if folders and _BIN_DIR not in folders:
        remedy = f"""sed -i 's#bin_dir = ".*"#bin_dir = "{_BIN_DIR}"#' {config}; systemctl restart containerd"""
        yield Finding("containerd", BAD, f"it looks for plug-ins in {', '.join(folders)} alone", remedy)
    else:
        yield Finding("containerd", OK, f"looks for plug-ins in {_BIN_DIR}")


def kubelet(config: Path) -> Iterator[Finding]:
    """Whether kubelet's settings go with the pool, and pods' DNS with the VM's."""
    try:
        document = _read(config)
    except (OSError, ValueError) as error:
        yield Finding("kubelet", NOTE, f"{config} cannot be read: {error}", "see what kubelet says of it")
        return
    resolver = Path(document.get("resolvConf") or "/etc/resolv.conf")
    servers = name_servers(resolver)
    if servers and all(each.startswith("127.") for each in servers):
        found = f"the cluster's DNS asks itself: {resolver} names {', '.join(servers)}, which in a pod is the pod"
        remedy = f"resolvConf: /run/systemd/resolve/resolv.conf in {config}, then systemctl restart kubelet"
        yield Finding("resolvConf", BAD, found, remedy)
    else:
        yield Finding("resolvConf", OK, f"{resolver}: {', '.join(servers) or 'no server'}")
    yield from _most_pods(config, int(document.get("maxPods") or _DEFAULT_PODS))


def _most_pods(config: Path, most: int) -> Iterator[Finding]:
    try:
        addresses = agent_status.most_pods(agent_status.ask())
    except OSError:
        return  # that the agent does not answer is a finding of its own
    if most > addresses:
        words = f"kubelet takes {most} pods, and there are {addresses} addresses: the others will wait for one"
        remedy = f"maxPods: {addresses} in {config}, or more ip-configurations on the NIC"
        yield Finding("maxPods", NOTE, words, remedy)
    else:
        yield Finding("maxPods", OK, f"{most}, and {addresses} addresses")


def _read(config: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(config.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(document, dict):
        msg = "it is no document"
        raise ValueError(msg)  # noqa: TRY004 - what is read is wrong, not the program
    return document


def name_servers(resolver: Path) -> list[str]:
    """The servers that a ``resolv.conf`` names; none when it cannot be read."""
    try:
        lines = resolver.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [words[1] for line in lines if len(words := line.split()) > 1 and words[0] == "nameserver"]


def _bridged() -> bool:
    """Whether pods are, or will be, ports of a bridge."""
    if _BRIDGES.exists():
        return True
    try:
        document = json.loads(_CONFLIST.read_text(encoding="utf-8"))
        return document["plugins"][0].get("mode") in {"bridge", "tunnel"}
    except (OSError, ValueError, KeyError, IndexError):
        return False
