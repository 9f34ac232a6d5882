"""The control protocol of charon, octet by octet, and with somebody who speaks it."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.fabric.gateways.vici import Message, Vici, ViciError, decoded, encoded

NAMES = st.text("abc-1", min_size=1, max_size=8)
VALUES = st.text(max_size=40)
MESSAGES = st.recursive(
    st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=3), max_size=3),
    lambda inner: st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=3) | inner, max_size=3),
    max_leaves=8,
)


@given(MESSAGES)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert decoded(encoded(message)) == message


def test_a_message_has_the_octets_of_the_protocol_s_description() -> None:
    message: Message = {"key1": "value1", "section1": {"list1": ["item1", "item2"]}}
    assert encoded(message) == (
        b"\x03\x04key1\x00\x06value1\x01\x08section1\x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06\x02"
    )


@pytest.mark.parametrize("body", [b"\x02", b"\x05\x00\x01x", b"\x09"])
def test_what_is_out_of_place_is_refused(body: bytes) -> None:
    with pytest.raises(ViciError):
        decoded(body)


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack("!I", len(body) + 1) + bytes([kind]) + body


def served(path: Path, *answers: bytes) -> threading.Thread:
    """Somebody who says these things, one for each packet that comes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as peer:
            for each in answers:
                (length,) = struct.unpack("!I", peer.recv(4))
                peer.recv(length)
                peer.sendall(each)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_list_is_streamed_as_events(tmp_path: Path) -> None:
    path = tmp_path / "vici"
    event = packet(7, b"\x07list-sa" + encoded({"tunnel": {"state": "ESTABLISHED"}}))
    thread = served(path, packet(5, b""), event + event + packet(1, b""), packet(5, b""))
    with Vici(path) as vici:
        found = vici.streamed("list-sas", "list-sa")
    thread.join()
    assert found == [{"tunnel": {"state": "ESTABLISHED"}}] * 2


def test_a_refusal_says_why(tmp_path: Path) -> None:
    thread = served(tmp_path / "vici", packet(1, encoded({"success": "no", "errmsg": "no such thing"})))
    with Vici(tmp_path / "vici") as vici, pytest.raises(ViciError, match="initiate: no such thing"):
        vici.request("initiate", {"child": "any"})
    thread.join()


def test_a_path_longer_than_the_kernel_takes_is_reached(tmp_path: Path) -> None:
    long = tmp_path / ("d" * 100)
    long.mkdir()
    with pytest.raises(ViciError, match="No such file"):
        Vici(long / "vici")
