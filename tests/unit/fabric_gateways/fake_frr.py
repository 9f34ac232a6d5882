"""Stands in for one of FRR's daemons: answers over its socket, as ``lib/vty.c`` does.

It is told by files in its ``/run``: ``routes.json`` and ``peers.json`` are what it knows, a command that holds the text
of ``refused`` is refused, ``broken`` keeps bgpd from beginning. ``commands`` has what it was asked.
"""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

MARK = Path(os.environ["PODVNET_PROGRAM"])
RUN, NAME = MARK.parent, MARK.name
FILES = {"show bgp ipv4 unicast json": "routes.json", "show bgp ipv4 unicast summary json": "peers.json"}


def text_of(name: str) -> str:
    file = RUN / name
    return file.read_text(encoding="utf-8") if file.exists() else ""


def answered(peer: socket.socket) -> None:
    heard = b""
    while part := peer.recv(1 << 16):
        heard += part
        while b"\0" in heard:
            line, _, heard = heard.partition(b"\0")
            command = line.decode()
            with (RUN / "commands").open("a", encoding="utf-8") as file:
                file.write(f"{NAME} {command}\n")
            refused = text_of("refused")
            is_refused = bool(refused) and refused in command
            name = FILES.get(command, "")
            said = text_of(name) or "{}" if name else ""
            peer.sendall(said.encode() + b"\0\0\0" + bytes([2 if is_refused else 0]))


def serve() -> None:
    os.chdir(RUN / "frr")  # the way to it is longer than an address may be
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{NAME}.vty")
    listener.listen()
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=answered, args=(peer,), daemon=True).start()


if not (NAME == "bgpd" and (RUN / "broken").exists()):
    serve()
