"""Stands in for charon: answers over its socket, keeps the names of keys, and writes down what it was asked."""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path

from podvnet.fabric.gateways.vici import Message, decoded, encoded

RUN = Path(os.environ["PODVNET_PROGRAM"]).parent
REQUEST, RESPONSE, REGISTER, CONFIRM = 0, 1, 3, 5
keys: list[str] = []


def exactly(peer: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = peer.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def carried_out(command: str, message: Message) -> Message:
    name = str(message.get("id", ""))
    with (RUN / "requests").open("a", encoding="utf-8") as file:
        file.write(f"{command} {name}\n")
    if command == "load-shared" and name not in keys:
        keys.append(name)
    if command == "unload-shared":
        keys.remove(name)
    return {"keys": list(keys)} if command == "get-shared" else {"success": "yes"}


def answered(peer: socket.socket) -> None:
    while True:
        try:
            (length,) = struct.unpack("!I", exactly(peer, 4))
            packet = exactly(peer, length)
        except (EOFError, ConnectionError):
            return
        kind, name = packet[0], packet[2 : 2 + packet[1]].decode()
        body = encoded(carried_out(name, decoded(packet[2 + packet[1] :]))) if kind == REQUEST else b""
        answer = bytes([RESPONSE if kind == REQUEST else CONFIRM]) + body
        peer.sendall(struct.pack("!I", len(answer)) + answer)


os.chdir(RUN)  # the way to it is longer than an address may be
listener = socket.socket(socket.AF_UNIX)
listener.bind("vici")
listener.listen()
while True:
    threading.Thread(target=answered, args=(listener.accept()[0],), daemon=True).start()
