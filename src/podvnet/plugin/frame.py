r"""The bytes between the shim and the agent, over a Unix stream socket; one request and one reply per connection.

==========  =========================================================================================
request     u32 length of the body, then the body
body        ``CNI_*`` and ``PODVNET_*`` variables as ``NAME=value\0``, one lone ``\0``, then stdin verbatim
ancillary   the descriptor of the network namespace as SCM_RIGHTS with the first bytes, if it could be opened
reply       u32 exit code, u32 length, then what goes to stdout
==========  =========================================================================================

Integers are little-endian. No JSON, so that the shim needs no parser; the descriptor instead of a path, so that the
agent needs no view of the runtime's mounts and cannot be raced by a path that is bound anew.
"""

import socket
import struct
from collections.abc import Mapping
from typing import Final

from podvnet.plugin.error import CniError, Code

STDIN_LIMIT: Final = 512 * 1024
"""Most bytes of stdin the shim forwards; a configuration is one or two KiB."""
REQUEST_LIMIT: Final = 1024 * 1024
"""Most bytes of a request's body: stdin, and as much again for the environment."""
REPLY_LIMIT: Final = 1024 * 1024
"""Most bytes of stdout in a reply; the shim holds them before it writes any."""

PREFIXES: Final = ("CNI_", "PODVNET_")
"""The variables that travel."""

_LENGTH: Final = struct.Struct("<I")
_REPLY: Final = struct.Struct("<II")
_CHUNK: Final = 65536


class RequestBuffer:
    """Collects what arrives on one connection until the request is whole."""

    __slots__ = ("_data", "_size")

    def __init__(self) -> None:
        self._data = bytearray()
        self._size = -1

    def feed(self, data: bytes) -> bytes | None:
        """Take the next bytes; return the body once all of it is there, None before.

        Raises ``CniError`` 6 for a body over ``REQUEST_LIMIT`` (as soon as its length is known, so nobody can make the
        agent hold more) and for bytes behind the body.
        """
        self._data += data
        if self._size < 0:
            if len(self._data) < _LENGTH.size:
                return None
            (self._size,) = _LENGTH.unpack_from(self._data)
            if self._size > REQUEST_LIMIT:
                raise CniError(
                    Code.CANNOT_DECODE, f"a request of {self._size} bytes is over the limit of {REQUEST_LIMIT}"
                )
        surplus = len(self._data) - _LENGTH.size - self._size
        if surplus > 0:
            raise CniError(Code.CANNOT_DECODE, f"{surplus} bytes follow the request")
        return bytes(self._data[_LENGTH.size :]) if surplus == 0 else None


def encode_request(environment: Mapping[str, str], stdin: bytes) -> bytes:
    """Return a whole request frame, length first; variables other than ``CNI_*`` and ``PODVNET_*`` are left out."""
    strings = (
        f"{name}={value}\0".encode("utf-8", "surrogateescape")
        for name, value in environment.items()
        if name.startswith(PREFIXES)
    )
    body = b"".join(strings) + b"\0" + stdin
    return _LENGTH.pack(len(body)) + body


def decode_request(body: bytes) -> tuple[dict[str, str], bytes]:
    """Return environment and stdin of a request's body; bytes outside UTF-8 become surrogates, as in ``os.environ``.

    Raises ``CniError`` 6 for a body no shim of ours sends.
    """
    end = 0 if body[:1] == b"\0" else body.find(b"\0\0") + 1
    if end == 0 and body[:1] != b"\0":
        raise CniError(Code.CANNOT_DECODE, "the request's environment has no end")
    environment: dict[str, str] = {}
    for string in body[:end].split(b"\0")[:-1]:
        name, equals, value = string.decode("utf-8", "surrogateescape").partition("=")
        if not equals or not name:
            raise CniError(Code.CANNOT_DECODE, "the request's environment has a string that is not NAME=value")
        environment[name] = value
    return environment, body[end + 1 :]


def encode_reply(exit_code: int, stdout: bytes) -> bytes:
    """Return a whole reply frame; ``exit_code`` is 0 to 255, stdout at most ``REPLY_LIMIT`` bytes."""
    if not 0 <= exit_code <= 255 or len(stdout) > REPLY_LIMIT:
        raise ValueError(f"no reply: exit code {exit_code}, {len(stdout)} bytes")
    return _REPLY.pack(exit_code, len(stdout)) + stdout


def call(
    socket_path: str, environment: Mapping[str, str], stdin: bytes, netns_fd: int | None = None, timeout: float = 120.0
) -> tuple[int, bytes]:
    """Do what the shim does, for tests and tools: send one request, wait, return exit code and stdout.

    Raises ``OSError`` when the agent cannot be reached or does not answer within ``timeout`` seconds, and
    ``ConnectionError`` when it hangs up in between.
    """
    frame = encode_request(environment, stdin)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(socket_path)
        sent = socket.send_fds(connection, [frame], [] if netns_fd is None else [netns_fd])
        if sent < len(frame):  # sendall calls send even for nothing, which fails when a quick agent has hung up again
            connection.sendall(frame[sent:])
        exit_code, size = _REPLY.unpack(_receive(connection, _REPLY.size))
        return exit_code, _receive(connection, size)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(min(size - len(data), _CHUNK))
        if not chunk:
            raise ConnectionError(f"the agent hung up {size - len(data)} bytes too early")
        data += chunk
    return bytes(data)
