"""``podvnet install`` and ``uninstall``: the plug-in on a VM.

The order makes every half-way state safe: executables, then the agent, then, once the agent can serve, the conflist,
which is what makes a runtime use it. Uninstalling goes the other way.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from podvnet.cli.fabric import json_option
from podvnet.cli.output import FailureError, print_json
from podvnet.plugin.shim import best_shim, compiled_path

PROGRAMS = ("azure-vnet", "azure-vnet-ipam")
CONFLIST = "10-azure.conflist"
UNIT = Path("/etc/systemd/system/podvnet-agent.service")
RUN = Path("/run/podvnet")
LOG = Path("/var/log/podvnet-agent.log")
_READY_TIMEOUT = 60.0

_UNIT_TEXT = """[Unit]
Description=podvnet agent: pods on the Azure virtual network
After=network-online.target
Wants=network-online.target
Before=containerd.service crio.service kubelet.service

[Service]
Type=notify
EnvironmentFile=-/etc/podvnet/agent.env
ExecStart={python} -m podvnet agent
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""


@click.command()
@click.option(
    "--mode", type=click.Choice(["transparent", "bridge", "tunnel"]), default="transparent", show_default=True
)
@click.option("--name", default="azure", show_default=True, help="The name of the network.")
@click.option("--vnet-prefix", multiple=True, help="A prefix of the virtual network; default: every private range.")
@click.option("--non-masquerade", multiple=True, help="A destination that sees pods' own addresses.")
@click.option("--bin-dir", type=click.Path(path_type=Path), default=Path("/opt/cni/bin"), show_default=True)
@click.option("--conf-dir", type=click.Path(path_type=Path), default=Path("/etc/cni/net.d"), show_default=True)
@click.option("--no-agent", is_flag=True, help="Do not start the agent; it is run some other way.")
@click.option("--unattended", is_flag=True, help="Keep a conflist that is there (what a VM runs at boot).")
@json_option
def install(
    mode: str,
    name: str,
    vnet_prefix: tuple[str, ...],
    non_masquerade: tuple[str, ...],
    bin_dir: Path,
    conf_dir: Path,
    no_agent: bool,
    unattended: bool,
    as_json: bool,
) -> None:
    """Install the plug-in on this VM: executables, agent, and last the conflist.

    \b
    Examples:
      podvnet install
      podvnet install --mode tunnel --non-masquerade 198.51.100.0/24
    """  # noqa: D301
    _check_root(as_json=as_json)
    for text in (*vnet_prefix, *non_masquerade):
        try:
            ipaddress.ip_network(text)
        except ValueError as problem:
            raise FailureError(f"{text!r} is not a prefix: {problem}", as_json=as_json) from None
    done = [f"{program} in {bin_dir}" for program in PROGRAMS]
    bin_dir.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        _copy(best_shim(), bin_dir / program)
    if not no_agent:
        done.append(_start_agent(as_json=as_json))
    conf_dir.mkdir(parents=True, exist_ok=True)
    target = conf_dir / CONFLIST
    if not (unattended and target.exists()):
        conflist = _conflist(mode, name, vnet_prefix, non_masquerade, bin_dir)
        _write(target, json.dumps(conflist, indent=2) + "\n")
        done.append(f"{target}: network {name!r}, mode {mode}")
    if as_json:
        print_json({"installed": done, "shim": "compiled" if compiled_path().exists() else "python"})
        return
    for each in done:
        click.echo(f"installed {each}")
    if not compiled_path().exists():
        click.echo("note: no C compiler was there when podvnet was built, so the slower Python shim is used", err=True)


@click.command()
@click.option("--bin-dir", type=click.Path(path_type=Path), default=Path("/opt/cni/bin"), show_default=True)
@click.option("--conf-dir", type=click.Path(path_type=Path), default=Path("/etc/cni/net.d"), show_default=True)
@click.option("--force", is_flag=True, help="Even if pods are attached; they lose their network.")
@json_option
def uninstall(bin_dir: Path, conf_dir: Path, force: bool, as_json: bool) -> None:
    """Take the plug-in off this VM: the conflist first, then the agent, its rules, the executables."""
    from podvnet.agent.removal import NotEmptyError, remove_traces

    _check_root(as_json=as_json)
    (conf_dir / CONFLIST).unlink(missing_ok=True)
    _stop_agent()
    try:
        removed = remove_traces(RUN, force=force)
    except NotEmptyError as error:
        raise FailureError(str(error), "delete the pods first, or use --force", as_json=as_json) from None
    if UNIT.exists():
        subprocess.run(["systemctl", "disable", "podvnet-agent"], check=False, capture_output=True)
        UNIT.unlink(missing_ok=True)
        subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)
    for program in PROGRAMS:
        (bin_dir / program).unlink(missing_ok=True)
    if as_json:
        print_json({"removed": removed})
        return
    for each in removed:
        click.echo(f"removed {each}")
    click.echo("uninstalled")


def _check_root(*, as_json: bool) -> None:
    if os.geteuid() != 0:
        raise FailureError("installing needs root", "run it with sudo", as_json=as_json)


def _conflist(
    mode: str, name: str, prefixes: tuple[str, ...], exceptions: tuple[str, ...], bin_dir: Path
) -> dict[str, Any]:
    plugin: dict[str, Any] = {"type": "azure-vnet", "mode": mode, "ipam": {"type": "azure-vnet-ipam"}}
    if prefixes:
        plugin["vnetCidrs"] = list(prefixes)
    if exceptions:
        plugin["nonMasquerade"] = list(exceptions)
    plugins = [plugin]
    if (bin_dir / "portmap").exists():
        plugins.append({"type": "portmap", "capabilities": {"portMappings": True}, "snat": True})
    # 1.0.0: the newest that containerd 1.6 and podman 4 understand.
    return {"cniVersion": "1.0.0", "name": name, "plugins": plugins}


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}")
    shutil.copyfile(source, temporary)
    temporary.chmod(0o755)
    temporary.rename(target)


def _write(target: Path, text: str) -> None:
    temporary = target.with_name(f".{target.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(0o644)
    temporary.rename(target)


def _start_agent(*, as_json: bool) -> str:
    if Path("/run/systemd/system").is_dir():
        _write(UNIT, _UNIT_TEXT.format(python=sys.executable))
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        started = subprocess.run(
            ["systemctl", "enable", "--now", "podvnet-agent"], check=False, capture_output=True, text=True
        )
        if started.returncode != 0:
            raise FailureError(
                f"systemd did not start the agent: {started.stderr.strip()}",
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
                [sys.executable, "-m", "podvnet", "agent"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                env=os.environ | {"NOTIFY_SOCKET": name},
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
