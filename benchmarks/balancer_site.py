"""The ways from a client to two members, the servers on them, and the load that the client makes.

Members answer HTTP and iperf3; haproxy is their HTTP server as well, for it needs no service of the machine's. Each
server is a process in the namespaces of a VM of balancer.yaml, ended by its id.
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from podvnet.linux import namespace
from podvnet.linux.conntrack import ConntrackSocket
from podvnet.testing.cni import eventually
from podvnet.testing.lab import Lab

_CLIENT, _HAPROXY = "client", "haproxy"
_CLIENT_ADDRESS, _HAPROXY_ADDRESS = "10.1.2.11", "10.1.1.20"
_MEMBERS = {"one": "10.1.1.11", "two": "10.1.1.12"}
_STREAM = 5201
_WEB, _BALANCED_WEB = 8080, 8081
"""The load balancer has its own: members remember ended flows by the client's address and port, and one way must not
pay for another's."""
_START_SECONDS = 10.0
_STALL_SECONDS = 10
"""A request that takes longer has failed; shorter, a busy machine let it wait."""
_WIDTH = 16
_ASKED = 32
"""So many new connections come to both members, but for one time in two thousand million."""
_WRK_SCRIPT = Path(__file__).with_name("balancer.lua")
_LISTENS = "0A"

_COMMON = """
global
    nbthread 1
    maxconn 4000
defaults
    timeout connect 5s
    timeout client 30s
    timeout server 30s
"""
_MEMBER = f"""
frontend web
    mode http
    bind {{address}}:{_WEB}
    bind {{address}}:{_BALANCED_WEB}
    http-request return status 200 content-type text/plain lf-string "{{name}} %[src]"
"""
_BALANCE = f"""
listen {{name}}
    mode tcp
    option splice-auto
    bind {_HAPROXY_ADDRESS}:{{front}}
    balance {{method}}
"""


class WrongWayError(AssertionError):
    """What the figures would tell of does not happen: a server is not there, or connections go elsewhere or fail."""


@dataclass(frozen=True)
class Way:
    """A way from the client to the members: where the client connects to, and what it must meet there.

    Attributes:
        web: port of HTTP; iperf3's is the same on every way.
        members: names of those that answer.
        seen: the address that members take for the client's.
    """

    address: str
    web: int
    members: frozenset[str]
    seen: str


WAYS = {
    "direct": Way(_MEMBERS["one"], _WEB, frozenset({"one"}), _CLIENT_ADDRESS),
    "load balancer": Way("10.1.1.100", 80, frozenset(_MEMBERS), _CLIENT_ADDRESS),
    "haproxy": Way(_HAPROXY_ADDRESS, 80, frozenset(_MEMBERS), _HAPROXY_ADDRESS),
}


@dataclass(frozen=True)
class Load:
    """What came of a turn.

    Attributes:
        rate: new connections, or gigabits, a second.
        cpu_rate: the same, a second of CPU that client and servers were given, the kernel's work for them included.
    """

    rate: float
    cpu_rate: float


@dataclass
class Site:
    """The VMs with their servers running."""

    lab: Lab
    _servers: list[int] = field(default_factory=list)

    def start(self, vm: str, argv: list[str], log: Path, *ports: int) -> subprocess.Popen[bytes]:
        """Start a server in a VM; it listens on the ports when this returns.

        Raises:
            WrongWayError: it does not.
        """
        with log.open("wb") as output:
            command = self.lab.command(vm, *argv)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        # Asked of the kernel: a connection made to see whether it serves would be the one client iperf3 takes.
        eventually(lambda: process.poll() is not None or _listens(process.pid, ports), _START_SECONDS)
        if process.poll() is not None or not _listens(process.pid, ports):
            _end(process)
            msg = f"{argv[0]} in {vm} does not serve:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}"
            raise WrongWayError(msg)
        self._servers.append(process.pid)
        return process

    def verify(self) -> None:
        """See that each way leads to its members.

        Raises:
            WrongWayError: one does not.
        """
        for name, way in WAYS.items():
            expected = {f"{member} {way.seen}" for member in way.members}
            found = {self._answer(way) for _ in range(_ASKED)}
            if found != expected:
                msg = f"{name}: answers were {sorted(found)}, not {sorted(expected)}"
                raise WrongWayError(msg)

    def _answer(self, way: Way) -> str:
        connection = HTTPConnection(way.address, way.web, timeout=5)
        try:
            namespace.run_inside(self.lab.vm(_CLIENT), connection.connect)
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def forget_flows(self) -> None:
        """Empty every connection tracking, which keeps ended flows for two minutes: each turn finds it the same."""
        for descriptor in (self.lab.network(), *(self.lab.vm(name) for name in (_CLIENT, _HAPROXY, *_MEMBERS))):
            with namespace.run_inside(descriptor, ConntrackSocket) as table:
                table.delete(table.connections())

    def connections(self, way: Way, seconds: int) -> Load:
        """Have wrk ask as fast as it is answered, by a new connection each time.

        Raises:
            WrongWayError: a request failed.
        """
        before = self._cpu()
        found = self._wrk(way, seconds, _WIDTH, "--header", "Connection: close")
        return Load(found["requests"] / found["seconds"], found["requests"] / (self._cpu() - before))

    def round_trip(self, way: Way, seconds: int) -> float:
        """Microseconds of a request on an open connection, the median.

        Raises:
            WrongWayError: a request failed.
        """
        return float(self._wrk(way, seconds, 1)["p50"])

    def _wrk(self, way: Way, seconds: int, width: int, *options: str) -> dict[str, Any]:
        argv = ["/usr/bin/wrk", "--threads", "1", "--connections", str(width), "--duration", f"{seconds}s", *options]
        argv += ["--timeout", f"{_STALL_SECONDS}s", "--script", str(_WRK_SCRIPT)]
        url = f"http://{way.address}:{way.web}/"
        found: dict[str, Any] = json.loads(self.lab.inside(_CLIENT, *argv, url).stderr)
        if found["errors"] or not found["requests"]:
            msg = f"{url}: {found['requests']} requests, errors: {found['errors']}"
            raise WrongWayError(msg)
        return found

    def throughput(self, way: Way, seconds: int) -> Load:
        """Have iperf3 send by one connection; the bits that arrive count."""
        argv = ["/usr/bin/iperf3", "--client", way.address, "--port", str(_STREAM), "--time", str(seconds), "--json"]
        before = self._cpu()
        found = json.loads(self.lab.inside(_CLIENT, *argv).stdout)["end"]["sum_received"]
        return Load(found["bits_per_second"] / 1e9, found["bytes"] * 8 / 1e9 / (self._cpu() - before))

    def _cpu(self) -> float:
        """Seconds of CPU that the servers and the clients that have ended were given so far."""
        clients = resource.getrusage(resource.RUSAGE_CHILDREN)
        servers = sum(time.clock_gettime((~each << 3) | 2) for each in self._servers)  # clock_getcpuclockid(3)
        return clients.ru_utime + clients.ru_stime + servers


@contextlib.contextmanager
def serving(lab: Lab, directory: Path) -> Iterator[Site]:
    """Have the members and haproxy serve for the block.

    Raises:
        WrongWayError: a way does not lead where it should.
    """
    site = Site(lab)
    with contextlib.ExitStack() as ends:

        def start(vm: str, argv: list[str], *ports: int) -> None:
            log = directory / f"{vm}-{Path(argv[0]).name}.log"
            ends.callback(_end, site.start(vm, argv, log, *ports))

        def start_haproxy(vm: str, text: str, *ports: int) -> None:
            file = directory / f"{vm}.cfg"
            file.write_text(_COMMON + text, encoding="ascii")
            start(vm, ["/usr/sbin/haproxy", "-db", "-f", str(file)], *ports)

        for name, address in _MEMBERS.items():
            start_haproxy(name, _MEMBER.format(address=address, name=name), _WEB, _BALANCED_WEB)
            start(name, ["/usr/bin/iperf3", "--server", "--bind", address, "--port", str(_STREAM)], _STREAM)
        balance = _balanced("web", 80, _WEB, "roundrobin") + _balanced("stream", _STREAM, _STREAM, "source")
        start_haproxy(_HAPROXY, balance, 80, _STREAM)
        site.verify()
        yield site


def _balanced(name: str, front: int, back: int, method: str) -> str:
    servers = (f"    server {member} {address}:{back}\n" for member, address in _MEMBERS.items())
    return _BALANCE.format(name=name, front=front, method=method) + "".join(servers)


def _listens(process: int, ports: tuple[int, ...]) -> bool:
    """Tell whether ports are listened on in the namespace of a process (proc(5), /proc/net/tcp)."""
    lines = Path(f"/proc/{process}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    found = {int(line.split()[1].split(":")[1], 16) for line in lines if line.split()[3] == _LISTENS}
    return found.issuperset(ports)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
