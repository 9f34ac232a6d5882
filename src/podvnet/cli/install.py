"""``podvnet install`` and ``uninstall``: the plug-in on a VM.

The order makes every half-way state safe: executables, then the agent, then, once the agent can serve, the conflist,
which is what makes a runtime use it. Uninstalling goes the other way. From then on the agent withdraws the conflist
while no pod can be attached and none is.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click

from podvnet.agent.conflist_gate import withdrawn
from podvnet.cli import conflist as conflists
from podvnet.cli import containerd_settings, in_host, kernel_settings, kubeadm_settings
from podvnet.cli.fabric import json_option
from podvnet.cli.in_host import PROGRAMS, copy, copy_programs, write
from podvnet.cli.output import FailureError, print_json
from podvnet.plugin.shim import best_shim, compiled_path

NETAVARK = Path("/usr/local/libexec/netavark/azure-vnet")
"""Where podman looks first for network drivers of netavark."""
UNIT = Path("/etc/systemd/system/podvnet-agent.service")
ENVIRONMENT = Path("/etc/podvnet/agent.env")
"""Options of the agent as variables, read at its start."""
KUBECONFIG = Path("/etc/kubernetes/kubelet.conf")
"""kubelet's own: what a node's agent asks is allowed to it, for its own node and pods."""
RUN = Path("/run/podvnet")
STATE = Path("/var/lib/podvnet")
DOCKER_SOCKET = Path("/run/docker/plugins/azure-vnet.sock")
LOG = Path("/var/log/podvnet-agent.log")
_READY_TIMEOUT = 60.0

_UNIT_TEXT = """[Unit]
Description=podvnet agent: pods on the Azure virtual network
After=network-online.target
Wants=network-online.target
Before=containerd.service crio.service docker.service kubelet.service

[Service]
Type=notify
EnvironmentFile=-{environment}
ExecStart={python} -m podvnet agent --conflist {conflist}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""


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
    _stop_agent()
    withdrawn(target).unlink(missing_ok=True)
    try:
        removed = remove_traces(RUN, STATE, force=force)
    except NotEmptyError as error:
        raise FailureError(str(error), "delete the pods first, or use --force", as_json=as_json) from None
    if UNIT.exists():
        subprocess.run(["systemctl", "disable", "podvnet-agent"], check=False, capture_output=True)
        UNIT.unlink(missing_ok=True)
        subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)
    for program in PROGRAMS:
        (bin_dir / program).unlink(missing_ok=True)
    conflists.unlink_reference(bin_dir)
    NETAVARK.unlink(missing_ok=True)
    removed += _forget_kubernetes()
    if _forget_docker():
        removed.append(f"Docker's driver azure-vnet, from {ENVIRONMENT}")
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


def _environment() -> dict[str, str]:
    """What the file of options says. systemd reads it by itself."""
    lines = ENVIRONMENT.read_text(encoding="utf-8").splitlines() if ENVIRONMENT.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def _set_option(name: str, value: str) -> None:
    if name not in _environment():
        ENVIRONMENT.parent.mkdir(parents=True, exist_ok=True)
        text = ENVIRONMENT.read_text(encoding="utf-8") if ENVIRONMENT.exists() else ""
        write(ENVIRONMENT, f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{name}={value}\n")


def _serve_docker() -> str:
    if _environment().get("PODVNET_DOCKER") != "1":
        _forget_option("PODVNET_DOCKER")
        _set_option("PODVNET_DOCKER", "1")
    return f"Docker's driver azure-vnet, by {ENVIRONMENT}"


def _forget_docker() -> bool:
    """Take back what :func:`_serve_docker` wrote, and nothing else of the file; tell whether it was there."""
    DOCKER_SOCKET.unlink(missing_ok=True)  # of an agent that was killed: Docker would go on asking there
    return _forget_option("PODVNET_DOCKER")


def _follow_kubernetes(bin_dir: Path, *, as_json: bool) -> list[str]:
    """Have the agent speak to the API server as kubelet does, and containerd look where the plug-in is."""
    _set_option("PODVNET_KUBECONFIG", str(KUBECONFIG))
    done = [f"the agent's way to the API server, {KUBECONFIG}, by {ENVIRONMENT}"]
    try:
        changed = containerd_settings.point_to(bin_dir)
    except containerd_settings.NotPointedError as error:
        raise FailureError(str(error), error.remedy, as_json=as_json) from None
    return [*done, *changed]


def _forget_kubernetes() -> list[str]:
    removed = [*kernel_settings.forget(), *kubeadm_settings.forget()]
    if _environment().get("PODVNET_KUBECONFIG") == str(KUBECONFIG) and _forget_option("PODVNET_KUBECONFIG"):
        removed.append(f"the agent's way to the API server, from {ENVIRONMENT}")
    return removed


def _forget_option(name: str) -> bool:
    """Take an option out of the file, and nothing else; tell whether it was there."""
    if name not in _environment():
        return False
    lines = ENVIRONMENT.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = "".join(line for line in lines if line.partition("=")[0].strip() != name)
    if kept.strip():
        write(ENVIRONMENT, kept)
    else:
        ENVIRONMENT.unlink()
    return True


def _start_agent(conflist: Path, *, as_json: bool) -> str:
    if Path("/run/systemd/system").is_dir():
        write(UNIT, _UNIT_TEXT.format(python=sys.executable, environment=ENVIRONMENT, conflist=conflist))
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        # One that runs is started anew: its options, or we, may be others by now.
        for action in ("enable", "restart"):
            started = subprocess.run(
                ["systemctl", action, "podvnet-agent"], check=False, capture_output=True, text=True
            )
            if started.returncode != 0:
                raise FailureError(
                    f"systemd did not {action} the agent: {started.stderr.strip()}",
                    "journalctl -u podvnet-agent",
                    as_json=as_json,
                )
        return f"the agent as {UNIT}"
    _stop_agent()
    # The protocol of sd_notify, with us in systemd's place: the agent says when it can serve.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")  # an abstract name of the kernel's choice
        name = "@" + listener.getsockname()[1:].decode()
        with LOG.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "podvnet", "agent", "--conflist", str(conflist)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                env=os.environ | _environment() | {"NOTIFY_SOCKET": name},
            )
        with contextlib.closing(_pidfd(process.pid)) as ended:
            ready, _, _ = select.select([listener.fileno(), ended.fileno()], [], [], _READY_TIMEOUT)
        if listener.fileno() not in ready:
            words = " / ".join(LOG.read_text(errors="replace").splitlines()[-3:])
            raise FailureError(f"the agent does not serve: {words}", f"see {LOG}; `podvnet doctor`", as_json=as_json)
    return f"the agent (no systemd here: process {process.pid}, log {LOG})"


class _Descriptor:
    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def close(self) -> None:
        os.close(self._number)


def _pidfd(process: int) -> _Descriptor:
    return _Descriptor(os.pidfd_open(process))


def _stop_agent() -> None:
    if Path("/run/systemd/system").is_dir() and UNIT.exists():
        subprocess.run(["systemctl", "stop", "podvnet-agent"], check=False, capture_output=True)
        return
    process = _agent_process()
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError), contextlib.closing(_pidfd(process)) as ended:
        os.kill(process, signal.SIGTERM)
        select.select([ended.fileno()], [], [], 10.0)


def signal_agent() -> bool:
    """Tell the agent to look again (SIGHUP); return whether there is one."""
    process = _agent_process()
    if process is None:
        return False
    os.kill(process, signal.SIGHUP)
    return True


def _agent_process() -> int | None:
    lock = RUN / "agent.lock"
    text = lock.read_text(encoding="ascii").strip() if lock.exists() else ""
    return int(text) if text.isdigit() and _holds(int(text), lock) else None


def _holds(process: int, lock: Path) -> bool:
    """Tell whether the process has the lock file open: a number in a file may be another's by now."""
    try:
        return any(each.samefile(lock) for each in Path(f"/proc/{process}/fd").iterdir() if each.exists())
    except OSError:
        return False
