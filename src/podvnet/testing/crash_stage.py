"""A VM, its agent and the fabric, of which either may be killed at any step, and what there is of a pod's ask after."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from podvnet.agent import nic_writer, process
from podvnet.agent.grant_store import GRANTS, GrantStore
from podvnet.agent.ledger import Ledger
from podvnet.agent.pool_growth import GrowthSettings
from podvnet.agent.reserved_addresses import ReservedAddresses
from podvnet.agent.server import QUERY
from podvnet.agent.source import Source, SourceKind
from podvnet.agent.wiring import Wiring
from podvnet.azure.resource_manager import ResourceManager
from podvnet.fabric.dataplane.linux import LinuxDataplane
from podvnet.fabric.engine import Fabric
from podvnet.fabric.health_file import HealthFile
from podvnet.fabric.process import SOCKET, serve
from podvnet.fabric.services.processes import ServiceProcesses
from podvnet.linux.executor import Executor
from podvnet.plan.pool_target import PoolPolicy
from podvnet.plugin.frame import call
from podvnet.runtime.probe import WhoAmI, seen_as
from podvnet.testing.cloud import Cloud
from podvnet.testing.cni import RUN, Json, Runtime, Sandbox, eventually
from podvnet.testing.doomed import Doomed, Touch
from podvnet.testing.outage import FABRIC_LOCK, kill_fabric

GROUP = "podvnet"
POD = "default/web"
OWN = "10.1.1.77"
PROBED = 7071
HEALTH = FABRIC_LOCK.with_name("health.json")
_HOST = "198.51.100.20"
_EVERY = "0.0.0.0"
"""Where a pod listens before it has an address."""
_SECONDS_FOR_A_PACKET = 0.5
_SECONDS_TO_SETTLE = 30
_SECONDS_TO_TRY_AGAIN = 0.2

# Only before a touch where the next one follows at once; before and after what may be the last.
_AGENT = (
    *(Touch(GrantStore, name, after=False) for name in ("put", "note", "drop")),
    Touch(GrantStore, "forget"),
    *(Touch(ReservedAddresses, name, after=False) for name in ("take", "take_any")),
    Touch(ReservedAddresses, "give_back"),
    *(Touch(ResourceManager, name, remote=True) for name in ("put", "delete")),
    *(Touch(Ledger, name, after=False) for name in ("begin", "leave", "release")),
    Touch(Ledger, "publish"),
    *(Touch(Wiring, name, after=False) for name in ("build", "take_down")),
)
_FABRIC = (
    Touch(Fabric, "_carry_out"),  # before the transaction; when all is done and nobody has been answered
    Touch(LinuxDataplane, "shut_down", after=False),  # after the store's writes; again after the commit
    Touch(Executor, "_group", after=False),  # between the kernel's steps
    Touch(LinuxDataplane, "apply", before=False),  # before the commit
    Touch(ServiceProcesses, "follow", before=False),  # before it is published
    Touch(HealthFile, "write"),
)


class CrashStage:
    """Agents of one VM and fabrics, one after another, and what is asked of them.

    Args:
        vm: the VM, without an agent.
        cloud: the resource manager.
    """

    def __init__(self, vm: Runtime, cloud: Cloud) -> None:
        self.vm = vm
        self.cloud = cloud
        self.agent = Doomed(_run_agent, _AGENT, vm.do)
        self.fabric = Doomed(_run_fabric, _FABRIC)
        self.publics: dict[str, str] = {}
        """By private address, the public addresses that pods have been seen to have."""
        kill_fabric()
        self.fabric.start()
        self.agent.start()

    def let_live(self) -> None:
        """From now on nobody ends."""
        self.fabric.let_live()
        self.agent.let_live()

    def end(self) -> None:
        """End agent and fabric."""
        self.let_live()
        self.vm.clear()
        self.agent.end()
        self.fabric.end()

    @contextmanager
    def pod(self) -> Iterator[Sandbox]:
        """Make a pod that answers whoever reaches it, with nothing asked for it; nothing is kept for it afterwards."""
        self.let_live()  # first: a process forked later has the pod's namespace open
        made = self.vm.sandbox()
        self.vm.lab.servers.listen(made.descriptor, _EVERY)
        try:
            yield made
        finally:
            self.vm.lab.servers.forget(_EVERY)
        self.vm.unmake(made)
        self.forget()

    @contextmanager
    def probed(self, pod: Sandbox) -> Iterator[None]:
        """The pod answers the load balancer's probe for the block."""
        with WhoAmI(PROBED) as server:
            server.listen(pod.descriptor, _EVERY)
            yield

    # -- ends

    def kill_fabric_at(self, point: int) -> None:
        """Kill the fabric at the agent's n-th touch of the resource manager, and let the agent live."""
        self.agent.doom(point, victim=self.fabric.number)

    @property
    def fabric_struck(self) -> bool:
        """Whether the fabric has been killed, at its own touch or at one of the agent's."""
        return self.fabric.struck or (self.agent.struck and not self.agent.ended())

    def fabric_back(self, reason: Callable[[], bool]) -> bool:
        """Wait until the fabric has been killed, or there is another reason to go on; start it again.

        Returns:
            Whether it has been killed.
        """
        if not eventually(lambda: self.fabric_struck or reason(), timeout=_SECONDS_TO_SETTLE):
            msg = f"the fabric is not killed, and nothing else comes: {self.grants()}"
            raise AssertionError(msg)
        killed = self.fabric_struck
        if killed:
            self.fabric.end()
            self.agent.doom(-1)
            self.fabric.start()
        return killed

    def spare(self) -> None:
        """Kill nobody any more."""
        self.fabric.spare()
        self.agent.spare()

    # -- what there is

    def ask_agent(self, query: str, **body: object) -> list[Json] | None:
        """Ask the agent's own API as `podvnet pod ask` and `release` do; None when it ends, or is not there."""
        try:
            code, answer = self.vm.do(lambda: call(str(RUN / "agent.sock"), {QUERY: query}, json.dumps(body).encode()))
        except OSError:
            return None
        if code:
            raise AssertionError(answer)
        found: list[Json] = json.loads(answer)
        return found

    def grants(self) -> list[Json]:
        """Every ask, as the agent tells of it."""
        found = self.ask_agent("asks")
        return [{"state": "the agent has ended", "address": ""}] if found is None else found

    def noted(self) -> bool:
        """Whether something is to be asked for the pod when it comes, by the agent's file."""

        def look() -> bool:
            file = f"file:{process.Settings().state / GRANTS}?mode=ro"
            with contextlib.closing(sqlite3.connect(file, uri=True)) as database:
                return database.execute("SELECT 1 FROM asks").fetchall() != []

        return self.vm.do(look)

    def traces(self) -> dict[str, set[str]]:
        """By private address, what the resource manager has of an ask; by "" what has none."""
        found: dict[str, set[str]] = {}
        publics = {str(each.id): each for each in self.cloud.network.public_ip_addresses.list(GROUP)}
        for each in self.cloud.network.network_interfaces.get(GROUP, "vm1-nic").ip_configurations or ():
            groups = {str(group.id).rpartition("/")[2] for group in each.application_security_groups or ()}
            has = {f"group {group}" for group in groups if groups != {"vms"}}
            has |= {"pool" for _ in each.load_balancer_backend_address_pools or ()}
            has |= {"rule" for _ in each.load_balancer_inbound_nat_rules or ()}
            if each.public_ip_address:
                has.add("public")
                public = publics[str(each.public_ip_address.id)]
                self.publics[each.private_ip_address or ""] = str(public.ip_address)
            if has or (each.name or "").startswith("podvnet-pod-"):
                found[each.private_ip_address or ""] = has
        for public in publics.values():
            if public.name not in {"front", "ready"} and public.ip_configuration is None:
                found.setdefault("", set()).add(f"public {public.name}")
        return found

    def reached(self, public: str) -> bool:
        """Whether the internet's host reaches a pod by a public address, and is seen as who it is."""
        seen = seen_as(self.vm.lab.internet(), public, source=_HOST, timeout=_SECONDS_FOR_A_PACKET)
        if seen not in {"", _HOST}:
            msg = f"{_HOST} is seen as {seen}"
            raise AssertionError(msg)
        return seen == _HOST

    @staticmethod
    def agrees() -> bool:
        """The kernel holds what the store says: what `podvnet doctor` asks."""
        with contextlib.closing(http.client.HTTPConnection("fabric", timeout=_SECONDS_TO_SETTLE)) as connection:
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.connect(str(FABRIC_LOCK.with_name(SOCKET)))
            connection.request("GET", "/agreement")
            return bool(json.loads(connection.getresponse().read())["steps"] == [])

    def whole(self, pod: Sandbox) -> bool:
        """The pod is attached and has everything, in the documents, in the kernel and for packets."""
        address = {holder: address for address, holder in self.vm.held().items()}.get(pod.container, "none")
        everything = {"group web", "group db", "pool", "rule", "public"}
        return (
            self.vm.ledger("SELECT state FROM attachments WHERE container = ?", pod.container) == [("attached",)]
            and [(each["address"], each["state"]) for each in self.grants()] == [(address, "granted")]
            and self.traces() == {address: everything}
            and self.agrees()
            and self.reached(self.publics[address])
        )

    def gone(self, pod: Sandbox) -> bool:
        """Nothing is left of the pod, nor of what was asked for it, but what is kept for its name."""
        grants = self.grants()
        kept = [each["address"] for each in grants]
        reserved = [each for (each,) in self.vm.ledger("SELECT address FROM reserved")]
        return (
            self.vm.ledger("SELECT 1 FROM attachments WHERE container = ?", pod.container) == []
            and all(each["state"] == "kept" for each in grants)
            and self.traces() == {each: set() for each in kept}
            # One that was taken off the NIC is nobody's until the platform can list it no more.
            and reserved in (kept, [OWN])
            and self.agrees()
            and not any(map(self.reached, set(self.publics.values())))
        )

    def whole_or_gone(self, pod: Sandbox) -> bool:
        """One of the two."""
        return self.whole(pod) or self.gone(pod)

    def let_go(self) -> bool:
        """The agent has nothing more to undo."""
        return all(each["state"] == "kept" for each in self.grants())

    def ended_or_gone(self, pod: Sandbox) -> bool:
        """The agent has ended, or all is undone."""
        return self.agent.ended() or (self.let_go() and self.gone(pod))

    def ahead(self) -> bool:
        """The address is there for the pod that is to come, and what is to be asked for it is noted."""
        return (
            [(each["address"], each["state"]) for each in self.grants()] == [(OWN, "kept")]
            and self.noted()
            and self.traces() == {OWN: set()}
            and self.agrees()
        )

    def nothing_ahead(self) -> bool:
        """Nothing is kept, noted or left for a pod to come."""
        return self.grants() == [] and not self.noted() and self.traces() == {} and self.agrees()

    def ahead_or_nothing(self) -> bool:
        """One of the two."""
        return self.ahead() or self.nothing_ahead()

    def forget(self) -> None:
        """Keep nothing for the pod's name, if there is an agent."""
        if not self.agent.ended() and self.grants():
            self.ask_agent("release", pod=POD)
            if not eventually(self.nothing_ahead):
                msg = f"left for {POD}: {self.grants()}, {self.traces()}"
                raise AssertionError(msg)


def _run_agent(ready: Callable[[], None]) -> None:
    process._notify_ready = ready  # noqa: SLF001 - systemd is not who waits
    nic_writer._FIRST_WAIT = _SECONDS_TO_TRY_AGAIN  # noqa: SLF001 - the fabric is away only for a moment
    growth = GrowthSettings(PoolPolicy(), ca=Path("/etc/podvnet/ca.pem"))
    process.run(process.Settings(source=Source(SourceKind.ARM), growth=growth, rest=0.0, interval=0.5))


def _run_fabric(ready: Callable[[], None]) -> None:
    guest = (sys.executable, "-m", "podvnet", "install", "--unattended")
    serve(FABRIC_LOCK.parent, Path(os.environ["PODVNET_STATE"]) / "fabric", guest, ready)
