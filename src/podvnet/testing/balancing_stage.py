"""The stage of the tests of load balancers: clients, members of pools, and who meets whom by way of a frontend."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from podvnet.testing.lab import Lab, laboratory
from podvnet.testing.stage import Resources, Stage
from podvnet.testing.traffic import ICMP, LOST, PASSES, TCP, UDP, Place, Watch, opened, outcome, still_flows

Flow = tuple[str, str, str | tuple[str, ...], str]
"""Caller; frontend, its port and the members' (``inner 80>8081``); protocols; what becomes of it.

``p1 p2 see c``: some flows come to the one, others to the other, none to anybody else, and each sees the caller's own
address. Else what drops them, or several of such outcomes: ``p1 sees c | closed``.
"""

_MEMBERS = ("p1", "p2", "m1", "m2")
"""Pods and VMs that can stand behind a frontend."""
Ends = tuple[socket.socket, socket.socket]
"""The caller's end of a connection, and the member's."""
_KINDS = {TCP: socket.SOCK_STREAM, UDP: socket.SOCK_DGRAM}
_LONGEST = 3.0
_TRIES = 40
"""After so many flows a member that has had none is not among those that get some: one in 2^40 of two does so."""


class BalancingStage(Stage):
    """A lab with the frontends of its load balancers.

    Attributes:
        frontends: their addresses by IP version.
        ignored: what may drop packets of others meanwhile.
    """

    def __init__(self, lab: Lab, file: Path) -> None:
        super().__init__(lab, file)
        shown = {each["name"]: each for each in lab.status()["resources"] if "publicIPAddresses" in each["type"]}
        self.public = {name: each["properties"]["ipAddress"] for name, each in shown.items()}
        self.frontends = {
            "public": {4: self.public["front"]},
            "inner": {4: "10.1.1.100", 6: "fd00:1:0:1::100"},
            "all": {4: "10.1.1.101"},
        }
        self.ignored: set[str] = set()

    def watch(self) -> Watch:
        """What is dropped from now on, in any virtual network, but for what is ignored."""
        return Watch((self.lab.network(name) for name in self._networks), self.ignored)

    def check(self, flows: Iterable[Flow], version: int = 4) -> None:
        """See what becomes of flows.

        Raises:
            AssertionError: something else than they say.
        """
        differing = []
        for caller, called, protocols, expected in flows:
            for protocol in (protocols,) if isinstance(protocols, str) else protocols:
                found = self._outcomes(caller, called, protocol, version, _each(expected))
                if found != _each(expected):
                    differing.append(f"{caller} to {called} by {protocol}: {sorted(found)}, not {expected}")
        if differing:
            raise AssertionError(f"IPv{version}: {'; '.join(differing)}")

    def met(self, caller: str, called: str, protocol: str, *, version: int = 4) -> str:
        """Begin a flow to a frontend, exchange bytes both ways, end it.

        Args:
            caller: the place where it begins.
            called: frontend, its port, and the one that members serve at: ``inner 80>8081``.
            protocol: ``tcp``, ``udp`` or ``icmp``.
            version: of IP.

        Returns:
            ``p1 sees c``, else what dropped a packet, or what is wrong with the answer.
        """
        if protocol == ICMP:
            return outcome(self.places[caller], Place(-1, self.frontends[called]), ICMP, version, self.watch())
        with opened(self.places[caller], version, _KINDS[protocol]) as near:
            return self.meet(near, called, version=version)

    def meet(self, near: socket.socket, called: str, *, version: int = 4) -> str:
        """Exchange bytes by way of a frontend; see :meth:`met`. A socket for datagrams may have been used before."""
        with self._doors(called, near.type, version) as doors:
            if near.type == socket.SOCK_DGRAM:
                return self._exchange(near, self._socket_address(called, version), doors)
            far, found = self._connect(near, self._socket_address(called, version), doors)
            if far is None:
                return found
            with far:
                return found if still_flows(near, far) else LOST

    @contextmanager
    def connected(self, caller: str, called: str, member: str, *, version: int = 4) -> Iterator[Ends]:
        """A connection to a member, by way of a frontend.

        Raises:
            TimeoutError: of so many connections none came to the member.
        """
        for _ in range(_TRIES):
            with opened(self.places[caller], version, socket.SOCK_STREAM) as near, ExitStack() as stack:
                with self._doors(called, near.type, version) as doors:
                    far, found = self._connect(near, self._socket_address(called, version), doors)
                if far and found.startswith(f"{member} sees"):
                    yield near, stack.enter_context(far)
                    return
                if far:
                    far.close()
        msg = f"no connection of {caller} to {called} comes to {member}"
        raise TimeoutError(msg)

    @contextmanager
    def talking(self, caller: str, called: str, member: str, *, version: int = 4) -> Iterator[socket.socket]:
        """A socket whose datagrams to a frontend come to a member.

        Raises:
            TimeoutError: of so many sockets none is such a one.
        """
        for _ in range(_TRIES):
            with opened(self.places[caller], version, socket.SOCK_DGRAM) as near:
                if self.meet(near, called, version=version).startswith(f"{member} sees"):
                    yield near
                    return
        msg = f"no datagrams of {caller} to {called} come to {member}"
        raise TimeoutError(msg)

    @contextmanager
    def floating(self, frontend: str, *members: str) -> Iterator[None]:
        """Members have a frontend's address for the block, on their loopback interface, and serve at it alone.

        They are places of their own, ``m1~inner``; what comes to another address of theirs finds nobody.
        """
        address = self.frontends[frontend][4]
        for name in members:
            self.run(name, "ip", "addr", "add", f"{address}/32", "dev", "lo")
            self.places[f"{name}~{frontend}"] = Place(self.lab.vm(name), {4: address})
        try:
            yield
        finally:
            for name in members:
                del self.places[f"{name}~{frontend}"]
                self.run(name, "ip", "addr", "del", f"{address}/32", "dev", "lo")

    def _outcomes(self, caller: str, called: str, protocol: str, version: int, expected: set[str]) -> set[str]:
        found: set[str] = set()
        for _ in range(_TRIES):
            found.add(self.met(caller, called, protocol, version=version))
            if not found < expected:
                break
        return found

    def _socket_address(self, called: str, version: int) -> tuple[str, int]:
        frontend, _, ports = called.partition(" ")
        return self.frontends[frontend][version], int(ports.partition(">")[0])

    @contextmanager
    def _doors(self, called: str, kind: int, version: int) -> Iterator[dict[socket.socket, str]]:
        """Sockets that wait at every member for what a frontend leads there."""
        port = int(called.replace(">", " ").split()[-1])
        with ExitStack() as stack:
            doors = {
                stack.enter_context(opened(place, version, socket.SocketKind(kind), port)): name
                for name, place in self.places.items()
                if name.partition("~")[0] in _MEMBERS and version in place.addresses
            }
            for each in doors:
                if kind == socket.SOCK_STREAM:
                    each.listen()
            yield doors

    def _connect(
        self, near: socket.socket, called: tuple[str, int], doors: dict[socket.socket, str]
    ) -> tuple[socket.socket | None, str]:
        """Connect; return the member's end and who sees whom, or None and what went wrong."""
        watch = self.watch()
        near.connect_ex(called)
        found = watch.until(near, writable=True)
        refusal = near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if found != PASSES or refusal:
            return None, os.strerror(refusal) if refusal else found
        door = _ready(doors)
        far, peer = door.accept()
        far.settimeout(_LONGEST)
        near.settimeout(_LONGEST)
        return far, f"{doors[door]} sees {self._name(peer[0])}"

    def _exchange(self, near: socket.socket, called: tuple[str, int], doors: dict[socket.socket, str]) -> str:
        """Send a datagram and get one back, which must come from where the first one was sent."""
        token, watch = os.urandom(8), self.watch()
        near.sendto(token, called)
        found = watch.until(*doors)
        if found != PASSES:
            return found
        door = _ready(doors)
        data, peer = door.recvfrom(64)
        door.sendto(data, peer)
        found = watch.until(near)
        if found != PASSES:
            return f"answer: {found}"
        answer, source = near.recvfrom(64)
        if (answer, source[:2]) != (token, called):
            return f"answered by {source}"
        return f"{doors[door]} sees {self._name(peer[0])}"

    def _name(self, address: str) -> str:
        """Whose address it is; itself when it is nobody's."""
        holders = (name for name, place in self.places.items() if address in place.addresses.values())
        public = (f"public {name}" for name, each in self.public.items() if each == address)
        return next(holders, None) or next(public, address)


@contextmanager
def balancing_stage(file: Path) -> Iterator[BalancingStage]:
    """Bring the file up, with a pod on each VM that is a member, and the places that are no VMs."""
    with laboratory(file) as lab:
        made = BalancingStage(lab, file)
        for name, vm in (("p1", "m1"), ("p2", "m2")):
            pod = lab.run_pod(name, vm)
            made.places[name] = Place(pod.descriptor, {4: pod.address})
        made.run("c", "ip", "addr", "add", "10.1.2.51/32", "dev", "lo")
        inside = lab.internet()
        made.places |= {
            "own": Place(lab.vm("c"), {4: "10.1.2.51"}),
            "client": Place(inside, {4: "198.51.100.20"}),
            "other": Place(inside, {4: "198.51.100.30"}),
        }
        yield made


def part(resources: Resources, resource: str, kind: str, name: str) -> dict[str, Any]:
    """The properties of a part of a resource, ``networkInterfaces/m1``; ``kind`` is the member that lists it."""
    parts = resources[resource]["properties"][kind]
    found: dict[str, Any] = next(each for each in parts if each["name"] == name)["properties"]
    return found


def _each(expected: str) -> set[str]:
    """What single flows meet: of ``p1 p2 see c`` two things."""
    found: set[str] = set()
    for each in expected.split(" | "):
        members, see, caller = each.partition(" see ")
        found |= {f"{member} sees {caller}" for member in members.split()} if see else {each}
    return found


def _ready(doors: Iterable[socket.socket]) -> socket.socket:
    ready: list[socket.socket] = select.select(list(doors), [], [], _LONGEST)[0]
    return ready[0]
