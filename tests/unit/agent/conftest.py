"""A resource manager that holds one NIC and can be told to fail, behind azure-core's own transport. Docker's driver."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import HttpTransport

from podvnet.agent.nic_writer import Failed, NicWriter, Written
from podvnet.agent.own_nic import OwnNic
from podvnet.azure.resource_manager import ResourceManager, find_nic
from podvnet.model.address import Mac
from podvnet.model.nic_pool import NicPool
from podvnet.model.resource_id import parse
from podvnet.plan.pool_target import PoolChange, PoolPolicy, Shape, Usage, pool_change
from podvnet.testing.docker_plugin import Plugin

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g/providers"
MACHINE = parse(f"{GROUP}/Microsoft.Compute/virtualMachines/vm")
NIC = parse(f"{GROUP}/Microsoft.Network/networkInterfaces/nic")
MAC = Mac("00:0d:3a:00:00:01")


@dataclass(frozen=True)
class Refusal:
    """What a PUT is answered with instead of being carried out."""

    status: int
    code: str
    headers: dict[str, str] = field(default_factory=dict)


class LostError(Exception):
    """The connection breaks after the PUT was carried out."""


@dataclass
class Answer:
    """What of an HTTP response the pipeline and the client look at."""

    status_code: int
    content: bytes
    headers: dict[str, str]


@dataclass
class FakeArm(HttpTransport[Any, Any]):
    """One VM with one NIC in a subnet with ``room`` for so many more addresses. ``script`` is used up PUT by PUT."""

    room: int = 1000
    script: deque[Refusal | LostError | Callable[[], None] | None] = field(default_factory=deque)
    puts: int = 0
    etag: int = 1
    next: int = 16
    configurations: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        subnet = {"id": f"{GROUP}/Microsoft.Network/virtualNetworks/v/subnets/s"}
        self.configurations = [
            {"name": "primary", "properties": {"primary": True, "privateIPAddress": "10.1.0.4", "subnet": subnet}}
        ]

    def open(self) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def send(self, request: Any, **_: Any) -> Answer:
        assert request.headers["Authorization"] == "Bearer token"
        if "/virtualMachines/" in request.url:
            return self._answer({"properties": {"networkProfile": {"networkInterfaces": [{"id": str(NIC)}]}}})
        if request.method == "GET":
            return self._answer(self._document())
        self.puts += 1
        planned = self.script.popleft() if self.script else None
        if isinstance(planned, Refusal):
            return self._refuse(planned)
        if planned is not None and not isinstance(planned, LostError):
            planned()
        if request.headers["If-Match"] != f'W/"{self.etag}"':
            return self._refuse(Refusal(412, "PreconditionFailed"))
        wanted = json.loads(request.content)["properties"]["ipConfigurations"]
        fresh = [each for each in wanted if "privateIPAddress" not in each["properties"]]
        needed = sum(16 if "privateIPAddressPrefixLength" in each["properties"] else 1 for each in fresh)
        if needed > self.room:
            return self._refuse(Refusal(400, "SubnetIsFull"))
        self.room -= needed
        for each in fresh:
            self._give(each["properties"])
        self.configurations = wanted
        self.etag += 1
        if isinstance(planned, LostError):
            raise ServiceResponseError("connection reset")
        return self._answer(self._document())

    def add(self, name: str) -> None:
        """Somebody else adds an ip-configuration."""
        properties: dict[str, Any] = {}
        self._give(properties)
        self.configurations = [*self.configurations, {"name": name, "properties": properties}]
        self.etag += 1

    def names(self) -> list[str]:
        return [each["name"] for each in self.configurations]

    def _give(self, properties: dict[str, Any]) -> None:
        block = "privateIPAddressPrefixLength" in properties
        self.next = -(-self.next // 16) * 16 if block else self.next
        address = str(IPv4Address("10.1.0.0") + self.next)
        properties["privateIPAddress"] = f"{address}/28" if block else address
        self.next += 16 if block else 1

    def _document(self) -> dict[str, Any]:
        return {
            "id": str(NIC),
            "etag": f'W/"{self.etag}"',
            "properties": {"macAddress": "00-0D-3A-00-00-01", "ipConfigurations": self.configurations},
        }

    @staticmethod
    def _answer(document: dict[str, Any]) -> Answer:
        return Answer(200, json.dumps(document).encode(), {})

    @staticmethod
    def _refuse(refusal: Refusal) -> Answer:
        error = {"error": {"code": refusal.code, "message": "no"}}
        return Answer(refusal.status, json.dumps(error).encode(), refusal.headers)


class Token:
    """A credential that always has a token."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes == ("https://management.azure.com/.default",)
        return AccessToken("token", 1 << 40)


@dataclass
class Bench:
    """A writer on a bench: its waits are noted down instead of being waited, its outcomes kept."""

    arm: FakeArm = field(default_factory=FakeArm)
    usage: Usage = field(default_factory=Usage)
    policy: PoolPolicy = field(default_factory=PoolPolicy)
    waits: list[float] = field(default_factory=list)
    outcomes: list[Written | Failed] = field(default_factory=list)
    patience: int = 50

    def __post_init__(self) -> None:
        manager = ResourceManager(credential=Token(), transport=self.arm)

        def connect(mac: Mac) -> OwnNic:
            nic, resource = find_nic(manager, MACHINE, mac)
            return OwnNic(manager, nic, resource, block=self.policy.shape is Shape.BLOCK)

        self.writer = NicWriter(connect, self.decide, self.outcomes.append, clock=lambda: 0.0, chance=lambda: 1.0)

    def decide(self, pool: NicPool) -> PoolChange:
        return pool_change(pool, self.usage, self.policy)

    def settle(self) -> Written | Failed:
        """Let it work until it is content, or has waited ``patience`` times; return the last outcome."""

        def pause(seconds: float) -> bool:
            self.waits.append(seconds)
            return len(self.waits) >= self.patience

        self.writer.settle(MAC, pause)
        return self.outcomes[-1]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Plugin]:
    made = Plugin(tmp_path)
    yield made
    made.end()
