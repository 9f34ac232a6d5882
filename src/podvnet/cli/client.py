"""Speaks to the fabric process; starts one when there is none."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from podvnet.cli import left_running
from podvnet.cli.output import FailureError

RUN = Path("/run/podvnet/fabric")
_START_TIMEOUT = 120.0


def state_directory() -> Path:
    """Where the fabric keeps what outlives a reboot."""
    return Path(os.environ.get("PODVNET_STATE", "/var/lib/podvnet")) / "fabric"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("fabric", timeout=600)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def running() -> bool:
    """Tell whether a fabric process answers."""
    probe = _UnixConnection(RUN / "fabric.sock")
    try:
        probe.connect()
    except OSError:
        return False
    finally:
        probe.close()
    return True


def ask(method: str, path: str, body: Any = None, *, as_json: bool = False) -> Any:
    """Ask the fabric process.

    Raises:
        FailureError: it is not there, or it refuses.
    """
    connection = _UnixConnection(RUN / "fabric.sock")
    try:
        connection.request(method, path, body=None if body is None else json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read() or b"null")
    except (OSError, http.client.HTTPException) as error:
        raise FailureError(
            f"no fabric answers at {RUN / 'fabric.sock'}: {error}", "`podvnet up FILE` starts one", as_json=as_json
        ) from None
    except ValueError:
        raise FailureError(f"the fabric failed on {method} {path}", f"see {log_path()}", as_json=as_json) from None
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        errors = answer.get("errors", [])
        what = f"{len(errors)} things are wrong" if len(errors) > 1 else (errors[0]["message"] if errors else "refused")
        raise FailureError(what, "", details=errors if len(errors) > 1 else (), as_json=as_json)
    return answer


def wait_until_gone() -> None:
    """Wait until the fabric process, told to end, has ended: it holds its lock as long as it lives."""
    with contextlib.suppress(FileNotFoundError), (RUN / "fabric.lock").open(encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)


def log_path() -> Path:
    """The log of a fabric process started by :func:`ensure_running`."""
    return state_directory() / "fabric.log"


def ensure_running(progress: Callable[[str], None], *, agents: bool = True) -> None:
    """Start a fabric process unless one answers; return once it does.

    Raises:
        FailureError: it ended instead.
    """
    if running():
        return
    progress("starting the fabric")
    log = log_path()
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        left_running.start(["fabric", *([] if agents else ["--no-agents"])], log, _START_TIMEOUT)
    except left_running.NotReadyError as error:
        what = f"the fabric did not start: {error}"
        raise FailureError(what, f"see {log}; `podvnet doctor` checks this machine") from None
