"""The control protocol of strongSwan's charon: requests, answers and streamed lists over a Unix socket.

Source: strongSwan, ``src/libcharon/plugins/vici/README.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from podvnet.linux.unix_socket import connect

Value = str | Sequence[str] | Mapping[str, "Value"]
"""What a message is made of: texts, lists of texts, sections."""
Message = dict[str, "Value"]

_REQUEST, _RESPONSE, _UNKNOWN, _REGISTER, _UNREGISTER, _CONFIRM, _NO_EVENT, _EVENT = range(8)
_SECTION, _SECTION_END, _KEY_VALUE, _LIST, _ITEM, _LIST_END = range(1, 7)
_SECONDS = 5.0


class ViciError(Exception):
    """charon refused a request, or is not there; the message holds what it said, and never a key."""


class Vici:
    """A connection to a charon. For one thread.

    Args:
        path: of its socket.

    Raises:
        ViciError: nobody answers there.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._socket = connect(path, _SECONDS)
        except OSError as error:
            raise ViciError(str(error)) from error

    def __enter__(self) -> Self:
        """The connection itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def request(self, command: str, message: Mapping[str, Value] | None = None) -> Message:
        """Ask for something and wait for the answer.

        Raises:
            ViciError: it was refused.
        """
        self._send(_REQUEST, command, message or {})
        kind, body = self._receive()
        if kind != _RESPONSE:
            msg = f"charon does not know {command}"
            raise ViciError(msg)
        answer = decoded(body)
        if answer.get("success") == "no":
            msg = f"{command}: {answer.get('errmsg', 'refused')}"
            raise ViciError(msg)
        return answer

    def streamed(self, command: str, event: str, message: Mapping[str, Value] | None = None) -> list[Message]:
        """Ask for a list, whose members come as events of this name.

        Raises:
            ViciError: it was refused.
        """
        self._register(event, _REGISTER)
        self._send(_REQUEST, command, message or {})
        found = []
        while True:
            kind, body = self._receive()
            if kind != _EVENT:
                break
            found.append(decoded(body[1 + body[0] :]))
        self._register(event, _UNREGISTER)
        return found

    def _register(self, event: str, kind: int) -> None:
        self._send(kind, event, {})
        answer, _ = self._receive()
        if answer != _CONFIRM:
            msg = f"charon has no event {event}"
            raise ViciError(msg)

    def _send(self, kind: int, name: str, message: Mapping[str, Value]) -> None:
        label = name.encode()
        packet = bytes([kind, len(label)]) + label + encoded(message)
        try:
            self._socket.sendall(struct.pack("!I", len(packet)) + packet)
        except OSError as error:
            raise ViciError(str(error)) from error

    def _receive(self) -> tuple[int, bytes]:
        (length,) = struct.unpack("!I", self._exactly(4))
        packet = self._exactly(length)
        return packet[0], packet[1:]

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            try:
                part = self._socket.recv(count - len(found))
            except OSError as error:
                raise ViciError(str(error)) from error
            if not part:
                msg = "charon has closed the connection"
                raise ViciError(msg)
            found += part
        return found


def encoded(message: Mapping[str, Value]) -> bytes:
    """A message as it is on the wire."""
    return b"".join(_elements(message))


def _elements(message: Mapping[str, Value]) -> Iterator[bytes]:
    for key, value in message.items():
        name = bytes([len(key.encode())]) + key.encode()
        if isinstance(value, str):
            yield bytes([_KEY_VALUE]) + name + _text(value)
        elif isinstance(value, Mapping):
            yield bytes([_SECTION]) + name
            yield from _elements(value)
            yield bytes([_SECTION_END])
        else:
            yield bytes([_LIST]) + name
            yield from (bytes([_ITEM]) + _text(each) for each in value)
            yield bytes([_LIST_END])


def _text(value: str) -> bytes:
    return struct.pack("!H", len(value.encode())) + value.encode()


def decoded(body: bytes) -> Message:
    """A message from the wire.

    Raises:
        ViciError: it is none.
    """
    root: Message = {}
    sections: list[Message] = [root]
    items: list[str] | None = None
    place = 0
    while place < len(body):
        kind = body[place]
        place += 1
        name = ""
        if kind in {_SECTION, _KEY_VALUE, _LIST}:
            end = place + 1 + body[place]
            name, place = body[place + 1 : end].decode(errors="replace"), end
        value = ""
        if kind in {_KEY_VALUE, _ITEM}:
            (length,) = struct.unpack_from("!H", body, place)
            end = place + 2 + length
            value, place = body[place + 2 : end].decode(errors="replace"), end
        match kind:
            case 1:
                inner: Message = {}
                sections[-1][name] = inner
                sections.append(inner)
            case 2 if len(sections) > 1:
                sections.pop()
            case 3:
                sections[-1][name] = value
            case 4:
                items = []
                sections[-1][name] = items
            case 5 if items is not None:
                items.append(value)
            case 6:
                items = None
            case _:
                msg = f"element {kind} is out of place"
                raise ViciError(msg)
    return root
