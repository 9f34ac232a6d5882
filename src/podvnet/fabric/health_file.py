"""Who answered their probes last, kept where a restart of the process finds it and a reboot of the machine does not."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

from podvnet.model.address import Address
from podvnet.model.resource_id import ResourceId, parse


class HealthFile:
    """The file. It is replaced as a whole, so that it is never half written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> frozenset[tuple[ResourceId, Address]]:
        """Each probe, and the address of a member that answered it; nothing when there is no file.

        Raises:
            ValueError: it was written by something else.
        """
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return frozenset()
        return frozenset((parse(probe), ip_address(address)) for probe, address in json.loads(text))

    def write(self, healthy: frozenset[tuple[ResourceId, Address]]) -> None:
        """Replace what is there.

        Raises:
            OSError: the directory cannot be written to.
        """
        draft = self._path.with_suffix(".new")
        draft.touch(mode=0o600)
        told = sorted((str(probe), str(address)) for probe, address in healthy)
        draft.write_text(json.dumps(told), encoding="utf-8")
        draft.replace(self._path)
