"""Questions and answers on the wire.

Pure. Sources: RFC 1035 section 4; RFC 6891 (EDNS: a larger answer over UDP, and versions); RFC 2181 section 9 and RFC
7766 (an answer that is cut short says so, and is asked for again over TCP).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from podvnet.fabric.dns.resolution import Resolution
from podvnet.model.dns import RecordSet

LONGEST = 65_535
"""Bytes of a message over TCP."""
_HEADER = struct.Struct("!HHHHHH")
_PLAIN = 512
"""Bytes of a message over UDP for a client without EDNS."""
_PAYLOAD = 1232
"""Bytes of a message over UDP at most: no packet of it is cut. Source: DNS Flag Day 2020."""
_TRANSFERS = {dns.rdatatype.AXFR, dns.rdatatype.IXFR, dns.rdatatype.MAILA, dns.rdatatype.MAILB}


@dataclass(frozen=True, slots=True)
class Query:
    """A question that can be answered.

    Attributes:
        name: in lower case, without a dot at its end.
        kind: the type of record, e.g. ``A``.
        recursive: the client wants what is not here to be looked for.
        payload: bytes of an answer over UDP that the client takes.
    """

    message: dns.message.Message
    name: str
    kind: str
    recursive: bool
    payload: int


def read(wire: bytes) -> Query | bytes | None:
    """Read a message.

    Returns:
        The question; or the refusal it gets: malformed, another operation, another class, an EDNS of the future; or
        None for what gets no answer: no message at all, or an answer.
    """
    if len(wire) < _HEADER.size:
        return None
    identity, flags, *_ = _HEADER.unpack_from(wire)
    if flags & dns.flags.QR:
        return None
    if dns.opcode.from_flags(flags) != dns.opcode.QUERY:
        return _bare(identity, flags, dns.rcode.NOTIMP)
    try:
        message = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError):
        return _bare(identity, flags, dns.rcode.FORMERR)
    if len(message.question) != 1:
        return _bare(identity, flags, dns.rcode.FORMERR)
    question = message.question[0]
    if message.edns > 0:
        return _refused(message, dns.rcode.BADVERS)
    if question.rdclass != dns.rdataclass.IN or question.rdtype in _TRANSFERS:
        return _refused(message, dns.rcode.REFUSED)
    return Query(
        message,
        "" if question.name == dns.name.root else question.name.to_text(omit_final_dot=True).lower(),
        dns.rdatatype.to_text(question.rdtype),
        bool(flags & dns.flags.RD),
        min(max(message.payload, _PLAIN), _PAYLOAD) if message.edns >= 0 else _PLAIN,
    )


def answer(
    query: Query,
    resolution: Resolution,
    more: Iterable[dns.rrset.RRset] = (),
    authority: Iterable[dns.rrset.RRset] = (),
    *,
    limit: int,
) -> bytes:
    """The answer to a question.

    Args:
        query: the question.
        resolution: what is known here.
        more: what public DNS adds to the answers.
        authority: what public DNS says of what is not there.
        limit: bytes; what is longer is cut short and says so.
    """
    response = dns.message.make_response(query.message, recursion_available=True, our_payload=_PAYLOAD)
    response.set_rcode(dns.rcode.from_text(resolution.rcode))
    response.answer = [*rrsets(resolution), *more]
    response.authority = [_rrset(*resolution.authority)] if resolution.authority else list(authority)
    return response.to_wire(max_size=limit, prefer_truncation=True)


def refusal(query: Query) -> bytes:
    """The answer to who wants to know only what is here, of what is not."""
    return _refused(query.message, dns.rcode.REFUSED)


def rrsets(resolution: Resolution) -> list[dns.rrset.RRset]:
    """What is known, as it goes on the wire."""
    return [_rrset(owner, each) for owner, each in resolution.answers]


def _rrset(owner: str, records: RecordSet) -> dns.rrset.RRset:
    found = dns.rrset.RRset(_name(owner), dns.rdataclass.IN, dns.rdatatype.from_text(records.type))
    found.ttl = records.ttl
    for text in records.data:
        found.add(_rdata(records.type, text))
    return found


@lru_cache(maxsize=1 << 16)
def _name(text: str) -> dns.name.Name:
    return dns.name.from_text(text)


@lru_cache(maxsize=1 << 16)
def _rdata(kind: str, text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text(dns.rdataclass.IN, kind, text)


def _refused(message: dns.message.Message, rcode: dns.rcode.Rcode) -> bytes:
    response = dns.message.make_response(message, recursion_available=True, our_payload=_PAYLOAD)
    response.set_rcode(rcode)
    return response.to_wire()


def _bare(identity: int, flags: int, rcode: int) -> bytes:
    """A header alone, for a message whose question cannot be repeated."""
    kept = flags & (0x7800 | dns.flags.RD)
    return _HEADER.pack(identity, dns.flags.QR | dns.flags.RA | kept | rcode, 0, 0, 0, 0)
