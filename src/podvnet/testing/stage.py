"""A lab that the rows of a table change and send packets through: a file brought up once, then other versions of it.

A row says how its resources differ from the file's; the fabric's control socket is given the whole again, as
``podvnet up`` does.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from podvnet.fabric import resource_file
from podvnet.fabric.arm.world import Document
from podvnet.testing.lab import Lab, laboratory
from podvnet.testing.traffic import Place, Watch, outcome

_SOCKET = "/run/podvnet/fabric/fabric.sock"

Resources = dict[str, Document]
"""By ``type/name`` without the provider, as ids in files are: ``networkSecurityGroups/web``."""


class RefusedError(AssertionError):
    """The fabric refused a row's resources."""


class Stage:
    """A lab, what its file declares, and the places that flows begin and end at.

    Attributes:
        places: each VM by name; a test adds its own.
    """

    def __init__(self, lab: Lab, file: Path) -> None:
        self.lab = lab
        self._declared = {_key(document): document for document in resource_file.read(file)}
        self._applied = self._declared
        self._networks = [
            name for kind, _, name in (key.partition("/") for key in self._declared) if kind == "virtualNetworks"
        ]
        self.places: dict[str, Place] = {}
        self.find_places()

    @property
    def declared(self) -> Resources:
        """What the file declares; a copy to change."""
        return copied(self._declared)

    def apply(self, resources: Resources) -> None:
        """Make this the whole.

        Raises:
            RefusedError: the fabric refuses it.
        """
        if resources == self._applied:
            return
        control("POST", "/apply", list(resources.values()))
        self._applied = copied(resources)

    def watch(self) -> Watch:
        """What is dropped from now on, in any virtual network."""
        return Watch(self.lab.network(name) for name in self._networks)

    def outcome(self, caller: str, called: str, protocol: str, port: int = 0, *, version: int = 4) -> str:
        """What becomes of a flow between two places; see :func:`podvnet.testing.traffic.outcome`."""
        return outcome(self.places[caller], self.places[called], protocol, version, self.watch(), port=port)

    def words(self, version: int) -> Mapping[str, str]:
        """What stands for the address of each place in the texts of rows."""
        return {name: place.addresses[version] for name, place in self.places.items() if version in place.addresses}

    def run(self, vm: str, *argv: str) -> str:
        """Run a program in a VM; return what it says."""
        return self.lab.inside(vm, *argv).stdout

    def find_places(self) -> None:
        """Know every VM there is now."""
        shown = {_key(document): document for document in self.lab.status()["resources"]}
        for key, machine in shown.items():
            if not key.startswith("virtualMachines/"):
                continue
            for nic in machine["properties"]["networkProfile"]["networkInterfaces"]:
                inner = shown[f"networkInterfaces/{nic['id'].rsplit('/', 1)[-1]}"]["properties"]
                first: dict[int, str] = {}
                for config in inner["ipConfigurations"]:
                    found = config["properties"]
                    version = 6 if found.get("privateIPAddressVersion") == "IPv6" else 4
                    first.setdefault(version, found["privateIPAddress"])
                name = machine["name"]
                self.places.setdefault(name, Place(self.lab.vm(name), first))


@contextmanager
def stage(file: Path, *options: str) -> Iterator[Stage]:
    """Bring a file up for the block; see :func:`podvnet.testing.lab.laboratory`."""
    with laboratory(file, *options) as lab:
        yield Stage(lab, file)


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """A tree of JSON with ``{name}`` in its texts replaced."""
    if isinstance(value, str):
        return value.format_map(words)
    if isinstance(value, list):
        return [filled(each, words) for each in value]
    if isinstance(value, dict):
        return {key: filled(each, words) for key, each in value.items()}
    return value


def control(method: str, path: str, body: Any = None) -> Any:
    """Ask the fabric process by its control socket.

    Raises:
        RefusedError: it refuses.
    """
    connection = http.client.HTTPConnection("fabric")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(_SOCKET)
    try:
        connection.request(method, path, body=json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        raise RefusedError(json.dumps(answer, indent=1))
    return answer


def copied(resources: Resources) -> Resources:
    """A copy without a part in common; in a file, ip-configurations of one ``copy: N`` are one object."""
    made: Resources = json.loads(json.dumps(resources))
    return made


def _key(document: Document) -> str:
    return f"{document['type'].rsplit('/', 1)[-1]}/{document['name']}"
