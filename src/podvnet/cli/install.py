"""``podvnet install`` and ``uninstall``: the plug-in on a VM.

The order makes every half-way state safe: executables, then the agent, then, once the agent can serve, the conflist,
which is what makes a runtime use it. Uninstalling goes the other way. From then on the agent withdraws the conflist
while no pod can be attached and none is.
"""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path

import click

from podvnet.agent.conflist_gate import withdrawn
from podvnet.cli import agent_options, agent_service, containerd_settings, in_host, kernel_settings, kubeadm_settings
from podvnet.cli import conflist as conflists
from podvnet.cli.agent_service import RUN
from podvnet.cli.fabric import json_option
from podvnet.cli.in_host import PROGRAMS, copy, copy_programs, write
from podvnet.cli.output import FailureError, print_json
from podvnet.plugin.shim import best_shim, compiled_path

NETAVARK = Path("/usr/local/libexec/netavark/azure-vnet")
"""Where podman looks first for network drivers of netavark."""
KUBECONFIG = Path("/etc/kubernetes/kubelet.conf")
"""kubelet's own: what a node's agent asks is allowed to it, for its own node and pods."""
STATE = Path("/var/lib/podvnet")
DOCKER_SOCKET = Path("/run/docker/plugins/azure-vnet.sock")


@click.command()
@click.option(
    "--mode",
    type=click.Choice(["transparent", "bridge", "tunnel"]),
    default="transparent",
    show_default=True,
    envvar="PODVNET_MODE",
)
@click.option(
    "--name", default="azure", show_default=True, envvar="PODVNET_NETWORK_NAME", help="The name of the network."
)
@click.option(
    "--vnet-prefix",
    multiple=True,
    envvar="PODVNET_VNET_PREFIXES",
    help="A prefix of the virtual network; default: every private range.",
)
@click.option(
    "--non-masquerade",
    multiple=True,
    envvar="PODVNET_NON_MASQUERADE",
    help="A destination that sees pods' own addresses.",
)
@click.option("--bin-dir", type=click.Path(path_type=Path), default=Path("/opt/cni/bin"), show_default=True)
@click.option("--conf-dir", type=click.Path(path_type=Path), default=Path("/etc/cni/net.d"), show_default=True)
@click.option(
    "--plugins-from",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Link loopback, portmap and bandwidth from here into bin-dir: host ports and shaping. Debian: /usr/lib/cni.",
)
@click.option("--netavark", is_flag=True, help="Serve podman's netavark as well: its network driver azure-vnet.")
@click.option("--docker", is_flag=True, help="Serve Docker as well: its network and IPAM driver azure-vnet.")
@click.option("--kubernetes", is_flag=True, help="Set, now and at every boot, what Services of Kubernetes need.")
@click.option("--no-agent", is_flag=True, help="Do not start the agent; it is run some other way.")
@click.option(
    "--into-host",
    is_flag=True,
    help="For a container before the agent's: into folders of the host, without starting the agent, which puts the"
    " conflist in its place.",
)
@click.option("--unattended", is_flag=True, help="Keep a conflist that is there (what a VM runs at boot).")
@json_option
def install(
    mode: str,
    name: str,
    vnet_prefix: tuple[str, ...],
    non_masquerade: tuple[str, ...],
    bin_dir: Path,
    conf_dir: Path,
    plugins_from: Path | None,
    netavark: bool,
    docker: bool,
    kubernetes: bool,
    no_agent: bool,
    into_host: bool,
    unattended: bool,
    as_json: bool,
) -> None:
    """Install the plug-in on this VM: executables, agent, and last the conflist.

    \b
    Examples:
      podvnet install
      podvnet install --plugins-from /usr/lib/cni
      podvnet install --mode tunnel --non-masquerade 198.51.100.0/24
    """  # noqa: D301
    _check_root(as_json=as_json)
    for text in (*vnet_prefix, *non_masquerade):
        try:
            ipaddress.ip_network(text)
        except ValueError as problem:
            raise FailureError(f"{text!r} is not a prefix: {problem}", as_json=as_json) from None
    target = conf_dir / conflists.NAME
    aside = withdrawn(target)
    done = copy_programs(bin_dir)
    if into_host:
        done += _copy_reference(plugins_from, bin_dir, as_json=as_json) if plugins_from else []
        done += _set_kernel(mode, now=False, persist=kubernetes, as_json=as_json)
        document = conflists.conflist(mode, name, vnet_prefix, non_masquerade, bin_dir, annotations=True)
        done.append(f"{in_host.offer(target, document)}: network {name!r}, mode {mode}")
        _say(done, as_json=as_json)
        return
    if plugins_from:
        done += _link_reference(plugins_from, bin_dir, as_json=as_json)
    if netavark:
        NETAVARK.parent.mkdir(parents=True, exist_ok=True)
        copy(best_shim(), NETAVARK)
        done.append(f"netavark's driver azure-vnet in {NETAVARK.parent}")
    if docker:
        done.append(_serve_docker())
    if kubernetes:
        done += _set_kernel(mode, now=True, persist=True, as_json=as_json)
        done += _follow_kubernetes(bin_dir, as_json=as_json)
    if not no_agent:
        done.append(_start_agent(target, as_json=as_json))
    if kubernetes:
        done += kubeadm_settings.ensure(mode)
    conf_dir.mkdir(parents=True, exist_ok=True)
    # The agent may be moving it just now; wherever it is, it was there before or is there after.
    if not (unattended and any(each.exists() for each in (aside, target, aside))):
        conflist = conflists.conflist(mode, name, vnet_prefix, non_masquerade, bin_dir, annotations=kubernetes)
        write(target, json.dumps(conflist, indent=2) + "\n")
        aside.unlink(missing_ok=True)
        done.append(f"{target}: network {name!r}, mode {mode}")
    _say(done, kubeadm_settings.NEXT if kubernetes else "", as_json=as_json)


@click.command()
@click.option("--bin-dir", type=click.Path(path_type=Path), default=Path("/opt/cni/bin"), show_default=True)
@click.option("--conf-dir", type=click.Path(path_type=Path), default=Path("/etc/cni/net.d"), show_default=True)
@click.option("--force", is_flag=True, help="Even if pods are attached; they lose their network.")
@click.option(
    "--from-host",
    is_flag=True,
    help="For a container when the agent's is gone, which is waited for: from folders of the host, pods or no pods.",
)
@click.option("--await-nodes", metavar="DAEMONSET", help="In a pod: wait until it is ready on every node; no more.")
@click.option("--namespace", default="kube-system", show_default=True, help="await-nodes: the DaemonSet's.")
@json_option
def uninstall(
    bin_dir: Path,
    conf_dir: Path,
    force: bool,
    from_host: bool,
    await_nodes: str | None,
    namespace: str,
    as_json: bool,
) -> None:
    """Take the plug-in off this VM: the conflist first, then the agent, its rules, the executables."""
    from podvnet.agent.removal import NotEmptyError, remove_traces

    if await_nodes:
        _await_nodes(await_nodes, namespace, as_json=as_json)
        return
    _check_root(as_json=as_json)
    target = conf_dir / conflists.NAME
    if from_host:
        _remove_from_host(target, bin_dir, as_json=as_json)
        return
    target.unlink(missing_ok=True)
    agent_service.stop()
    withdrawn(target).unlink(missing_ok=True)
    try:
        removed = remove_traces(RUN, STATE, force=force)
    except NotEmptyError as error:
        raise FailureError(str(error), "delete the pods first, or use --force", as_json=as_json) from None
    agent_service.remove_unit()
    for program in PROGRAMS:
        (bin_dir / program).unlink(missing_ok=True)
    conflists.unlink_reference(bin_dir)
    NETAVARK.unlink(missing_ok=True)
    removed += _forget_kubernetes()
    if _forget_docker():
        removed.append(f"Docker's driver azure-vnet, from {agent_options.FILE}")
    _say_removed(removed, as_json=as_json)


def _say(done: list[str], next_step: str = "", *, as_json: bool) -> None:
    if as_json:
        shim = "compiled" if compiled_path().exists() else "python"
        print_json({"installed": done, "shim": shim, "next": next_step})
        return
    for each in done:
        click.echo(f"installed {each}")
    if next_step:
        click.echo(f"next: {next_step}")
    if not compiled_path().exists():
        click.echo("note: no C compiler was there when podvnet was built, so the slower Python shim is used", err=True)


def _say_removed(removed: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"removed": removed})
        return
    for each in removed:
        click.echo(f"removed {each}")
    click.echo("uninstalled")


def _remove_from_host(target: Path, bin_dir: Path, *, as_json: bool) -> None:
    """Remove what containers put into a host, once the agent in one is gone."""
    from podvnet.agent.removal import remove_traces

    in_host.withdraw(target)
    try:
        in_host.wait_for_agent(RUN)
    except in_host.AgentStaysError as error:
        remedy = "delete the agent's DaemonSet; one that systemd runs goes with `podvnet uninstall` on the node"
        raise FailureError(str(error), remedy, as_json=as_json) from None
    in_host.withdraw(target)  # an agent that ends moves it
    removed = remove_traces(RUN, STATE, force=True)
    removed += [*in_host.take_programs(bin_dir, STATE), *kernel_settings.forget()]
    _say_removed(removed, as_json=as_json)


def _await_nodes(name: str, namespace: str, *, as_json: bool) -> None:
    from podvnet.azure.error import SourceError

    try:
        ready = in_host.await_nodes(name, namespace)
    except SourceError as error:
        raise FailureError(error.message, error.remedy, as_json=as_json) from None
    except TimeoutError as error:
        remedy = f"kubectl -n {namespace} describe pods: what do they wait for?"
        raise FailureError(str(error), remedy, as_json=as_json) from None
    _say_removed([f"podvnet from {ready} nodes"], as_json=as_json)


def _set_kernel(mode: str, *, now: bool, persist: bool, as_json: bool) -> list[str]:
    try:
        return kernel_settings.ensure(bridged=mode != "transparent", now=now, persist=persist)
    except kernel_settings.NotSetError as error:
        raise FailureError(str(error), error.remedy, as_json=as_json) from None


def _copy_reference(source: Path, bin_dir: Path, *, as_json: bool) -> list[str]:
    try:
        return in_host.copy_reference(source, bin_dir, STATE)
    except FileNotFoundError as error:
        raise FailureError(f"{error.filename} is not there", "is the image whole?", as_json=as_json) from None


def _check_root(*, as_json: bool) -> None:
    if os.geteuid() != 0:
        raise FailureError("installing needs root", "run it with sudo", as_json=as_json)


def _link_reference(source: Path, bin_dir: Path, *, as_json: bool) -> list[str]:
    try:
        return conflists.link_reference(source, bin_dir)
    except FileNotFoundError as error:
        remedy = "apt-get install containernetworking-plugins"
        raise FailureError(f"{error.filename} is not there", remedy, as_json=as_json) from None


def _serve_docker() -> str:
    if agent_options.options().get("PODVNET_DOCKER") != "1":
        agent_options.forget("PODVNET_DOCKER")
        agent_options.add("PODVNET_DOCKER", "1")
    return f"Docker's driver azure-vnet, by {agent_options.FILE}"


def _forget_docker() -> bool:
    """Take back what :func:`_serve_docker` wrote, and nothing else of the file; tell whether it was there."""
    DOCKER_SOCKET.unlink(missing_ok=True)  # of an agent that was killed: Docker would go on asking there
    return agent_options.forget("PODVNET_DOCKER")


def _follow_kubernetes(bin_dir: Path, *, as_json: bool) -> list[str]:
    """Have the agent speak to the API server as kubelet does, and containerd look where the plug-in is."""
    agent_options.add("PODVNET_KUBECONFIG", str(KUBECONFIG))
    done = [f"the agent's way to the API server, {KUBECONFIG}, by {agent_options.FILE}"]
    try:
        changed = containerd_settings.point_to(bin_dir)
    except containerd_settings.NotPointedError as error:
        raise FailureError(str(error), error.remedy, as_json=as_json) from None
    return [*done, *changed]


def _forget_kubernetes() -> list[str]:
    removed = [*kernel_settings.forget(), *kubeadm_settings.forget()]
    ours = agent_options.options().get("PODVNET_KUBECONFIG") == str(KUBECONFIG)
    if ours and agent_options.forget("PODVNET_KUBECONFIG"):
        removed.append(f"the agent's way to the API server, from {agent_options.FILE}")
    return removed


def _start_agent(conflist: Path, *, as_json: bool) -> str:
    try:
        return agent_service.start(conflist)
    except agent_service.NotStartedError as error:
        raise FailureError(str(error), error.remedy, as_json=as_json) from None
