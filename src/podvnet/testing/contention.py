"""Many clients of the real SDK writing to one virtual network at once, each keeping account of what must be there.

Every writer has things of its own, which nobody else writes: NICs, a subnet, a rule of the shared security group. All
share two counters, written with If-Match, and one security group that everybody replaces without. What a writer was
told is what must hold at the end; a refusal must have changed nothing.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.mgmt.network import NetworkManagementClient

from podvnet.testing.cloud import Cloud

GROUP, NETWORK, COUNTED, SHARED, CONTESTED = "contention", "busy", "counted", "shared", "contested"
SUPERSEDED = "CanceledAndSupersededDueToAnotherOperation"
MACHINES = 4
"""So many writers' first NICs are on VMs, so that their writes reach the kernel."""
_REFUSALS = {"PreconditionFailed", "AnotherOperationInProgress", SUPERSEDED}
"""What a write that is right may be told when others write as well."""
_LARGEST = 12


@dataclass
class Account:
    """What the writers saw.

    Attributes:
        written: successful writes, by kind.
        refused: refusals after the SDK's own retries, by code.
        answers: every answer on the wire, by status.
        wrong: what must not happen, in words.
    """

    seconds: float = 0.0
    written: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The figures."""
        total = sum(self.written.values())
        return {
            "seconds": round(self.seconds, 1),
            "writes": total,
            "writesPerSecond": round(total / self.seconds, 1),
            "written": dict(self.written.most_common()),
            "refused": dict(self.refused.most_common()),
            "answers": {str(status): count for status, count in sorted(self.answers.items())},
            "wrong": self.wrong,
        }


@dataclass
class Writer:
    """One client, and what it knows to be there of its own."""

    number: int
    network: NetworkManagementClient
    account: Account
    nics: dict[str, int] = field(default_factory=dict)
    """By name, how many ip-configurations each has."""
    port: str = ""
    """Of its rule; empty when there is none."""
    guarded: bool | None = None
    """Whether its subnet names the security group; None when there is no subnet."""
    counted: Counter[str] = field(default_factory=Counter)
    tokens: list[str] = field(default_factory=list)
    """What it was told that it wrote to the contested group, latest last."""

    def write_until(self, deadline: float) -> None:
        """Write this and that until the deadline, a moment of :func:`time.monotonic`."""
        dice = random.Random(self.number)  # noqa: S311 - the same writes every time, as far as the others let them
        actions: list[Callable[[random.Random], None]] = [
            self._nic,
            self._nic,
            self._subnet,
            self._rule,
            self._count_network,
            self._count_group,
            self._contest,
        ]
        while time.monotonic() < deadline:
            action = dice.choice(actions)
            try:
                action(dice)
            except HttpResponseError as refused:
                code = (refused.error.code if refused.error else None) or str(refused.status_code)
                self.account.refused[code] += 1
                if code not in _REFUSALS:
                    self.account.wrong.append(f"writer {self.number}, {action.__name__}: {refused.message}")
            else:
                self.account.written[action.__name__.strip("_")] += 1

    def _nic(self, dice: random.Random) -> None:
        name = f"nic-{self.number}-{dice.randrange(2)}"
        if name in self.nics and not self._is_plugged(name) and dice.random() < 0.3:
            self.network.network_interfaces.begin_delete(GROUP, name, polling=False).result()
            del self.nics[name]
            return
        count = dice.randrange(1, _LARGEST)
        body = _nic_body(self.network, count)
        made = self.network.network_interfaces.begin_create_or_update(GROUP, name, body).result()
        self.nics[name] = count
        if len(made.ip_configurations or []) != count:
            self.account.wrong.append(f"{name} was answered with {len(made.ip_configurations or [])}, not {count}")

    def _is_plugged(self, name: str) -> bool:
        return self.number < MACHINES and name.endswith("-0")

    def _subnet(self, dice: random.Random) -> None:
        if self.guarded is not None and dice.random() < 0.3:
            self.network.subnets.begin_delete(GROUP, NETWORK, f"own-{self.number}", polling=False).result()
            self.guarded = None
            return
        guarded = dice.random() < 0.5
        properties: dict[str, Any] = {"addressPrefix": f"10.90.{100 + self.number}.0/24"}
        if guarded:
            properties["networkSecurityGroup"] = {"id": _id(self.network, "networkSecurityGroups", SHARED)}
        body: Any = {"properties": properties}
        self.network.subnets.begin_create_or_update(GROUP, NETWORK, f"own-{self.number}", body).result()
        self.guarded = guarded

    def _rule(self, dice: random.Random) -> None:
        name = f"rule-{self.number}"
        if self.port and dice.random() < 0.3:
            self.network.security_rules.begin_delete(GROUP, SHARED, name, polling=False).result()
            self.port = ""
            return
        port = str(dice.randrange(1, 65536))
        rule: Any = {
            "properties": {
                "protocol": "Tcp",
                "access": "Allow",
                "direction": "Inbound",
                "priority": 200 + self.number,
                "sourceAddressPrefix": "*",
                "sourcePortRange": "*",
                "destinationAddressPrefix": "*",
                "destinationPortRange": port,
            }
        }
        self.network.security_rules.begin_create_or_update(GROUP, SHARED, name, rule).result()
        self.port = port

    def _count_network(self, dice: random.Random) -> None:
        """By PUT or by PATCH. Not of the busy network: every NIC that comes or goes gives that another etag."""
        now = self.network.virtual_networks.get(GROUP, COUNTED)
        tags = {"n": str(int((now.tags or {})["n"]) + 1)}
        body: Any = {**_network("10.91.0.0/16"), "tags": tags}
        networks, headers = self.network.virtual_networks, {"If-Match": now.etag}
        if dice.random() < 0.5:
            networks.begin_create_or_update(GROUP, COUNTED, body, headers=headers).result()
        else:
            patch: Any = {"tags": tags}
            networks.update_tags(GROUP, COUNTED, patch, headers=headers)
        self.counted[COUNTED] += 1

    def _count_group(self, _: random.Random) -> None:
        """Reads the whole group, writes the whole group: others' rules would be lost without If-Match."""
        now = self.network.network_security_groups.get(GROUP, SHARED)
        body = now.as_dict()
        body["tags"] = {"n": str(int(body["tags"]["n"]) + 1)}
        headers = {"If-Match": now.etag}
        groups: Any = self.network.network_security_groups
        groups.begin_create_or_update(GROUP, SHARED, body, headers=headers).result()
        self.counted[SHARED] += 1

    def _contest(self, dice: random.Random) -> None:
        token = f"{self.number}-{dice.getrandbits(64):x}"
        body: Any = {"location": "local", "tags": {"by": token}}
        self.network.network_security_groups.begin_create_or_update(GROUP, CONTESTED, body).result()
        self.tokens.append(token)


def _network(prefix: str, *subnets: dict[str, Any]) -> dict[str, Any]:
    properties = {"addressSpace": {"addressPrefixes": [prefix]}, "subnets": list(subnets)}
    return {"location": "local", "properties": properties}


def _nic_body(network: NetworkManagementClient, count: int) -> Any:
    subnet = {"id": _id(network, "virtualNetworks", NETWORK) + "/subnets/nics"}
    configurations = [{"name": f"c{n}", "properties": {"subnet": subnet, "primary": n == 0}} for n in range(count)]
    return {"location": "local", "properties": {"ipConfigurations": configurations}}


def contend(cloud: Cloud, clients: int, seconds: float) -> Account:
    """Let clients write for a time, then compare what they were told with what is there.

    The resource group is made for it and deleted after. What the kernel holds is for the caller to ask, before that: it
    is asked in the middle, by ``podvnet doctor``.
    """
    account = Account()
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    _furnish(cloud)
    writers = [Writer(n, _client(cloud, account), account) for n in range(clients)]
    for number in range(MACHINES):
        writers[number].nics[f"nic-{number}-0"] = 1
    started = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(writer.write_until, started + seconds) for writer in writers]:
            done.result()
    account.seconds = time.monotonic() - started
    account.wrong += _disagreements(cloud, writers)
    account.wrong += [f"status {status}" for status in account.answers if status >= 500]
    finding = next(each for each in cloud.lab.findings() if each["subject"] == "kernel")
    if finding["state"] != "ok":
        account.wrong.append(f"the kernel {finding['found']}")
    cloud.resources.resource_groups.begin_delete(GROUP).result()
    return account


def _furnish(cloud: Cloud) -> None:
    networks = cloud.network.virtual_networks
    busy: Any = _network("10.90.0.0/16", {"name": "nics", "properties": {"addressPrefix": "10.90.0.0/19"}})
    counted: Any = {**_network("10.91.0.0/16"), "tags": {"n": "0"}}
    networks.begin_create_or_update(GROUP, NETWORK, busy).result()
    networks.begin_create_or_update(GROUP, COUNTED, counted).result()
    for name in (SHARED, CONTESTED):
        group: Any = {"location": "local", "tags": {"n": "0"}}
        cloud.network.network_security_groups.begin_create_or_update(GROUP, name, group).result()
    for number in range(MACHINES):
        nics = cloud.network.network_interfaces
        nic = nics.begin_create_or_update(GROUP, f"nic-{number}-0", _nic_body(cloud.network, 1)).result()
        plugged = [{"id": nic.id, "properties": {"primary": True}}]
        machine: Any = {"location": "local", "properties": {"networkProfile": {"networkInterfaces": plugged}}}
        cloud.compute.virtual_machines.begin_create_or_update(GROUP, f"vm-{number}", machine).result()


def _client(cloud: Cloud, account: Account) -> NetworkManagementClient:
    """A client with a connection of its own, whose every answer is counted, retried ones too."""
    lock = threading.Lock()

    def count(response: Any) -> None:
        with lock:
            account.answers[response.http_response.status_code] += 1

    access = cloud.access
    return NetworkManagementClient(
        access.credential(), access.subscription, **access.options(), raw_response_hook=count
    )


def _disagreements(cloud: Cloud, writers: list[Writer]) -> list[str]:
    """What is there and should not be, or the other way round."""
    network = cloud.network
    busy, quiet = (network.virtual_networks.get(GROUP, name) for name in (NETWORK, COUNTED))
    shared = network.network_security_groups.get(GROUP, SHARED)
    contested = network.network_security_groups.get(GROUP, CONTESTED).tags or {}
    subnets = {each.name: bool(each.network_security_group) for each in busy.subnets or [] if each.name != "nics"}
    counted = sum((writer.counted for writer in writers), Counter[str]())
    tokens = {writer.tokens[-1] for writer in writers if writer.tokens}
    compared: dict[str, tuple[object, object]] = {
        "NICs": (
            {each.name: len(each.ip_configurations or []) for each in network.network_interfaces.list(GROUP)},
            {name: count for writer in writers for name, count in writer.nics.items()},
        ),
        "subnets": (
            subnets,
            {f"own-{writer.number}": writer.guarded for writer in writers if writer.guarded is not None},
        ),
        "rules": (
            {each.name: each.destination_port_range for each in shared.security_rules or []},
            {f"rule-{writer.number}": writer.port for writer in writers if writer.port},
        ),
        "the network's count": ((quiet.tags or {})["n"], str(counted[COUNTED])),
        "the group's count": ((shared.tags or {})["n"], str(counted[SHARED])),
        "the contested group's last writer": (contested.get("by", "") in tokens or not tokens, True),
    }
    return [f"{what}: {is_} and not {should}" for what, (is_, should) in compared.items() if is_ != should]


def _id(network: NetworkManagementClient, kind: str, name: str) -> str:
    subscription = network._config.subscription_id  # noqa: SLF001 - the client has no other place for it
    return f"/subscriptions/{subscription}/resourceGroups/{GROUP}/providers/Microsoft.Network/{kind}/{name}"
