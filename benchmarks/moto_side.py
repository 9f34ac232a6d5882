"""The peer: moto's EC2, which keeps network interfaces in memory and moves no packet.

Its server speaks plain HTTP here and checks no signature; it closes the connection after every answer.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

from api_client import Call, Client
from service import Service, start_moto

PROGRAM = Path(".cache/moto/bin/moto_server")
_PORT = 5099
# What an SDK would send; moto reads the service and the region out of it.
_AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=none"
)


class MotoSide:
    """A moto server, and what is asked of it."""

    title = "moto EC2"

    def __init__(self, log: Path) -> None:
        self.service: Service = start_moto(PROGRAM, _PORT, log)
        headers = {"Authorization": _AUTHORIZATION, "Content-Type": "application/x-www-form-urlencoded"}
        self.client = Client(f"http://127.0.0.1:{_PORT}", headers)
        self._subnets: dict[str, str] = {}

    def make_network(self, name: str, prefix: str) -> None:
        """A VPC with one subnet that fills it."""
        vpc = self._made("vpcId", self._ask("CreateVpc", CidrBlock=prefix))
        self._subnets[name] = self._made("subnetId", self._ask("CreateSubnet", VpcId=vpc, CidrBlock=prefix))

    def make_nic(self, network: str, secondaries: int = 0) -> Call:
        """Create a network interface with one primary and so many secondary addresses."""
        wanted = {"SubnetId": self._subnets[network]}
        if secondaries:
            wanted["SecondaryPrivateIpAddressCount"] = str(secondaries)
        return self._ask("CreateNetworkInterface", **wanted)

    def get_nic(self, made: bytes) -> Call:
        """Read the network interface that an answer says was made."""
        return self._ask("DescribeNetworkInterfaces", **{"NetworkInterfaceId.1": _text("networkInterfaceId", made)})

    def delete_nic(self, made: bytes) -> Call:
        """Delete the network interface that an answer says was made."""
        return self._ask("DeleteNetworkInterface", NetworkInterfaceId=_text("networkInterfaceId", made))

    @staticmethod
    def addresses(body: bytes) -> int:
        """How many private addresses an answer holds."""
        listed = body.split(b"<privateIpAddressesSet>")[1].split(b"</privateIpAddressesSet>")[0]
        return listed.count(b"</item>")

    def _made(self, tag: str, call: Call) -> str:
        return _text(tag, self.client.call(call).body)

    @staticmethod
    def _ask(action: str, **values: str) -> Call:
        return Call("POST", "/", urlencode({"Action": action, "Version": "2016-11-15", **values}).encode())


def _text(tag: str, body: bytes) -> str:
    found = re.search(rf"<{tag}>([^<]+)</{tag}>", body.decode())
    if not found:
        raise ValueError(f"no {tag} in {body[:500]!r}")
    return found[1]
