"""Our side of the comparison: the calls to a fabric's resource manager, and the fabric's life."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from api_client import Call, Client
from service import Service, start_fabric

from podvnet.cli import client as control
from podvnet.linux import mount_namespace, namespace
from podvnet.plan import names

_VERSION = "api-version=2024-05-01"
_REGION = "local"
_GROUP = "bench"


class AzureSide:
    """A fabric, and what is asked of it."""

    title = "podvnet"

    def __init__(self, log: Path) -> None:
        self._log = log
        self.service: Service = start_fabric(log)
        access = control.ask("POST", "/principals", {"name": "bench", "role": "Contributor"})
        form = {
            "grant_type": "client_credentials",
            "client_id": access["client"],
            "client_secret": access["secret"],
            "scope": f"{access['endpoint']}/.default",
        }
        login = Client(access["endpoint"], {"Content-Type": "application/x-www-form-urlencoded"}, access["ca"])
        answer = login.call(Call("POST", f"/{access['tenant']}/oauth2/v2.0/token", urlencode(form).encode()))
        headers = {
            "Authorization": f"Bearer {json.loads(answer.body)['access_token']}",
            "Content-Type": "application/json",
        }
        self.client = Client(access["endpoint"], headers, access["ca"])
        self._root = f"/subscriptions/{access['subscription']}/resourceGroups/{_GROUP}"
        self.client.call(self._put(self._root, {"location": _REGION}))

    def make_network(self, name: str, prefix: str) -> None:
        """A virtual network with one subnet that fills it."""
        subnet = {"name": "pods", "properties": {"addressPrefix": prefix}}
        properties = {"addressSpace": {"addressPrefixes": [prefix]}, "subnets": [subnet]}
        self.client.call(self._put(self._network(name), {"location": _REGION, "properties": properties}))

    def make_nic(self, network: str, name: str, secondaries: int = 0, group: str = "") -> Call:
        """Create or replace a NIC with one primary and so many secondary addresses, under a security group if named."""
        subnet = {"subnet": {"id": f"{self._network(network)}/subnets/pods"}}
        configurations = [{"name": "primary", "properties": {"primary": True, **subnet}}]
        configurations += [{"name": f"pod{number}", "properties": {**subnet}} for number in range(secondaries)]
        properties: dict[str, Any] = {"ipConfigurations": configurations}
        if group:
            properties["networkSecurityGroup"] = {"id": self._security_group(group)}
        return self._put(self._nic(name), {"location": _REGION, "properties": properties})

    def make_security_group(self, name: str, rules: int) -> Call:
        """Create or replace a security group with so many rules, none of which matters."""
        listed = [{"name": f"r{number}", "properties": _rule(number)} for number in range(rules)]
        return self._put(self._security_group(name), {"location": _REGION, "properties": {"securityRules": listed}})

    def make_rule(self, group: str, number: int, *, allow: bool) -> Call:
        """Create or replace one rule of a security group."""
        properties = _rule(number) | {"access": "Allow" if allow else "Deny"}
        return self._put(f"{self._security_group(group)}/securityRules/r{number}", {"properties": properties})

    def make_machine(self, name: str, nic: str) -> Call:
        """Create a VM on a NIC."""
        properties = {"networkProfile": {"networkInterfaces": [{"id": self._nic(nic)}]}}
        place = f"{self._root}/providers/Microsoft.Compute/virtualMachines/{name}"
        return self._put(place, {"location": _REGION, "properties": properties})

    def delete_nic(self, name: str) -> Call:
        """Delete a NIC."""
        return Call("DELETE", f"{self._nic(name)}?{_VERSION}")

    def get_nic(self, name: str) -> Call:
        """Read a NIC."""
        return Call("GET", f"{self._nic(name)}?{_VERSION}")

    def get_network(self, name: str) -> Call:
        """Read a virtual network with the ids of all ip-configurations in it."""
        return Call("GET", f"{self._network(name)}?{_VERSION}")

    def changes(self) -> list[dict[str, float]]:
        """Of every change so far, in order, the milliseconds of each part, as the fabric logged them."""
        lines = (line for line in self._log.read_text(encoding="utf-8").splitlines() if '"event": "changed"' in line)
        return [json.loads(line)["milliseconds"] for line in lines]

    def restart(self) -> float:
        """Kill the fabric process and start another; return the seconds until that was ready.

        Raises:
            AssertionError: the kernel does not hold what the store says.
        """
        self.service.kill()
        return self._start()

    def restart_after_reboot(self) -> float:
        """As :meth:`restart`, with everything gone that a reboot of the machine ends."""
        self.service.kill()
        for pin in (control.RUN / "mounts").iterdir():
            mount_namespace.delete(pin)
        for label in namespace.names(names.PREFIX):
            namespace.delete(label)
        with contextlib.suppress(OSError):  # the directory of the pins is a mount, and stays
            shutil.rmtree(control.RUN)
        return self._start()

    def close(self) -> None:
        """End the fabric process."""
        self.service.kill()

    def _start(self) -> float:
        self.service = start_fabric(self._log)
        found = control.ask("GET", "/agreement")
        if found["steps"]:
            raise AssertionError(f"not recovered: {found['steps'][:3]} and {len(found['steps']) - 3} more")
        return self.service.start_seconds

    def _network(self, name: str) -> str:
        return f"{self._root}/providers/Microsoft.Network/virtualNetworks/{name}"

    def _nic(self, name: str) -> str:
        return f"{self._root}/providers/Microsoft.Network/networkInterfaces/{name}"

    def _security_group(self, name: str) -> str:
        return f"{self._root}/providers/Microsoft.Network/networkSecurityGroups/{name}"

    @staticmethod
    def _put(path: str, body: dict[str, Any]) -> Call:
        return Call("PUT", f"{path}?{_VERSION}", json.dumps(body).encode())


def _rule(number: int) -> dict[str, Any]:
    return {
        "priority": 100 + number,
        "direction": "Inbound",
        "access": "Deny",
        "protocol": "Tcp",
        "sourcePortRange": "*",
        "sourceAddressPrefix": "*",
        "destinationPortRange": str(10_000 + number),
        "destinationAddressPrefix": "*",
    }
