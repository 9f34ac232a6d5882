"""Docker's drivers as Docker calls them, over a real ledger; the kernel is a stand-in that keeps lists."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any, cast

from podvnet.agent.docker.driver import Driver
from podvnet.agent.docker.flows import Flows
from podvnet.agent.docker.front import Front
from podvnet.agent.docker.networks import FILE, Networks
from podvnet.agent.docker.parts import Parts
from podvnet.agent.docker.protocol import Json
from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import PoolAddress
from podvnet.agent.pool_growth import Prospect
from podvnet.agent.standing import Standing
from podvnet.agent.wiring import Wiring
from podvnet.model.address import GATEWAY6, Address, Mac
from podvnet.model.attachment import Attachment, Node
from podvnet.model.kernel import Ruleset
from podvnet.plan.docker_ruleset import PublishedPort
from podvnet.testing.cni import ExpectationError

NETWORK, ENDPOINT, OTHER = "a" * 64, "b" * 64, "c" * 64
POOL = "azure-vnet|10.1.1.0/24|10.1.1.0/24"
POOL6 = "azure-vnet|fd00::/64|fd00::/64"
NODE = Node(
    "eth0",
    2,
    Mac("00:0d:3a:00:00:01"),
    (ip_address("10.1.1.4"), ip_address("fd00::4")),
    (ip_network("10.1.1.0/24"), ip_network("fd00::/64")),
    1500,
)
E: Json = {"NetworkID": NETWORK, "EndpointID": ENDPOINT}
IPV4: list[Json] = [{"AddressSpace": "azure-vnet", "Pool": "10.1.1.0/24", "Gateway": "10.1.1.1/24", "AuxAddresses": {}}]
IPV6: list[Json] = [{"AddressSpace": "azure-vnet", "Pool": "fd00::/64", "Gateway": "fd00::1/64", "AuxAddresses": {}}]


@dataclass
class Kernel:
    """What the drivers do to the kernel, kept in lists: the stand-in of the agent's wiring."""

    offered: dict[int, Attachment] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    table: str = ""

    def offer(self, attachment: Attachment) -> None:
        """Make a link."""
        self.offered[attachment.link_index] = attachment

    def offers(self) -> frozenset[str]:
        """The container ends that nobody has taken."""
        return frozenset(each.offered_name for each in self.offered.values()) - self.taken

    def links(self) -> dict[int, Attachment]:
        """The links."""
        return self.offered

    def take_down(self, attachment: Attachment, _: int | None) -> None:
        """Take a link away."""
        self.offered.pop(attachment.link_index, None)

    def write_table(self, _: str, rules: Ruleset | None) -> None:
        """Write the table."""
        self.table = rules.text if rules else ""


@dataclass
class FlowsKept(Flows):
    """What is to be decided anew, in the order of the calls, with the table that stood then."""

    kernel: Kernel
    forgotten: list[tuple[frozenset[Address], str]] = field(default_factory=list)
    diverted: list[tuple[tuple[PublishedPort, ...], frozenset[Address], str]] = field(default_factory=list)

    def forget(self, addresses: frozenset[Address]) -> None:
        """Note it down."""
        self.forgotten.append((addresses, self.kernel.table))

    def divert(self, ports: Iterable[PublishedPort], addresses: frozenset[Address]) -> None:
        """Note it down."""
        self.diverted.append((tuple(ports), addresses, self.kernel.table))


class Plugin:
    """The drivers as Docker sees them, without the socket.

    Args:
        folder: for the files of an agent.
        rest: seconds that a released address is left alone.

    Attributes:
        prospect: what the drivers are told of the pool's growth.
        living: the addresses that somebody on the VM has.
        admits: whether containers get through Docker's firewall; ``admitted`` counts how often that was asked.
        asked: how often the platform was asked for its list.
        submit: runs a task in what is the agent's thread here.
    """

    def __init__(self, folder: Path, rest: float = 0.0) -> None:
        self.kernel = Kernel()
        self.flows = FlowsKept(self.kernel)
        self.folder = folder
        self.rest = rest
        self.prospect = Prospect()
        self.living: frozenset[Address] | None = frozenset()
        self.admits = True
        self.admitted = self.asked = 0
        self.submit: Callable[[Callable[[], None]], None] = lambda task: task()
        self.start()

    def start(self) -> None:
        """Start an agent on the files of the one before."""
        self.ledger = Ledger(self.folder / "ledger.db", "this-boot")
        self.list_addresses(5, 6, 7)
        parts = Parts(
            ledger=self.ledger,
            wiring=cast("Wiring", self.kernel),
            flows=self.flows,
            admit=self._admit,
            prospect=lambda: self.prospect,
            living=lambda: self.living,
        )
        self.standing = Standing(NODE)
        self.driver = Driver(parts, Networks(self.folder / FILE), self.standing, self.rest)
        self.front = Front(self.folder / "docker.sock", self.driver, self._submit, self._ask_platform)
        self.driver.stand(NODE)

    def list_addresses(self, *numbers: int) -> None:
        """Let the platform list addresses of IPv4, by their last bytes, and two of IPv6."""
        four = [PoolAddress(ip_interface(f"10.1.1.{n}/24"), ip_address("10.1.1.1")) for n in numbers]
        six = [PoolAddress(ip_interface(f"fd00::{n}/64"), GATEWAY6) for n in (5, 6)]
        self.ledger.fill([*four, *six])

    def _submit(self, task: Callable[[], None]) -> None:
        self.submit(task)

    def _admit(self) -> bool:
        self.admitted += 1
        return self.admits

    def _ask_platform(self) -> None:
        self.asked += 1

    def end(self) -> None:
        """End the agent, as if it were killed: its files and the kernel stay."""
        self.driver.close()
        self.ledger.close()

    def raw(self, method: str, body: bytes) -> tuple[int, Json]:
        """Call with a body of any kind; return status and document."""
        status, document = self.front.serve(f"/{method}", body)
        return status, cast("Json", json.loads(document))

    def call(self, method: str, **document: Any) -> Json:
        """Call.

        Raises:
            ExpectationError: it is refused.
        """
        status, answer = self.raw(method, json.dumps(document).encode())
        if status != 200 or "Err" in answer:
            raise ExpectationError(f"{method}: {status} {answer}")
        return answer

    def refused(self, method: str, **document: Any) -> str:
        """Call; return the words of the refusal.

        Raises:
            ExpectationError: it is served, or one kind of driver would not understand the refusal.
        """
        _, answer = self.raw(method, json.dumps(document).encode())
        if not answer.get("Err") or answer["Err"] != answer.get("Error"):
            raise ExpectationError(f"{method}: {answer}")
        return str(answer["Err"])

    def network(self, identifier: str = NETWORK, *, internal: bool = False) -> None:
        """Do what ``docker network create`` does."""
        options = {"com.docker.network.internal": True} if internal else {}
        self.call("NetworkDriver.CreateNetwork", NetworkID=identifier, Options=options, IPv4Data=IPV4, IPv6Data=IPV6)

    def address(self, pool: str = POOL, wanted: str = "") -> str:
        """Have an address reserved; with prefix length."""
        return str(self.call("IpamDriver.RequestAddress", PoolID=pool, Address=wanted, Options=None)["Address"])

    def endpoint(self, identifier: str = ENDPOINT, wanted: str = "", **options: Any) -> str:
        """Do what ``docker run`` does; return the address."""
        address = self.address(wanted=wanted)
        interface = {"Address": address, "AddressIPv6": "", "MacAddress": ""}
        who = {"NetworkID": NETWORK, "EndpointID": identifier}
        self.call("NetworkDriver.CreateEndpoint", **who, Interface=interface, Options=options)
        joined = self.call(
            "NetworkDriver.Join", **who, SandboxKey=f"/var/run/docker/netns/{identifier[:12]}", Options={}
        )
        self.kernel.taken.add(joined["InterfaceName"]["SrcName"])
        return address.partition("/")[0]

    def publish(self, *bindings: tuple[int, str, int, int], identifier: str = ENDPOINT) -> list[int]:
        """Publish ports as ``docker run`` does; return which ports of the VM they are."""
        who = {"NetworkID": NETWORK, "EndpointID": identifier}
        self.call("NetworkDriver.ProgramExternalConnectivity", **who, Options=ports(*bindings))
        shown = self.call("NetworkDriver.EndpointOperInfo", **who)["Value"]["podvnet.ports"]
        return [int(text.partition("/")[0].rpartition(":")[2]) for text in shown]

    def gone(self, address: str, identifier: str = ENDPOINT) -> None:
        """Do what ``docker rm`` does."""
        who = {"NetworkID": NETWORK, "EndpointID": identifier}
        self.call("NetworkDriver.RevokeExternalConnectivity", **who)
        self.call("NetworkDriver.Leave", **who)
        self.call("NetworkDriver.DeleteEndpoint", **who)
        self.call("IpamDriver.ReleaseAddress", PoolID=POOL, Address=address)

    @property
    def held(self) -> int:
        """How many addresses of IPv4 are held."""
        return self.ledger.count(time.monotonic(), self.rest).held


def ports(*bindings: tuple[int, str, int, int]) -> Json:
    """The option of a call: (protocol, address of the VM, port of the VM, port of the container)."""
    listed = [
        {"Proto": protocol, "IP": "", "Port": port, "HostIP": host, "HostPort": host_port, "HostPortEnd": host_port}
        for protocol, host, host_port, port in bindings
    ]
    return {"com.docker.network.portmap": listed}
