#!/usr/bin/python3 -ISE
# The twin of shim.c for machines where no binary could be built: same protocol, same texts, no imports from disk.
#
# An interpreter start is the price (about 9 ms instead of 0.4), so only built-in modules are used: json would cost
# 7 ms, socket another 7. Keep it runnable by any Python 3.6 or newer: it meets the node's interpreter, not ours.
# The frame is described in podvnet/plugin/frame.py; tests/unit/plugin/test_shim.py runs against both twins.
"""``azure-vnet``: hand one call of a container runtime to the podvnet agent and copy its answer back."""

import _socket
import posix
import sys

VERSION = b"unversioned"
REPLY_SECONDS = 120
STDIN_LIMIT = ENVIRONMENT_LIMIT = 512 << 10
REPLY_LIMIT = 1 << 20
SUPPORTED = (b"0.1.0", b"0.2.0", b"0.3.0", b"0.3.1", b"0.4.0", b"1.0.0", b"1.1.0")
BAD_ENVIRONMENT, IO_FAILURE, CANNOT_DECODE, TRY_AGAIN, NOT_AVAILABLE = 4, 5, 6, 11, 50
HUNG_UP = (32, 104)  # EPIPE, ECONNRESET
AGENT_REMEDY = b"start it with 'systemctl start podvnet-agent' or 'podvnet agent'; look with 'podvnet doctor'"
ROOTLESS = b"; the containers of a rootless runtime cannot be attached"


class ShimError(Exception):
    """An error for the runtime: code, what is wrong, what to do."""

    def __init__(self, code: int, msg: bytes, details: bytes) -> None:
        super().__init__(code, msg, details)
        self.code = code
        self.msg = msg
        self.details = details


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``."""
    while data:
        data = data[posix.write(fd, data) :]


def escape(text: bytes) -> bytes:
    """Return ``text`` as the inside of a JSON string; bytes outside ASCII become '?'."""
    out = b""
    for byte in text:
        if byte in b'"\\':
            out += b"\\%c" % byte
        elif byte < 0x20:
            out += b"\\u%04x" % byte
        else:
            out += b"%c" % byte if byte < 0x7F else b"?"
    return out


def read_stdin() -> bytes:
    """Read stdin to its end, or one byte past the limit."""
    data = b""
    while len(data) <= STDIN_LIMIT:
        chunk = posix.read(0, STDIN_LIMIT + 1 - len(data))
        if not chunk:
            break
        data += chunk
    return data


def scan_version(data: bytes) -> bytes:
    """Find ``"cniVersion": "<1 to 15 digits and dots>"`` in bytes that need not be JSON; else our newest."""
    for part in data.split(b'"cniVersion"')[1:]:
        rest = part.lstrip(b" \t\r\n")
        if not rest.startswith(b":"):
            continue
        rest = rest[1:].lstrip(b" \t\r\n")
        value, quote, _ = rest[1:18].partition(b'"')
        if rest.startswith(b'"') and quote and 1 <= len(value) <= 15 and not value.strip(b"0123456789."):
            return value
    return SUPPORTED[-1]


def build_body(program: bytes, netns_errno: int, stdin: bytes) -> bytes:
    """Return the body of the request."""
    strings = [name + b"=" + value for name, value in posix.environ.items() if name.startswith(b"CNI_")]
    strings.append(b"PODVNET_PROGRAM=" + program)
    if b"PODVNET_NETAVARK" in posix.environ and b"CNI_COMMAND" not in posix.environ:
        strings.append(b"PODVNET_NETAVARK=" + posix.environ[b"PODVNET_NETAVARK"])
    if netns_errno:
        strings.append(b"PODVNET_NETNS_ERRNO=%d" % netns_errno)
    environment = b"".join(string + b"\0" for string in strings) + b"\0"
    if len(environment) > ENVIRONMENT_LIMIT:
        raise ShimError(
            BAD_ENVIRONMENT, b"the CNI_ variables are larger than %d bytes" % ENVIRONMENT_LIMIT, b"look at CNI_ARGS"
        )
    return environment + stdin


def rootless(error: OSError) -> bool:
    """Whether the runtime is not root's: it may not reach the agent, or has a user namespace and a /run of its own."""
    try:
        descriptor = posix.open("/proc/self/uid_map", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return error.errno == 13
    mapped = posix.read(descriptor, 63)
    return error.errno == 13 or (bool(mapped) and b" 4294967295" not in mapped)


def exchange(path: bytes, body: bytes, netns: int, unavailable: int) -> "tuple[int, bytes]":
    """Send the request, wait for the whole reply, return exit code and stdout."""
    agent = b"the podvnet agent at " + path[:200] + b" "
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    # Not settimeout: a socket that does not block gives up at once when the agent's backlog is full.
    word = 8 if sys.maxsize > 1 << 32 else 4
    patience = REPLY_SECONDS.to_bytes(word, sys.byteorder) + bytes(word)
    connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, patience)
    connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, patience)
    try:
        if len(path) > 107:
            raise OSError(36, "File name too long")
        connection.connect(path)
    except OSError as error:
        why = reason(error)
        remedy = AGENT_REMEDY + (ROOTLESS if rootless(error) else b"")
        raise ShimError(unavailable, agent + b"does not answer: " + why, remedy) from None
    try:
        frame = len(body).to_bytes(4, "little") + body
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, netns.to_bytes(4, sys.byteorder))] if netns >= 0 else []
        rest = frame[connection.sendmsg([frame], rights) :]
        if rest:  # sendall calls send even for nothing, which fails when a quick agent has replied and hung up
            connection.sendall(rest)
        head = receive(connection, 8)
        size = int.from_bytes(head[4:], "little")
        if size > REPLY_LIMIT:
            raise ShimError(
                IO_FAILURE,
                b"the reply of the podvnet agent is over the size limit of %d bytes" % REPLY_LIMIT,
                AGENT_REMEDY,
            )
        return int.from_bytes(head[:4], "little"), receive(connection, size)
    except BlockingIOError:
        raise ShimError(unavailable, agent + b"did not reply within %d seconds" % REPLY_SECONDS, AGENT_REMEDY) from None
    except EOFError:
        raise ShimError(unavailable, agent + b"hung up before its whole reply", AGENT_REMEDY) from None
    except OSError as error:
        if error.errno in HUNG_UP:
            raise ShimError(unavailable, agent + b"hung up before its whole reply", AGENT_REMEDY) from None
        raise ShimError(unavailable, agent + b"was lost: " + reason(error), AGENT_REMEDY) from None


def receive(connection: _socket.socket, size: int) -> bytes:
    """Receive exactly ``size`` bytes; EOFError when the other side hangs up before."""
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def reason(error: OSError) -> bytes:
    """Return the text of an errno."""
    return posix.strerror(error.errno or 0).encode("ascii", "replace")


def serve(command: bytes, program: bytes, stdin: bytes) -> int:
    """Answer every command but VERSION and return the exit code."""
    if len(stdin) > STDIN_LIMIT:
        raise ShimError(
            CANNOT_DECODE,
            b"stdin is over the size limit of %d bytes" % STDIN_LIMIT,
            b"a network configuration is one or two KiB; look at the files in /etc/cni/net.d",
        )
    netns, netns_errno = -1, 0
    netns_path = posix.environ.get(b"CNI_NETNS")
    if netns_path:
        try:
            # O_NONBLOCK: should the path be a FIFO, open must not wait for a writer.
            netns = posix.open(netns_path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        except OSError as error:
            netns_errno = error.errno or 0
    path = posix.environ.get(b"PODVNET_SOCKET") or b"/run/podvnet/agent.sock"
    unavailable = NOT_AVAILABLE if command == b"STATUS" else TRY_AGAIN
    code, stdout = exchange(path, build_body(program, netns_errno, stdin), netns, unavailable)
    write_all(1, stdout)
    return code if code <= 255 else 1


def render(failure: ShimError, version: bytes, verb: bytes) -> bytes:
    """Return an error as the caller reads it: CNI's or, when there is a verb, netavark's."""
    if verb:
        return b'{"error":"%s: %s"}\n' % (escape(failure.msg), escape(failure.details))
    text = b'{"cniVersion":"%s","code":%d,"msg":"%s","details":"%s"}\n'
    return text % (version, failure.code, escape(failure.msg), escape(failure.details))


def main() -> int:
    """Run, and return the exit code."""
    command = posix.environ.get(b"CNI_COMMAND")
    words = [word.encode(sys.getfilesystemencoding(), "surrogateescape") for word in sys.argv]
    program = words[0].rpartition(b"/")[2]
    verb = b"" if command or len(words) < 2 else words[1]
    if verb == b"info":
        write_all(1, b'{"version":"' + VERSION + b'","api_version":"1.0.0"}\n')
        return 0
    if verb:  # netavark's way to say what CNI's runtimes say by variables
        command = verb
        posix.environ[b"PODVNET_NETAVARK"] = verb
        posix.environ[b"CNI_NETNS"] = words[2] if len(words) > 2 else b""
    if not command:
        write_all(2, program + b": CNI plug-in of podvnet " + VERSION + b"\n")
        write_all(2, b"CNI versions supported: " + b", ".join(SUPPORTED) + b"\n")
        return 0
    version = SUPPORTED[-1]
    try:
        try:
            stdin = read_stdin()
        except OSError as error:
            if command != b"VERSION":
                remedy = b"the runtime must give the network configuration there"
                raise ShimError(IO_FAILURE, b"cannot read stdin: " + reason(error), remedy) from None
            stdin = b""
        version = scan_version(stdin)
        if command == b"VERSION":
            listed = b",".join(b'"' + known + b'"' for known in SUPPORTED)
            write_all(1, b'{"cniVersion":"' + version + b'","supportedVersions":[' + listed + b"]}\n")
            return 0
        return serve(command, program, stdin)
    except ShimError as failure:
        write_all(1, render(failure, version, verb))
        return 1


if __name__ == "__main__":
    try:
        status = main()
    except OSError:
        status = 1  # stdout is gone: nobody is left to tell
    posix._exit(status)  # noqa: SLF001  # sys.exit would spend time on tidying up
