"""Docker's side of its drivers in a VM of a lab: calls as Docker makes them, containers that are bare namespaces."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
from dataclasses import dataclass
from typing import Any

from podvnet.testing.cni import ExpectationError, Json, Runtime, Sandbox

_SOCKET = "/run/docker/plugins/azure-vnet.sock"
_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Guest:
    """A container: the names of it that Docker uses, its namespace, its address and MAC."""

    endpoint: Json
    sandbox: Sandbox
    address: str
    mac: str
    link: str


class DockerCalls:
    """Calls the drivers of a VM's agent, which is one that serves Docker.

    Args:
        runtime: of the VM.
        subnet: of the VM's NIC.
    """

    def __init__(self, runtime: Runtime, subnet: str = "10.1.1.0/24") -> None:
        self.runtime = runtime
        self.network = secrets.token_hex(32)
        self._subnet = subnet
        self.pool = f"azure-vnet|{subnet}|{subnet}"

    def ask(self, method: str, **document: Any) -> Json:
        """Make a call; return its answer or refusal."""

        def post() -> Json:
            connection = http.client.HTTPConnection("plugin", timeout=_TIMEOUT)
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(_TIMEOUT)
            with contextlib.closing(connection):
                connection.sock.connect(_SOCKET)
                connection.request("POST", f"/{method}", json.dumps(document).encode())
                found: Json = json.loads(connection.getresponse().read())
            return found

        return self.runtime.do(post)

    def call(self, method: str, **document: Any) -> Json:
        """Make a call that must be served."""
        answer = self.ask(method, **document)
        if answer.get("Err"):
            raise ExpectationError(f"{method}: {answer['Err']}")
        return answer

    def create_network(self, **options: Any) -> None:
        """Do what ``docker network create`` does."""
        data = [{"AddressSpace": "azure-vnet", "Pool": self._subnet}]
        self.call("NetworkDriver.CreateNetwork", NetworkID=self.network, Options=options, IPv4Data=data, IPv6Data=[])

    def reserve(self, address: str = "") -> str:
        """Do what Docker does first of all, for whichever network; return the address."""
        answer = self.call("IpamDriver.RequestAddress", PoolID=self.pool, Address=address)
        return str(answer["Address"]).partition("/")[0]

    def release(self, address: str) -> None:
        """Give an address back."""
        self.call("IpamDriver.ReleaseAddress", PoolID=self.pool, Address=address)

    def run(self, address: str = "") -> Guest:
        """Do what ``docker run`` does, up to the container's routes."""
        runtime = self.runtime
        found = self.reserve(address)
        endpoint = {"NetworkID": self.network, "EndpointID": secrets.token_hex(32)}
        interface = {"Address": f"{found}/32", "AddressIPv6": "", "MacAddress": ""}
        made = self.call("NetworkDriver.CreateEndpoint", **endpoint, Interface=interface, Options={})
        sandbox = runtime.sandbox()
        joined = self.call("NetworkDriver.Join", **endpoint, SandboxKey=sandbox.path, Options={})
        taken = joined["InterfaceName"]["SrcName"]
        runtime.run("ip", "link", "set", taken, "netns", sandbox.name)
        inside = ("ip", "-n", sandbox.name)
        runtime.run(*inside, "link", "set", taken, "name", "eth0")
        runtime.run(*inside, "addr", "add", f"{found}/32", "dev", "eth0")
        for link in ("lo", "eth0"):
            runtime.run(*inside, "link", "set", link, "up")
        for route in joined["StaticRoutes"]:
            way = ("via", route["NextHop"]) if route["NextHop"] else ()
            runtime.run(*inside, "route", "add", route["Destination"], *way, "dev", "eth0")
        if joined.get("Gateway"):
            runtime.run(*inside, "route", "add", "default", "via", joined["Gateway"])
        link = self.call("NetworkDriver.EndpointOperInfo", **endpoint)["Value"]["podvnet.link"]
        return Guest(endpoint, sandbox, found, made["Interface"]["MacAddress"], link)

    def publish(self, guest: Guest, protocol: int, host_port: int, port: int) -> None:
        """Publish a port of the VM, as ``docker run`` does last."""
        binding = {"Proto": protocol, "Port": port, "HostIP": "", "HostPort": host_port, "HostPortEnd": host_port}
        options = {"com.docker.network.portmap": [binding]}
        self.call("NetworkDriver.ProgramExternalConnectivity", **guest.endpoint, Options=options)

    def remove(self, guest: Guest) -> None:
        """Do what ``docker rm`` does. The container's end goes with its namespace."""
        for method in ("RevokeExternalConnectivity", "Leave", "DeleteEndpoint"):
            self.call(f"NetworkDriver.{method}", **guest.endpoint)
        self.runtime.unmake(guest.sandbox)
        self.release(guest.address)
