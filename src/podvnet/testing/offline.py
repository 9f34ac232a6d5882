"""The API of a fabric without a kernel, asked in this process: for properties of what it answers and keeps.

The data plane only follows the steps, and a step that cannot be is an error of whoever asks.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from podvnet.fabric.api.application import ResourceManager
from podvnet.fabric.arm.world import World
from podvnet.fabric.engine import Fabric
from podvnet.fabric.identity.principals import Principals, Role
from podvnet.fabric.identity.tokens import Signer
from podvnet.fabric.machine import Machine
from podvnet.fabric.turn import Turn
from podvnet.model.flow import Flow
from podvnet.model.kernel import NetworkNamespace, Program, Step

ENDPOINT = "https://localhost:8443"
_VERSION = "2024-05-01"


class Follower:
    """A data plane that keeps the program it is brought to, and carries nothing out."""

    def __init__(self) -> None:
        self.program: dict[str, set[Any]] = {}

    def apply(self, steps: tuple[Step, ...]) -> None:
        """Follow the steps; each must be possible."""
        for step in steps:
            held = self.program.setdefault(step.namespace, set())
            if step.add:
                if step.object in held:
                    raise AssertionError(f"{step} is there")
                held.add(step.object)
            elif isinstance(step.object, NetworkNamespace):
                del self.program[step.namespace]
            else:
                held.remove(step.object)

    def recover(self, program: Program) -> tuple[Step, ...]:
        """Hold this program from now on."""
        self.program = {label: set(objects) for label, objects in program.items()}
        return ()

    def compare(self, _: Program) -> tuple[Step, ...]:
        """Nothing ever differs."""
        return ()

    def machine(self, label: str) -> Machine:
        """There are none."""
        raise AssertionError(label)

    def boot(self, labels: set[str], _: Callable[[str], str], __: Callable[[Machine], None]) -> None:
        """See that the namespaces are there."""
        self._require(labels)

    def shut_down(self, labels: set[str], *, discard: bool) -> None:
        """See that the namespaces are there, unless the VMs' disks are all that is left."""
        self._require(set() if discard else labels)

    def rule_counters(self, _: str, __: str) -> dict[str, int]:
        """None: there is no kernel."""
        return {}

    def end_flows(self, _: str, refused: Callable[[list[Flow]], set[Flow]]) -> int:
        """None are there to end."""
        return len(refused([]))

    def forget_flows(self, _: str, __: Callable[[Flow, Flow], bool]) -> int:
        """None are there to forget."""
        return 0

    def counters(self, _: str) -> dict[str, int]:
        """Nothing is dropped."""
        return {}

    def close(self) -> None:
        """Forget everything."""
        self.program.clear()

    def _require(self, labels: set[str]) -> None:
        if not labels <= self.program.keys():
            raise AssertionError(f"no namespaces {labels - self.program.keys()}")


class OfflineApi:
    """Clients' end of a fabric that keeps its state in a temporary directory."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._loop = asyncio.new_event_loop()
        self._principals = Principals(Path(self._directory.name) / "principals.db")
        principal, _ = self._principals.make("test", Role.CONTRIBUTOR)
        self._token = _signer().mint(principal, ENDPOINT, time.time())
        self._start()

    def _start(self) -> None:
        place = Path(self._directory.name)
        self._plane = Follower()
        self._fabric = Fabric(place / "run", place / "state", (), dataplane=self._plane)
        self._fabric.recover()
        self._application = ResourceManager(self._fabric, Turn(), self._principals, _signer()).application()

    @property
    def world(self) -> World:
        """Every resource there is. To be read only."""
        return self._fabric.world

    @property
    def program(self) -> dict[str, set[Any]]:
        """What the kernel would hold."""
        return self._plane.program

    def ask(
        self, method: str, path: str, body: object = None, version: str = _VERSION, **headers: str
    ) -> tuple[int, Any]:
        """One request; its status and body."""
        raw = b"" if body is None else json.dumps(body).encode()
        sent = [("host", "localhost:8443"), ("authorization", f"Bearer {self._token}"), *headers.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https",
            "path": path, "raw_path": path.encode(), "query_string": f"api-version={version}".encode(),
            "root_path": "", "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent],
            "server": ("localhost", 8443), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        answers: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            answers.append(message)

        self._loop.run_until_complete(self._application(scope, receive, send))
        text = b"".join(each.get("body", b"") for each in answers[1:])
        return answers[0]["status"], json.loads(text) if text else None

    def restart(self) -> None:
        """End the fabric, and start it again over the state it left."""
        self._fabric.close()
        self._start()

    def close(self) -> None:
        """End the fabric and remove its state."""
        self._fabric.close()
        self._principals.close()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self._directory.cleanup()


@cache
def _signer() -> Signer:
    return Signer(rsa.generate_private_key(public_exponent=65537, key_size=2048), f"{ENDPOINT}/issuer")
