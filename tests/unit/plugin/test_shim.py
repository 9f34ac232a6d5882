"""The shim, both twins, against a small agent of our own: every byte it sends, every answer it makes itself."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from podvnet.plugin.error import Code
from podvnet.plugin.frame import REPLY_LIMIT, STDIN_LIMIT, RequestBuffer, decode_request, encode_reply
from podvnet.plugin.shim import best_shim, compiled_path, source_path, twin_path
from podvnet.plugin.version import SUPPORTED

CI = os.environ.get("CI") == "true"
BUILD = Path(__file__).parents[3] / "hatch_build.py"
PYTHON = Path("/usr/bin/python3")
REMEDY = "start it with 'systemctl start podvnet-agent' or 'podvnet agent'; look with 'podvnet doctor'"
ADD = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "a" * 64, "CNI_IFNAME": "eth0", "CNI_PATH": "/opt/cni/bin"}
STDIN = b'{"cniVersion":"0.4.0","name":"azure","type":"azure-vnet"}'


def lacking(what: str) -> None:
    if CI:
        pytest.fail(f"{what}: this must run in CI")
    pytest.skip(what)


def make_compiled(folder: Path) -> Path:
    shim = folder / "azure-vnet"
    made = subprocess.run(
        [sys.executable, BUILD, "--output", shim, "--define", "PODVNET_REPLY_SECONDS=1"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        lacking(f"no C compiler makes a static shim: {made.stderr}")
    return shim


def make_twin(folder: Path) -> Path:
    if not PYTHON.exists():
        lacking(f"no {PYTHON}")
    text = twin_path().read_text()
    assert text.startswith("#!/usr/bin/python3 -ISE\n")
    assert "REPLY_SECONDS = 120\n" in text
    shim = folder / "azure-vnet"
    shim.write_text(text.replace("REPLY_SECONDS = 120\n", "REPLY_SECONDS = 1\n"))
    shim.chmod(0o755)
    return shim


@pytest.fixture(scope="module", params=[make_compiled, make_twin], ids=["compiled", "twin"])
def shim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bin")
    made: Path = request.param(folder)
    (folder / "azure-vnet-ipam").symlink_to(made.name)
    return made


def run(shim: Path, environment: dict[str, str], stdin: bytes = STDIN) -> tuple[int, bytes, bytes]:
    done = subprocess.run([shim], env=environment, input=stdin, capture_output=True, check=False, timeout=30)
    return done.returncode, done.stdout, done.stderr


@dataclass
class Agent:
    """Accepts, keeps what it saw, and answers with fixed bytes; ``linger`` keeps the connection open afterwards."""

    path: Path
    answer: bytes = encode_reply(0, b"{}")
    read_request: bool = True
    linger: threading.Event | None = None
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    inodes: list[list[int]] = field(default_factory=list)
    backlog: int = 16

    def __post_init__(self) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen(self.backlog)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def environment(self, **variables: str) -> dict[str, str]:
        return ADD | {"PODVNET_SOCKET": str(self.path)} | variables

    def close(self) -> None:
        if self.linger:
            self.linger.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return  # shut down by close()
            with connection:
                if self.read_request:
                    self._read(connection)
                connection.sendall(self.answer)
                if self.linger:
                    self.linger.wait(10)

    def _read(self, connection: socket.socket) -> None:
        data, fds, _, _ = socket.recv_fds(connection, 65536, 4)
        self.inodes.append([os.fstat(fd).st_ino for fd in fds])
        for fd in fds:
            assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
            os.close(fd)
        buffer = RequestBuffer()
        body = buffer.feed(data)
        while body is None:
            body = buffer.feed(connection.recv(65536))
        self.requests.append(decode_request(body))


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path / "agent.sock")
    yield made
    made.close()


def test_the_frame_it_sends(shim: Path, agent: Agent) -> None:
    environment = agent.environment(CNI_ARGS="IgnoreUnknown=1;A=ü", HOME="/root", PODVNET_PROGRAM="forged")
    assert run(shim, environment) == (0, b"{}", b"")
    expected = ADD | {"CNI_ARGS": "IgnoreUnknown=1;A=ü", "PODVNET_PROGRAM": "azure-vnet"}
    assert agent.requests == [(expected, STDIN)]
    assert agent.inodes == [[]]


def test_it_says_by_which_name_it_was_executed(shim: Path, agent: Agent) -> None:
    run(shim.with_name("azure-vnet-ipam"), agent.environment())
    assert agent.requests[0][0]["PODVNET_PROGRAM"] == "azure-vnet-ipam"


def test_the_namespace_arrives_as_a_descriptor(shim: Path, agent: Agent) -> None:
    run(shim, agent.environment(CNI_NETNS="/proc/self/ns/net"))
    environment, _ = agent.requests[0]
    assert environment["CNI_NETNS"] == "/proc/self/ns/net"
    assert "PODVNET_NETNS_ERRNO" not in environment
    assert agent.inodes == [[Path("/proc/self/ns/net").stat().st_ino]]


def test_a_namespace_that_is_gone_is_reported_not_judged(shim: Path, agent: Agent) -> None:
    assert run(shim, agent.environment(CNI_COMMAND="DEL", CNI_NETNS="/run/netns/gone")) == (0, b"{}", b"")
    assert agent.requests[0][0]["PODVNET_NETNS_ERRNO"] == "2"
    assert agent.inodes == [[]]


@pytest.mark.parametrize("netns", ["", None])
def test_no_namespace_given(shim: Path, agent: Agent, netns: str | None) -> None:
    run(shim, agent.environment(CNI_COMMAND="DEL", **({} if netns is None else {"CNI_NETNS": netns})))
    assert "PODVNET_NETNS_ERRNO" not in agent.requests[0][0]


def test_a_fifo_for_a_namespace_does_not_hold_it_up(shim: Path, agent: Agent, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert run(shim, agent.environment(CNI_NETNS=str(tmp_path / "fifo")))[0] == 0
    assert agent.inodes == [[(tmp_path / "fifo").stat().st_ino]]


@pytest.mark.parametrize("stdin", [b"", b"\0\0", b"{}", bytes(range(256)) * 2048], ids=len)
def test_stdin_travels_unchanged(shim: Path, agent: Agent, stdin: bytes) -> None:
    assert len(stdin) <= STDIN_LIMIT
    assert run(shim, agent.environment(CNI_NETNS="/proc/self/ns/net"), stdin)[0] == 0
    assert agent.requests[0][1] == stdin
    assert len(agent.inodes[0]) == 1


@pytest.mark.parametrize(
    ("code", "stdout", "exit_code"),
    [(0, b"", 0), (1, b'{"code":7}', 1), (255, b"\0\xff", 255), (0, b"x" * REPLY_LIMIT, 0)],
    ids=["empty", "error", "bytes", "largest"],
)
def test_the_answer_is_copied(shim: Path, agent: Agent, code: int, stdout: bytes, exit_code: int) -> None:
    agent.answer = encode_reply(code, stdout)
    assert run(shim, agent.environment()) == (exit_code, stdout, b"")


def test_an_exit_code_that_would_wrap_to_success_does_not(shim: Path, agent: Agent) -> None:
    agent.answer = (256).to_bytes(4, "little") + bytes(4)
    assert run(shim, agent.environment())[0] == 1


@pytest.mark.parametrize(
    ("stdin", "version"),
    [
        (STDIN, "0.4.0"),
        (b'{ "cniVersion" : "1.0.0" }', "1.0.0"),
        (b"", "1.1.0"),
        (b'{"cniVersion":""}', "1.1.0"),
        (b'{"cniVersion":"1.0.0","x":"\xff', "1.0.0"),
        (b'{"cniVersion":"<b>"}', "1.1.0"),
        (b'{"cniVersion":"1234567890123456"}', "1.1.0"),
        (b'{"cniVersion":"123456789012345"}', "123456789012345"),
        (b'{"cniVersion":1,"cniVersion":"0.3.1"}', "0.3.1"),
        (b'{"cniVersion"', "1.1.0"),
        (b'{"cniVersion":"1.0.0', "1.1.0"),
        (b'\0\0"cniVersion":"0.2.0"', "0.2.0"),
    ],
)
def test_version_is_answered_without_an_agent(shim: Path, stdin: bytes, version: str) -> None:
    # podman's call
    environment = {"CNI_COMMAND": "VERSION", "CNI_NETNS": "dummy", "CNI_IFNAME": "dummy", "CNI_PATH": "dummy"}
    code, stdout, stderr = run(shim, environment, stdin)
    assert (code, stderr) == (0, b"")
    assert json.loads(stdout) == {"cniVersion": version, "supportedVersions": list(SUPPORTED)}


@pytest.mark.parametrize("environment", [{}, {"CNI_COMMAND": ""}])
def test_a_person_at_a_shell_is_told_what_it_is(shim: Path, environment: dict[str, str]) -> None:
    code, stdout, stderr = run(shim, environment, b"")
    assert (code, stdout) == (0, b"")
    about, versions = stderr.decode().splitlines()
    assert about.startswith("azure-vnet: CNI plug-in of podvnet ")
    assert versions == f"CNI versions supported: {', '.join(SUPPORTED)}"


@pytest.mark.parametrize(("command", "code"), [("ADD", 11), ("DEL", 11), ("CHECK", 11), ("GC", 11), ("STATUS", 50)])
@pytest.mark.parametrize("why", ["No such file or directory", "Connection refused"])
def test_no_agent(shim: Path, tmp_path: Path, command: str, code: int, why: str) -> None:
    path = tmp_path / "agent.sock"
    if why == "Connection refused":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_behind:
            left_behind.bind(str(path))
    exit_code, stdout, stderr = run(shim, ADD | {"CNI_COMMAND": command, "PODVNET_SOCKET": str(path)})
    assert (exit_code, stderr) == (1, b"")
    assert json.loads(stdout) == {
        "cniVersion": "0.4.0",
        "code": code,
        "msg": f"the podvnet agent at {path} does not answer: {why}",
        "details": REMEDY,
    }


def test_a_rootless_runtime_is_told_that_its_containers_cannot_be_attached(shim: Path, tmp_path: Path) -> None:
    environment = ADD | {"PODVNET_SOCKET": str(tmp_path / "agent.sock")}
    argv = ("/usr/bin/unshare", "--user", "--map-root-user", shim)
    done = subprocess.run(argv, env=environment, input=STDIN, capture_output=True, check=False, timeout=30)
    assert done.returncode == 1
    error = json.loads(done.stdout)
    assert error["details"] == f"{REMEDY}; the containers of a rootless runtime cannot be attached"


@pytest.mark.skipif(Path("/run/podvnet/agent.sock").exists(), reason="an agent runs on this machine")
@pytest.mark.parametrize("variables", [{}, {"PODVNET_SOCKET": ""}])
def test_the_socket_unless_told_otherwise(shim: Path, variables: dict[str, str]) -> None:
    _, stdout, _ = run(shim, ADD | variables)
    assert json.loads(stdout)["msg"].startswith("the podvnet agent at /run/podvnet/agent.sock does not answer")


def test_a_path_that_json_must_escape(shim: Path) -> None:
    _, stdout, _ = run(shim, ADD | {"PODVNET_SOCKET": '/x"\\\n\x7fü'}, b"")
    assert json.loads(stdout)["msg"] == 'the podvnet agent at /x"\\\n??? does not answer: No such file or directory'
    assert stdout.isascii()


def test_a_path_no_socket_can_have(shim: Path) -> None:
    _, stdout, _ = run(shim, ADD | {"PODVNET_SOCKET": "/" + "x" * 5000})
    error = json.loads(stdout)
    assert error["code"] == Code.TRY_AGAIN
    assert "name too long" in error["msg"]


@pytest.mark.parametrize("command", ["ADD", "STATUS"])
@pytest.mark.parametrize(
    "answer", [b"", b"\0\0\0", encode_reply(0, b"{}")[:-1], encode_reply(0, b"x" * 70000)[:-1]], ids=len
)
def test_an_agent_that_hangs_up(shim: Path, agent: Agent, answer: bytes, command: str) -> None:
    agent.answer = answer
    exit_code, stdout, _ = run(shim, agent.environment(CNI_COMMAND=command))
    assert exit_code == 1
    assert json.loads(stdout) == {
        "cniVersion": "0.4.0",
        "code": 50 if command == "STATUS" else 11,
        "msg": f"the podvnet agent at {agent.path} hung up before its whole reply",
        "details": REMEDY,
    }


def test_an_agent_that_hangs_up_while_being_sent_to(shim: Path, tmp_path: Path) -> None:
    agent = Agent(tmp_path / "agent.sock", answer=b"", read_request=False)
    exit_code, stdout, _ = run(shim, agent.environment(), STDIN + b" " * 500_000)
    agent.close()
    assert exit_code == 1
    assert "hung up before its whole reply" in json.loads(stdout)["msg"]


def test_an_agent_that_never_answers(shim: Path, tmp_path: Path) -> None:
    agent = Agent(tmp_path / "agent.sock", answer=b"", linger=threading.Event())
    exit_code, stdout, _ = run(shim, agent.environment())
    agent.close()
    assert exit_code == 1
    error = json.loads(stdout)
    assert error["code"] == Code.TRY_AGAIN
    assert error["msg"] == f"the podvnet agent at {agent.path} did not reply within 1 seconds"


def test_a_reply_over_the_limit(shim: Path, agent: Agent) -> None:
    agent.answer = bytes(4) + (REPLY_LIMIT + 1).to_bytes(4, "little")
    exit_code, stdout, _ = run(shim, agent.environment())
    assert exit_code == 1
    assert json.loads(stdout)["code"] == Code.IO_FAILURE


def test_stdin_over_the_limit(shim: Path, agent: Agent) -> None:
    exit_code, stdout, _ = run(shim, agent.environment(), STDIN + b" " * STDIN_LIMIT)
    assert exit_code == 1
    error = json.loads(stdout)
    assert (error["cniVersion"], error["code"]) == ("0.4.0", Code.CANNOT_DECODE)
    assert error["msg"] == f"stdin is over the size limit of {STDIN_LIMIT} bytes"
    assert agent.requests == []


def test_an_environment_over_the_limit(shim: Path, agent: Agent) -> None:
    variables = {f"CNI_ARGS{number}": "x" * 120_000 for number in range(5)}
    exit_code, stdout, _ = run(shim, agent.environment(**variables))
    assert exit_code == 1
    error = json.loads(stdout)
    assert (error["code"], error["details"]) == (Code.BAD_ENVIRONMENT, "look at CNI_ARGS")


def test_stdin_that_is_closed(shim: Path, agent: Agent) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" <&-', shim], env=agent.environment(), capture_output=True, check=False, timeout=30
    )
    assert done.returncode == 1
    error = json.loads(done.stdout)
    assert (error["code"], error["msg"]) == (Code.IO_FAILURE, "cannot read stdin: Bad file descriptor")


def test_a_runtime_that_no_longer_reads(shim: Path, agent: Agent) -> None:
    agent.answer = encode_reply(0, b"x" * 500_000)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([shim], env=agent.environment(), input=STDIN, stdout=writer, check=False, timeout=30)
    os.close(writer)
    assert done.returncode == 1


def test_many_at_once_even_beyond_the_backlog(shim: Path, tmp_path: Path) -> None:
    agent = Agent(tmp_path / "agent.sock", backlog=1)
    with ThreadPoolExecutor(16) as pool:
        calls = [
            pool.submit(run, shim, agent.environment(CNI_CONTAINERID=f"pod{number}", CNI_NETNS="/proc/self/ns/net"))
            for number in range(48)
        ]
        answers = {call.result() for call in calls}
    agent.close()
    assert answers == {(0, b"{}", b"")}
    assert {environment["CNI_CONTAINERID"] for environment, _ in agent.requests} == {f"pod{n}" for n in range(48)}
    assert all(len(inodes) == 1 for inodes in agent.inodes)


@pytest.mark.parametrize("compiler", ["musl-gcc", "gcc"])
def test_it_compiles_without_a_warning(compiler: str, tmp_path: Path) -> None:
    if not shutil.which(compiler):
        lacking(f"no {compiler}")
    flags = ["-Wall", "-Wextra", "-Werror", "-Os", "-static"]
    made = subprocess.run(
        [compiler, *flags, "-o", tmp_path / "shim", source_path()], capture_output=True, text=True, check=False
    )
    assert (made.returncode, made.stderr) == (0, "")


def test_the_twin_imports_nothing_from_disk() -> None:
    if not PYTHON.exists():
        lacking(f"no {PYTHON}")
    probe = (
        f"import sys; text = open({str(twin_path())!r}).read(); before = set(sys.modules);"
        "exec(text, {'__name__': ''}); print(*set(sys.modules) - before - set(sys.builtin_module_names))"
    )
    done = subprocess.run([PYTHON, "-ISE", "-c", probe], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"_socket"}  # built in on Debian, one file elsewhere


def test_the_best_shim_is_the_compiled_one_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert best_shim() in (compiled_path(), twin_path())
    monkeypatch.setattr("podvnet.plugin.shim._HERE", tmp_path)
    assert best_shim() == tmp_path / "shim.py"
    (tmp_path / "azure-vnet").touch()
    assert best_shim() == tmp_path / "azure-vnet"


def test_without_a_compiler_the_build_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, BUILD, "--output", tmp_path / "shim"],
        env={"PATH": str(tmp_path), "PODVNET_CC": "/bin/false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "/bin/false made no shim" in done.stderr
    assert "the one in Python" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_netavark_is_served_by_the_same_program(shim: Path, agent: Agent) -> None:
    environment = {"PODVNET_SOCKET": str(agent.path), "PODVNET_NETAVARK": "forged"}
    done = subprocess.run(
        [shim, "setup", "/proc/self/ns/net"], env=environment, input=b"{}", capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{}", b"")
    expected = {"PODVNET_PROGRAM": "azure-vnet", "PODVNET_NETAVARK": "setup", "CNI_NETNS": "/proc/self/ns/net"}
    assert agent.requests == [(expected, b"{}")]
    assert agent.inodes == [[Path("/proc/self/ns/net").stat().st_ino]]


def test_netavark_is_told_about_the_program_without_an_agent(shim: Path) -> None:
    done = subprocess.run([shim, "info"], env={}, input=b"", capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout).keys() == {"version", "api_version"}
    assert json.loads(done.stdout)["api_version"] == "1.0.0"


def test_netavark_is_told_in_its_own_words_that_there_is_no_agent(shim: Path, tmp_path: Path) -> None:
    environment = {"PODVNET_SOCKET": str(tmp_path / "agent.sock")}
    done = subprocess.run([shim, "create"], env=environment, input=b"{}", capture_output=True, check=False, timeout=30)
    assert done.returncode == 1
    why = f"the podvnet agent at {tmp_path}/agent.sock does not answer: No such file or directory: {REMEDY}"
    assert json.loads(done.stdout) == {"error": why}
