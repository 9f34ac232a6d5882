"""A container runtime's side of CNI in one VM of a lab: executables called directly, pods that are bare namespaces.

What the VM's kernel holds is read with the system's own tools and the ledger by SQL, not with the code under test.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from podvnet.linux import namespace
from podvnet.plugin import frame
from podvnet.testing.lab import PODVNET, Lab

Json = dict[str, Any]
T = TypeVar("T")

BIN = Path("/opt/cni/bin")
PLUGIN, IPAM = "azure-vnet", "azure-vnet-ipam"
RUN = Path("/run/podvnet")
POOL = Path("/run/pool.json")
_LOG = Path("/var/log/podvnet-agent.log")
# What the kernel sets by and by (operational state, IPv6 multicast, the flag "linkdown") is left out.
_ROUTE_FIELDS = ("type", "dst", "dev", "gateway", "table", "protocol", "scope")
_LINK_FIELDS = ("ifname", "ifindex", "address", "mtu", "master", "group", "ifalias")
_TIMEOUT = 150.0


class ExpectationError(AssertionError):
    """An answer is not what the caller counted on; the message holds all of it."""


def eventually(condition: Callable[[], bool], timeout: float = 60.0) -> bool:
    """Ask until a condition holds or ``timeout`` seconds are over; tell whether it held.

    For what no event announces, such as a link that the kernel deletes in its own time. It is the only wait by polling
    that tests use. Patience costs only a test that fails; a machine that others use needs it.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@dataclass(frozen=True, slots=True)
class Answer:
    """What an executed plug-in gave back."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def result(self) -> Json:
        """The document of a success."""
        if self.code != 0:
            raise ExpectationError(f"refused: {self}")
        found: Json = json.loads(self.stdout)
        return found

    @property
    def error(self) -> Json:
        """The error object of a refusal: the only thing on stdout, with a version, a code and words."""
        try:
            found: Json = json.loads(self.stdout)
        except ValueError:
            raise ExpectationError(f"no JSON document on stdout: {self}") from None
        if self.code == 0 or not {"cniVersion", "code", "msg"} <= found.keys() <= {
            "cniVersion",
            "code",
            "msg",
            "details",
        }:
            raise ExpectationError(f"no error object: {self}")
        return found

    @property
    def silent(self) -> bool:
        """A success without output, as every verb but ADD and VERSION must have."""
        return self.code == 0 and self.stdout == b""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a runtime made for a pod: an id of 64 hex digits, and a namespace, open as ``descriptor``."""

    container: str
    name: str
    path: str
    descriptor: int


def configuration(mode: str = "transparent", version: str = "1.1.0", network: str = "azure", **more: Any) -> Json:
    """The plug-in object of a network; ``more`` are further keys of it."""
    ipam = {"type": IPAM}
    return {"cniVersion": version, "name": network, "type": PLUGIN, "mode": mode, "ipam": ipam} | more


def address_of(result: Json) -> str:
    """The first IPv4 address of a result of 0.3.0 or newer, without prefix length."""
    text: str = result["ips"][0]["address"]
    return text.partition("/")[0]


class Runtime:
    """Calls plug-ins inside one VM. A context manager; what it made is removed at its end.

    Args:
        lab: the fabric.
        vm: the VM.
        hands: how many calls it can have under way.
    """

    def __init__(self, lab: Lab, vm: str, hands: int = 4) -> None:
        self.lab = lab
        self.vm = vm
        self._sandboxes: dict[str, Sandbox] = {}
        self._agent: subprocess.Popen[bytes] | None = None
        network, mounts = lab.vm(vm), os.open(lab.pin(vm), os.O_RDONLY | os.O_CLOEXEC)
        self._mounts = mounts

        def enter() -> None:
            # A thread must share no working directory with others to change its mount namespace.
            namespace.unshare(namespace.CLONE_FS)
            namespace.set_namespace(mounts, namespace.CLONE_NEWNS)
            namespace.set_namespace(network)

        self._threads = ThreadPoolExecutor(hands, thread_name_prefix=f"in-{vm}", initializer=enter)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        self.close()

    def close(self) -> None:
        """Leave the VM; what is attached, by whomever, stays."""
        self._threads.shutdown()
        os.close(self._mounts)

    def submit(self, action: Callable[[], T]) -> Future[T]:
        """Start ``action`` in a thread that stands in the VM's network and mount namespaces."""
        return self._threads.submit(action)

    def do(self, action: Callable[[], T]) -> T:
        """Call ``action`` in the VM."""
        return self.submit(action).result(_TIMEOUT)

    def run(self, *argv: str) -> str:
        """Run a program in the VM; it must succeed."""

        def execute() -> str:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
            if done.returncode != 0:
                raise ExpectationError(f"{' '.join(argv)}: {done}")
            return done.stdout

        return self.do(execute)

    # -- pods

    def sandbox(self, name: str = "") -> Sandbox:
        """Make a namespace for a pod, under a name that is not in use."""
        name = name or f"cni-{secrets.token_hex(8)}"

        def make() -> int:
            namespace.create(name)
            return os.open(namespace.path(name), os.O_RDONLY | os.O_CLOEXEC)

        made = Sandbox(secrets.token_hex(32), name, str(namespace.path(name)), self.do(make))
        self._sandboxes[made.container] = made
        return made

    def unmake(self, sandbox: Sandbox) -> None:
        """End a pod's namespace."""
        self._sandboxes.pop(sandbox.container)
        os.close(sandbox.descriptor)
        self.do(lambda: namespace.delete(sandbox.name))

    def clear(self) -> None:
        """End every namespace; attachments that are left are collected. Waits until their links are gone."""
        for sandbox in list(self._sandboxes.values()):
            self.unmake(sandbox)
        for network in {row[0] for row in self.ledger("SELECT network FROM attachments")}:
            self.call("GC", config=configuration(network=network))
        if not eventually(lambda: self.pod_links() == []):
            raise ExpectationError(f"links are left on {self.vm}: {self.pod_links()}")

    # -- calls

    def environment(
        self, verb: str, pod: Sandbox | None = None, *, ifname: str = "eth0", args: str = ""
    ) -> dict[str, str]:
        """The variables of a call."""
        variables = {"CNI_COMMAND": verb, "CNI_PATH": f"{BIN}:/usr/lib/cni"}
        if pod:
            variables |= {"CNI_CONTAINERID": pod.container, "CNI_NETNS": pod.path, "CNI_IFNAME": ifname}
        return variables | ({"CNI_ARGS": args} if args else {})

    def call(
        self, verb: str, pod: Sandbox | None = None, config: Json | None = None, *, ifname: str = "eth0", args: str = ""
    ) -> Answer:
        """Call azure-vnet as a runtime does."""
        variables = self.environment(verb, pod, ifname=ifname, args=args)
        return self.execute(variables, json.dumps(config or configuration()).encode())

    def add(self, pod: Sandbox, config: Json | None = None, **options: str) -> Json:
        """Call ADD, which must succeed; return the result."""
        return self.call("ADD", pod, config, **options).result

    def execute(self, variables: Mapping[str, str], stdin: bytes, program: str = PLUGIN) -> Answer:
        """Execute a plug-in with exactly these variables."""
        return self.begin(variables, stdin, program).result(_TIMEOUT)

    def begin(self, variables: Mapping[str, str], stdin: bytes, program: str = PLUGIN) -> Future[Answer]:
        """Start an execution."""

        def execute() -> Answer:
            done = subprocess.run(
                [str(BIN / program)],
                input=stdin,
                env=dict(variables),
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
            return Answer(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

        return self.submit(execute)

    def launch(self, variables: Mapping[str, str], stdin: bytes) -> subprocess.Popen[bytes]:
        """Start an execution that the caller may kill; return once it waits for the agent."""

        def start() -> subprocess.Popen[bytes]:
            with tempfile.TemporaryFile() as file:
                file.write(stdin)
                file.seek(0)
                return subprocess.Popen([str(BIN / PLUGIN)], stdin=file, stdout=subprocess.PIPE, env=dict(variables))

        process = self.do(start)
        # Its stdin is a file, so the only thing it can sleep on is the agent's reply.
        if not eventually(lambda: _process_state(process.pid) == "S"):
            raise ExpectationError(f"the plug-in does not wait for the agent: {process}")
        return process

    def connect(self) -> socket.socket:
        """A connection to the agent's socket, for callers that do not behave as the executable does."""

        def dial() -> socket.socket:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(_TIMEOUT)
            try:
                connection.connect(str(RUN / "agent.sock"))
            except OSError:
                connection.close()
                raise
            return connection

        return self.do(dial)

    def send(self, connection: socket.socket, verb: str, pod: Sandbox, config: Json | None = None) -> None:
        """Send what the executable would send."""
        stdin = json.dumps(config or configuration()).encode()
        request = frame.encode_request(self.environment(verb, pod), stdin)
        socket.send_fds(connection, [request], [pod.descriptor])

    # -- observations

    def pod_links(self) -> list[str]:
        """The host ends of pods, those that wait for deletion included."""
        return [link["ifname"] for link in self._ip("link") if link["ifname"].startswith("azv")]

    def elements(self) -> dict[str, list[str]]:
        """The elements of the sets and maps of podvnet's tables, but for the destinations that are not translated."""
        found = {}
        for entry in json.loads(self.run("nft", "-j", "list", "ruleset"))["nftables"]:
            kind = entry.get("set") or entry.get("map")
            if kind and kind["table"] == "podvnet" and kind["name"] != "network4":
                found[f"{kind['family']} {kind['name']}"] = sorted(json.dumps(each) for each in kind.get("elem", []))
        return found

    def ledger(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the agent's ledger in SQL."""

        def ask() -> list[tuple[Any, ...]]:
            with contextlib.closing(sqlite3.connect(f"file:{RUN}/ledger.db?mode=ro", uri=True)) as database:
                return database.execute(query, parameters).fetchall()

        return self.do(ask)

    def held(self) -> dict[str, str]:
        """Who holds which address, by address."""
        return dict(
            self.ledger("SELECT address, container FROM addresses JOIN attachments ON holder = number ORDER BY address")
        )

    def state(self) -> frozenset[str]:
        """All that attachments leave traces in, a text a fact: two equal states mean that nothing happened between."""
        facts = {f"bridge entry {line}" for line in self.run("bridge", "fdb", "show").splitlines()}
        facts |= {f"element of {name} {each}" for name, listed in self.elements().items() for each in listed}
        facts |= {f"attachment {row}" for row in self.ledger("SELECT * FROM attachments")}
        facts |= {f"address {address} held by {holder}" for address, holder in self.held().items()}
        facts |= {f"namespace {name}" for name in self.run("ls", str(namespace.DIRECTORY)).split()}
        return frozenset(facts) | self._stack()

    def state_in(self, pod: Sandbox) -> frozenset[str]:
        """What a pod's namespace holds, a text a fact."""
        return self._stack("-n", pod.name)

    def _stack(self, *place: str) -> frozenset[str]:
        links = [{name: link.get(name) for name in _LINK_FIELDS} for link in self._ip(*place, "link")]
        routes = [
            {name: route.get(name) for name in _ROUTE_FIELDS}
            for which in (("-4", "all"), ("-6", "main"))
            for route in self._ip(which[0], *place, "route", "show", "table", which[1])
        ]
        addresses = [{"link": link["ifname"]} | each for link in self._ip(*place, "addr") for each in link["addr_info"]]
        return frozenset(
            f"{kind} {json.dumps(fact)}"
            for kind, facts in (
                ("link", links),
                ("address", addresses),
                ("route", routes),
                ("neighbour", self._ip(*place, "neigh", "show", "nud", "permanent")),
            )
            for fact in facts
        )

    def links_in(self, pod: Sandbox) -> list[str]:
        """The interfaces of a pod's namespace."""
        return [link["ifname"] for link in self._ip("-n", pod.name, "link")]

    def _ip(self, *words: str) -> Any:
        output = self.run("ip", "-j", *words)
        return json.loads(output) if output.strip() else []

    # -- the agent

    def settle(self) -> None:
        """Return when the agent has dealt with every request that was whole before."""
        self.call("STATUS")

    def agent_process(self) -> int:
        """The id of the agent's process."""
        return int(self.do((RUN / "agent.lock").read_text))

    def end_agent(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Signal the agent and wait for its end."""
        process = self.agent_process()
        with contextlib.closing(_Handle(os.pidfd_open(process))) as handle:
            os.kill(process, how)
            if not select.select([handle.number], [], [], _TIMEOUT)[0]:
                raise ExpectationError(f"the agent {process} does not end")
        if self._agent:
            self._agent.wait()
            self._agent = None

    def start_agent(self, *options: str, ready: bool = True) -> None:
        """Start an agent with options; wait until it says that it serves, or only until it listens."""

        def start() -> None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, _LOG.open("ab") as log:
                listener.bind("")  # an abstract name of the kernel's choice
                name = "@" + listener.getsockname()[1:].decode()
                self._agent = subprocess.Popen(
                    [*PODVNET, "agent", *options],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    cwd="/",
                    env=os.environ | {"NOTIFY_SOCKET": name},
                )
                listener.settimeout(60)
                if ready:
                    listener.recv(64)

        self.do(start)
        if not ready and not eventually(self._listening):
            raise ExpectationError("the agent does not listen")

    def _listening(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return False
        return True

    def lose_ledger(self) -> None:
        """Delete the agent's files."""

        def unlink() -> None:
            for path in RUN.glob("ledger.db*"):
                path.unlink()

        self.do(unlink)

    def write_pool(self, last_bytes: Sequence[int], path: Path = POOL) -> None:
        """Write an interface file for the VM's NIC with some of its addresses, by their last byte."""
        nic = self._ip("addr", "show", "eth0")[0]
        primary = nic["addr_info"][0]["local"]
        subnet = primary.rsplit(".", 1)[0]
        listed = [{"Address": primary, "IsPrimary": True}]
        listed += [{"Address": f"{subnet}.{number}", "IsPrimary": False} for number in last_bytes]
        subnets = [{"Prefix": f"{subnet}.0/24", "IPAddresses": listed}]
        interface = {"MacAddress": nic["address"].upper(), "IsPrimary": True, "IPSubnets": subnets}
        self.do(lambda: path.write_text(json.dumps({"Interfaces": [interface]}), encoding="utf-8"))


def receive(connection: socket.socket) -> Answer:
    """Read the agent's whole reply."""
    with connection.makefile("rb") as stream:
        code, size = struct.unpack("<II", stream.read(8))
        return Answer(code, stream.read(size), "")


def _process_state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


@dataclass(slots=True)
class _Handle:
    """A descriptor that ``contextlib.closing`` closes."""

    number: int

    def close(self) -> None:
        """Close it."""
        os.close(self.number)
