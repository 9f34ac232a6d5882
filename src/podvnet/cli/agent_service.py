"""The agent as a service of the VM: systemd's unit, or, where there is no systemd, a process that is left running."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

from podvnet.cli import agent_options
from podvnet.cli.in_host import write

RUN = Path("/run/podvnet")
UNIT = Path("/etc/systemd/system/podvnet-agent.service")
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


class NotStartedError(Exception):
    """The agent does not serve. ``remedy`` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def start(conflist: Path) -> str:
    """Start the agent, or start it anew, and wait until it can serve; say as what it runs.

    Args:
        conflist: that it puts in its place and takes away.

    Raises:
        NotStartedError: it does not serve.
    """
    if Path("/run/systemd/system").is_dir():
        write(UNIT, _UNIT_TEXT.format(python=sys.executable, environment=agent_options.FILE, conflist=conflist))
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        # One that runs is started anew: its options, or we, may be others by now.
        for action in ("enable", "restart"):
            started = subprocess.run(
                ["systemctl", action, "podvnet-agent"], check=False, capture_output=True, text=True
            )
            if started.returncode != 0:
                raise NotStartedError(
                    f"systemd did not {action} the agent: {started.stderr.strip()}", "journalctl -u podvnet-agent"
                )
        return f"the agent as {UNIT}"
    stop()
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
                env=os.environ | agent_options.options() | {"NOTIFY_SOCKET": name},
            )
        with contextlib.closing(_pidfd(process.pid)) as ended:
            ready, _, _ = select.select([listener.fileno(), ended.fileno()], [], [], _READY_TIMEOUT)
        if listener.fileno() not in ready:
            words = " / ".join(LOG.read_text(errors="replace").splitlines()[-3:])
            raise NotStartedError(f"the agent does not serve: {words}", f"see {LOG}; `podvnet doctor`")
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


def stop() -> None:
    """End the agent, if there is one, and wait for its end."""
    if Path("/run/systemd/system").is_dir() and UNIT.exists():
        subprocess.run(["systemctl", "stop", "podvnet-agent"], check=False, capture_output=True)
        return
    process = _agent_process()
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError), contextlib.closing(_pidfd(process)) as ended:
        os.kill(process, signal.SIGTERM)
        select.select([ended.fileno()], [], [], 10.0)


def remove_unit() -> None:
    """Have systemd know the agent no more."""
    if UNIT.exists():
        subprocess.run(["systemctl", "disable", "podvnet-agent"], check=False, capture_output=True)
        UNIT.unlink(missing_ok=True)
        subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)


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
