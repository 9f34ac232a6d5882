"""A file for kubeadm: what kubelet and kube-proxy are to be told on this VM, in so far as podvnet has a say in it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from podvnet.cli import agent_status
from podvnet.cli.doctor_kubernetes import name_servers
from podvnet.cli.in_host import write
from podvnet.cluster.node_network import KUBEADM_SETTINGS, kubelet_network, proxy_network
from podvnet.model.address import Prefix, parse_prefix

FILE = Path(KUBEADM_SETTINGS)
NEXT = f"append {FILE} to what `kubeadm init --config` is given; `kubeadm join` and other ways: docs/kubernetes.md"
RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""The VM's, and the one that systemd-resolved keeps beside it when it is itself the VM's resolver."""
_NOTE = "# By `podvnet install --kubernetes`, which writes it anew."


@dataclass(frozen=True, slots=True)
class Found:
    """What this VM has, as it finds it.

    Attributes:
        max_pods: how many pods there are addresses for; 0: not known.
        subnets: the first prefix of the NIC's subnet of each IP version that the NIC has, IPv4 first; empty: not known.
        resolver: a ``resolv.conf`` that pods can use; empty: there is none.
        reason: why the NIC is not known; empty when it is.
    """

    max_pods: int = 0
    subnets: tuple[Prefix, ...] = ()
    resolver: str = ""
    reason: str = ""


def look() -> Found:
    """Ask the agent, which knows the NIC and how far the pool grows."""
    resolver = choose_resolver(RESOLVERS)
    try:
        status = agent_status.ask()
    except OSError as error:
        return Found(resolver=resolver, reason=f"the agent does not answer: {error}")
    if status["nic"] is None:
        return Found(resolver=resolver, reason=status["reason"])
    versions = {ip_address(each).version for each in status["nic"]["primary"]}
    first: dict[int, Prefix] = {}
    for each in map(parse_prefix, status["nic"]["subnets"]):
        first.setdefault(each.version, each)
    subnets = tuple(first[version] for version in sorted(first.keys() & versions))
    return Found(agent_status.most_pods(status), subnets, resolver)


def choose_resolver(files: tuple[Path, ...]) -> str:
    """The first file that names servers, and none on the loopback: there a pod would ask itself. Empty: none does."""
    for file in files:
        servers = name_servers(file)
        if servers and not any(each == "::1" or each.startswith("127.") for each in servers):
            return str(file)
    return ""


def documents(found: Found, mode: str) -> list[dict[str, Any]]:
    """The two of kubelet and kube-proxy; what is not known is left out."""
    return [
        kubelet_network(resolver=found.resolver, max_pods=found.max_pods),
        proxy_network(bridged=mode == "bridge", subnets=found.subnets),
    ]


def left_out(found: Found, mode: str) -> list[str]:
    """The settings that are left out, each with why."""
    missing = []
    if not found.max_pods:
        missing.append(f"maxPods ({found.reason or 'the NIC has no addresses for pods'})")
    if mode == "bridge" and not found.subnets:
        missing.append(f"clusterCIDR ({found.reason or 'the NIC has no subnet'})")
    if not found.resolver:
        missing.append(f"resolvConf (no file has servers beyond the loopback: {', '.join(map(str, RESOLVERS))})")
    return missing


def ensure(mode: str) -> list[str]:
    """Write the file, once the agent serves; return what was done, and what was left out."""
    import yaml

    found = look()
    # The note stands within a document: before the first one it would be a document of its own, which kubeadm refuses.
    text = yaml.safe_dump_all(documents(found, mode), sort_keys=False, explicit_start=True)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    write(FILE, text.replace("---\n", f"---\n{_NOTE}\n", 1))
    missing = left_out(found, mode)
    return [f"{FILE}: for kubelet and kube-proxy" + (f", without {', '.join(missing)}" if missing else "")]


def forget() -> list[str]:
    """Remove the file; return what was removed."""
    removed = [str(FILE)] if FILE.exists() else []
    FILE.unlink(missing_ok=True)
    return removed
