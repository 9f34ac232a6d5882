"""Elements of nftables sets and maps, by raw nfnetlink: the cost does not grow with the set.

Source: Linux ``include/uapi/linux/netfilter/nf_tables.h``. All messages of a batch are one transaction: either every
element is there afterwards or none. Rules proper are written by :mod:`podvnet.linux.ruleset`.
"""

from __future__ import annotations

import itertools
import struct
import sys
from collections.abc import Iterable, Iterator

from podvnet.linux.error import KernelError
from podvnet.linux.netlink import (
    ACK,
    CREATE,
    NETFILTER,
    REQUEST,
    NetlinkSocket,
    attribute,
    attribute_list,
    attributes,
    nested,
    text,
)
from podvnet.model.kernel import Element

_SUBSYSTEM = 10 << 8
_NEWSETELEM, _GETSETELEM, _DELSETELEM = 12, 13, 14
_GETCHAIN, _GETRULE, _GETSET, _GETOBJ = 4, 7, 10, 19
_RULE_CHAIN, _RULE_EXPRESSIONS = 2, 4
_EXPRESSION_NAME, _EXPRESSION_DATA, _IMMEDIATE_DATA = 1, 2, 2
_BATCH_BEGIN, _BATCH_END = 16, 17
_FAMILIES = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}

_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct(">BBH")

_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_ELEMENT = 1
_KEY, _DATA = 1, 2
_VALUE, _VERDICT = 1, 2
_VERDICT_CHAIN = 2
_CHAIN_NAME, _CHAIN_HOOK, _SET_NAME = 3, 4, 2
_OBJECT_NAME, _OBJECT_KIND, _OBJECT_DATA = 2, 3, 4
_COUNTER, _TIMEOUT = 1, 7
_COUNTER_PACKETS = 2

_ELEMENTS_PER_MESSAGE = 200
_ELEMENTS_PER_BATCH = 2000


class SetSocket:
    """A socket for the sets of one namespace. Keep it: closing one waits for the kernel's grace period."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETFILTER)

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def add(self, elements: Iterable[Element]) -> None:
        """Add elements. Those there already (with the same data) stay.

        Raises:
            KernelError: none of the batch was added.
        """
        self._change(_NEWSETELEM, CREATE, elements, "add")

    def remove(self, elements: Iterable[Element]) -> None:
        """Remove elements.

        Raises:
            KernelError: one was not there (``is_gone``), or the kernel refused; none of the batch was removed.
        """
        self._change(_DELSETELEM, 0, elements, "remove")

    def _change(self, operation: int, flags: int, elements: Iterable[Element], verb: str) -> None:
        ordered = sorted(elements, key=lambda e: (e.family, e.table, e.set))
        for start in range(0, len(ordered), _ELEMENTS_PER_BATCH):
            self._transaction(operation, flags, ordered[start : start + _ELEMENTS_PER_BATCH], verb)

    def _transaction(self, operation: int, flags: int, elements: list[Element], verb: str) -> None:
        messages: list[tuple[int, bytes, str]] = []
        for (family, table, name), group in itertools.groupby(elements, key=lambda e: (e.family, e.table, e.set)):
            members = list(group)
            for start in range(0, len(members), _ELEMENTS_PER_MESSAGE):
                part = members[start : start + _ELEMENTS_PER_MESSAGE]
                body = _GENERIC.pack(_FAMILIES[family], 0, 0) + text(_LIST_TABLE, table) + text(_LIST_SET, name)
                body += nested(_LIST_ELEMENTS, *(_packed(element) for element in part))
                messages.append((_SUBSYSTEM | operation, body, f"{verb} elements of set {family} {table} {name}"))
        first = self._netlink.next_sequence(len(messages) + 2)
        frames = [_frame(_BATCH_BEGIN, 0, first, _GENERIC.pack(0, 0, 10))]
        for i, (kind, body, _) in enumerate(messages, 1):
            acknowledge = ACK if i == len(messages) else 0
            frames.append(_frame(kind, flags | acknowledge, first + i, body))
        last = first + len(messages) + 1
        frames.append(_frame(_BATCH_END, 0, last, _GENERIC.pack(0, 0, 10)))
        self._netlink.send(b"".join(frames))
        failure: KernelError | None = None
        for sequence, number, reason in self._netlink.acknowledgements(first, last - 1):
            if number and failure is None:
                doing = messages[sequence - first - 1][2] if sequence > first else f"{verb} set elements"
                failure = KernelError(number, doing, reason)
                if sequence != last - 1:
                    break  # the transaction is aborted: the last message is not acknowledged any more
        if failure:
            raise failure

    def elements(self, family: str, table: str, name: str) -> Iterator[Element]:
        """Yield the elements of a set or map; nothing when the set is not there."""
        for element, _ in self._listed(family, table, name):
            yield element

    def _listed(self, family: str, table: str, name: str) -> Iterator[tuple[Element, str]]:
        """Elements, each with the chain its verdict leads to."""
        body = _GENERIC.pack(_FAMILIES[family], 0, 0) + text(_LIST_TABLE, table) + text(_LIST_SET, name)
        for _, answer in self._netlink.dump(_SUBSYSTEM | _GETSETELEM, body, f"list set {family} {table} {name}"):
            listed = attributes(answer, 4).get(_LIST_ELEMENTS, b"")
            for _, item in attribute_list(listed):
                got = attributes(item)
                key = attributes(got.get(_KEY, b"")).get(_VALUE, b"")
                data = attributes(got.get(_DATA, b""))
                chain = attributes(data.get(_VERDICT, b"")).get(_VERDICT_CHAIN, b"").rstrip(b"\0").decode()
                yield Element(family, table, name, key, data.get(_VALUE, b"")), chain

    def dispatches(self, family: str, table: str, name: str) -> Iterator[tuple[int, str]]:
        """Yield the elements of a verdict map by interface, each with its chain; nothing when there is no map."""
        for element, chain in self._listed(family, table, name):
            yield int.from_bytes(element.key[:4], sys.byteorder), chain

    def jumps(self, family: str, table: str) -> dict[str, str]:
        """Of each chain of a table that has a rule which only jumps, where that leads."""
        found = {}
        for got in self._objects(_GETRULE, family, table, "rules"):
            for _, expression in attribute_list(got.get(_RULE_EXPRESSIONS, b"")):
                inner = attributes(expression)
                if inner.get(_EXPRESSION_NAME, b"").rstrip(b"\0") != b"immediate":
                    break
                verdict = attributes(
                    attributes(attributes(inner[_EXPRESSION_DATA]).get(_IMMEDIATE_DATA, b"")).get(_VERDICT, b"")
                )
                if _VERDICT_CHAIN in verdict:
                    chain = got[_RULE_CHAIN].rstrip(b"\0").decode()
                    found[chain] = verdict[_VERDICT_CHAIN].rstrip(b"\0").decode()
        return found

    def chains(self, family: str, table: str) -> set[str]:
        """The names of a table's chains that are no base chains."""
        return {
            got[_CHAIN_NAME].rstrip(b"\0").decode()
            for got in self._objects(_GETCHAIN, family, table, "chains")
            if _CHAIN_HOOK not in got
        }

    def sets(self, family: str, table: str) -> set[str]:
        """The names of a table's sets and maps."""
        return {got[_SET_NAME].rstrip(b"\0").decode() for got in self._objects(_GETSET, family, table, "sets")}

    def _objects(self, kind: int, family: str, table: str, what: str) -> Iterator[dict[int, bytes]]:
        body = _GENERIC.pack(_FAMILIES[family], 0, 0) + text(1, table)
        for _, answer in self._netlink.dump(_SUBSYSTEM | kind, body, f"list {what} of {family} {table}"):
            got = attributes(answer, 4)
            if got.get(1, b"").rstrip(b"\0").decode() == table:
                yield got

    def counters(self, family: str, table: str) -> dict[str, int]:
        """The packets each named counter of a table has seen."""
        return {
            _named(got): int.from_bytes(attributes(got[_OBJECT_DATA])[_COUNTER_PACKETS], "big")
            for got in self._objects(_GETOBJ, family, table, "counters")
            if _kind(got) == _COUNTER
        }

    def timeouts(self, family: str, table: str) -> set[str]:
        """The names of a table's connection timeouts."""
        return {_named(got) for got in self._objects(_GETOBJ, family, table, "timeouts") if _kind(got) == _TIMEOUT}


def _named(got: dict[int, bytes]) -> str:
    return got[_OBJECT_NAME].rstrip(b"\0").decode()


def _kind(got: dict[int, bytes]) -> int:
    return int.from_bytes(got[_OBJECT_KIND], "big")


def _frame(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(16 + len(body), kind, flags | REQUEST, sequence, 0) + body


def _packed(element: Element) -> bytes:
    parts = [nested(_KEY, attribute(_VALUE, element.key))]
    if element.data:
        parts.append(nested(_DATA, attribute(_VALUE, element.data)))
    return nested(_ELEMENT, *parts)
