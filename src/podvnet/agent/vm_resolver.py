"""The DNS servers that the VM has, for its pods.

Read from its ``resolv.conf`` when that has changed. Where this names only a resolver of the VM's own, which no pod
reaches, the servers are those that systemd-resolved forwards to.
Sources: resolv.conf(5); systemd-resolved.service(8), "/etc/resolv.conf".
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from podvnet.model.address import WIRESERVER_ADDRESS
from podvnet.plugin.result import Dns

FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
PLATFORM = Dns(nameservers=(str(WIRESERVER_ADDRESS),))
"""What a VM is told of unless somebody says otherwise."""

_Stamp = tuple[int, int, int]


class VmResolver:
    """What the VM's resolver is configured with.

    Args:
        files: where that stands, the first that names a server that pods can reach.
    """

    def __init__(self, files: tuple[Path, ...] = FILES) -> None:
        self._files = files
        self._stamps: list[_Stamp | None] = []
        self._dns = PLATFORM

    def current(self) -> Dns:
        """The servers and suffixes now. A file that has not changed is not read."""
        stamps = [_stamp(path) for path in self._files]
        if stamps != self._stamps:
            texts = [path.read_text(encoding="utf-8", errors="replace") for path in self._files if path.exists()]
            found = (resolver_of(text) for text in texts)
            self._dns = next((each for each in found if each.nameservers), PLATFORM)
            self._stamps = stamps
        return self._dns


def resolver_of(text: str) -> Dns:
    """What a ``resolv.conf`` says, less the servers of the VM's loopback. The last line of a kind counts."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_] if _is_reachable(address):
                servers.append(address)
            case ["search" | "domain", *names]:
                search = tuple(names)
            case ["options", *words]:
                options = tuple(words)
    return Dns(nameservers=tuple(servers), search=search, options=options)


def _is_reachable(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False  # a link-local one with its interface, which is not the pod's
    return not (address.is_loopback or address.is_link_local)


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
