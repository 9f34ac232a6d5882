"""Makes the ledger and the kernel agree: at start, and whenever asked.

The ledger is the truth about intent, the kernel about what is. What was half-done is taken back; what is in the ledger
and lost its link is released (its pod is gone: a link ends with its pod's namespace); what is in the kernel and unknown
to the ledger is adopted, for a pod that runs must not be cut off because a file was lost.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from ipaddress import ip_interface

import structlog

from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import Row, State
from podvnet.agent.wiring import Wiring
from podvnet.linux.rtnetlink_dump import Link
from podvnet.model.address import Address, Mac
from podvnet.model.attachment import Attachment, Node, read_label
from podvnet.model.subnet import gateway

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Mended:
    """How much a reconciliation had to do."""

    taken_back: int = 0
    released: int = 0
    restored: int = 0
    adopted: int = 0
    retired: int = 0
    strays: int = 0


def reconcile(ledger: Ledger, wiring: Wiring, node: Node) -> Mended:
    """Compare and mend.

    Raises:
        KernelError: the kernel refused a repair; the rest waits for the next call.
    """
    taken_back = released = restored = adopted = retired = 0
    ledger.number_after(wiring.highest_number())
    for row in ledger.rows():
        if row.state is not State.ATTACHED:
            _remove(ledger, wiring, row)
            taken_back += 1
    links = wiring.links()
    known: list[Attachment] = []
    for row in ledger.rows():
        if row.ipam_only:
            continue
        if row.attachment.link_index not in links:
            _remove(ledger, wiring, row)
            released += 1
            continue
        restored += wiring.restore(row.attachment)
        known.append(row.attachment)
    sources = wiring.sources()
    for index, link in links.items():
        if any(each.link_index == index for each in known):
            continue
        attachment = adoptable(link, sources.get(index), node)
        if attachment is None or ledger.find(attachment.key) is not None:
            wiring.retire_link(index)
            retired += 1
            continue
        ledger.adopt(attachment)
        restored += wiring.restore(attachment)
        known.append(attachment)
        adopted += 1
    strays = wiring.stray_elements(known)
    wiring.remove_elements(strays)
    mended = Mended(taken_back, released, restored, adopted, retired, len(strays))
    if mended != Mended():
        _log.info("reconciled", **{name: getattr(mended, name) for name in mended.__dataclass_fields__})
    return mended


def adoptable(link: Link, source: tuple[Mac, list[Address]] | None, node: Node) -> Attachment | None:
    """The attachment a link belongs to, by its label and what its pod may send as; None when that does not tell."""
    label = read_label(link.index, link.alias)
    if label is None or source is None:
        return None
    number, key, mode = label
    mac, addresses = source
    placed = []
    for address in addresses:
        prefix = next((prefix for prefix in node.subnets if address in prefix), None)
        if prefix is None:
            return None
        placed.append((ip_interface(f"{address}/{prefix.prefixlen}"), gateway(prefix)))
    return Attachment(
        number=number,
        key=key,
        mode=mode,
        mac=mac,
        mtu=link.mtu,
        addresses=tuple(interface for interface, _ in placed),
        gateways=tuple(hop for _, hop in placed),
    )


def _remove(ledger: Ledger, wiring: Wiring, row: Row) -> None:
    if not row.ipam_only:
        wiring.take_down(row.attachment, None)
    used = row.state is not State.BUILDING
    ledger.release(row.attachment.number, time.monotonic() if used else None)
