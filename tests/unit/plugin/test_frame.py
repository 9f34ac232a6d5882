import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from podvnet.plugin.error import CniError, Code
from podvnet.plugin.frame import (
    REPLY_LIMIT,
    REQUEST_LIMIT,
    STDIN_LIMIT,
    RequestBuffer,
    call,
    decode_request,
    encode_reply,
    encode_request,
)


def test_the_request_byte_by_byte() -> None:
    frame = encode_request({"CNI_COMMAND": "ADD", "PATH": "/bin", "PODVNET_PROGRAM": "azure-vnet"}, b'{"a":1}')
    body = b'CNI_COMMAND=ADD\0PODVNET_PROGRAM=azure-vnet\0\0{"a":1}'
    assert frame == len(body).to_bytes(4, "little") + body


def test_the_reply_byte_by_byte() -> None:
    assert encode_reply(1, b"{}") == b"\x01\0\0\0\x02\0\0\0{}"


@pytest.mark.parametrize("environment", [{}, {"CNI_A": ""}, {"CNI_A": "1", "CNI_B": "a=b=", "CNI_C": "ü\udc80"}])
@pytest.mark.parametrize("stdin", [b"", b"\0\0\0", b"{}", b"\0CNI_X=1\0\0"])
def test_a_request_survives(environment: dict[str, str], stdin: bytes) -> None:
    assert decode_request(encode_request(environment, stdin)[4:]) == (environment, stdin)


@pytest.mark.parametrize("body", [b"", b"CNI_A=1", b"CNI_A=1\0", b"CNI_A\0\0", b"=1\0\0"])
def test_no_shim_sends_this(body: bytes) -> None:
    with pytest.raises(CniError) as caught:
        decode_request(body)
    assert caught.value.code is Code.CANNOT_DECODE


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
def test_a_request_in_pieces(step: int) -> None:
    frame = encode_request({"CNI_COMMAND": "ADD"}, b"stdin")
    buffer = RequestBuffer()
    answers = [buffer.feed(frame[start : start + step]) for start in range(0, len(frame), step)]
    assert answers[:-1] == [None] * (len(answers) - 1)
    assert answers[-1] == frame[4:]


def test_an_empty_body_is_whole_at_once() -> None:
    assert RequestBuffer().feed(b"\0\0\0\0") == b""


def test_too_long_is_refused_by_its_length_alone() -> None:
    with pytest.raises(CniError, match="over the limit of 1048576"):
        RequestBuffer().feed((REQUEST_LIMIT + 1).to_bytes(4, "little"))
    assert RequestBuffer().feed(REQUEST_LIMIT.to_bytes(4, "little")) is None


def test_bytes_behind_the_request_are_refused() -> None:
    with pytest.raises(CniError, match="1 bytes follow"):
        RequestBuffer().feed(b"\x01\0\0\0\0x")


def test_the_largest_stdin_leaves_room_for_the_environment() -> None:
    assert len(encode_request({"CNI_ARGS": "x" * 131_072}, bytes(STDIN_LIMIT))) - 4 <= REQUEST_LIMIT


@pytest.mark.parametrize(("code", "size"), [(-1, 0), (256, 0), (0, REPLY_LIMIT + 1)])
def test_replies_that_no_shim_takes(code: int, size: int) -> None:
    with pytest.raises(ValueError, match="no reply"):
        encode_reply(code, bytes(size))


def serve_once(path: Path, answer: Callable[[bytes, list[int]], bytes]) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            data, fds, _, _ = socket.recv_fds(connection, 65536, 4)
            buffer = RequestBuffer()
            body = buffer.feed(data)
            while body is None:
                body = buffer.feed(connection.recv(65536))
            connection.sendall(answer(body, fds))
            for fd in fds:
                os.close(fd)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_call_sends_and_receives(tmp_path: Path) -> None:
    seen: list[tuple[bytes, list[os.stat_result]]] = []

    def answer(body: bytes, fds: list[int]) -> bytes:
        seen.append((body, [os.fstat(fd) for fd in fds]))
        return encode_reply(7, b"x" * 300_000)

    thread = serve_once(tmp_path / "s", answer)
    with Path("/proc/self/ns/net").open("rb") as netns:
        assert call(str(tmp_path / "s"), {"CNI_COMMAND": "ADD"}, b"y" * 400_000, netns.fileno()) == (7, b"x" * 300_000)
    thread.join()
    ((body, (status,)),) = seen
    assert decode_request(body) == ({"CNI_COMMAND": "ADD"}, b"y" * 400_000)
    assert status.st_ino == Path("/proc/self/ns/net").stat().st_ino


def test_call_without_namespace_and_agents_that_fail(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        call(str(tmp_path / "none"), {}, b"")
    thread = serve_once(tmp_path / "s", lambda _body, fds: struct.pack("<II", len(fds), 10) + b"short")
    with pytest.raises(ConnectionError, match="hung up 5 bytes too early"):
        call(str(tmp_path / "s"), {}, b"")
    thread.join()
