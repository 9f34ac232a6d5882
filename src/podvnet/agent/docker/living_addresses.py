"""The addresses that somebody on the VM has: in the namespace of some process."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from podvnet.linux import namespace, rtnetlink_dump
from podvnet.linux.error import KernelError
from podvnet.linux.netlink import ROUTE, NetlinkSocket
from podvnet.model.address import Address

_PROCESSES = Path("/proc")

_log = structlog.get_logger()


def living_addresses() -> frozenset[Address] | None:
    """Every address of every network namespace that has a process.

    Costs some 0.3 ms for each namespace, and a look at each process.

    Returns:
        None when one namespace could not be looked into: then no address can be said to be nobody's.
    """
    found: set[Address] = set()
    seen: set[tuple[int, int]] = set()
    for process in _PROCESSES.iterdir():
        if not process.name.isdigit():
            continue
        try:
            descriptor = os.open(process / "ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except OSError as error:
            _log.warning("namespace_not_seen", process=process.name, reason=str(error))
            return None
        try:
            which = namespace.identity(descriptor)
            if which not in seen:
                seen.add(which)
                found |= _addresses(descriptor)
        except KernelError as error:
            _log.warning("namespace_not_seen", process=process.name, reason=str(error))
            return None
        finally:
            os.close(descriptor)
    return frozenset(found)


def _addresses(descriptor: int) -> set[Address]:
    with namespace.run_inside(descriptor, lambda: NetlinkSocket(ROUTE)) as route:
        return {each.interface.ip for each in rtnetlink_dump.addresses(route)}
