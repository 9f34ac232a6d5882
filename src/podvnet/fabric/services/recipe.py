"""How a service's program is prepared and started, inside the services' namespace.

Azurite is an account's blobs, queues and tables at once, each at its own address under the port that the real ones
have. PostgreSQL stands for a Sql server at the port of that, so that rules written for the one hold for the other; its
clients speak PostgreSQL's protocol. It refuses to run as root, so it runs as somebody in a user namespace of its own,
who outside is whoever the fabric is: files stay closed to others, with and without root.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from podvnet.fabric.identity.authority import issue
from podvnet.fabric.services import program
from podvnet.linux import namespace
from podvnet.model.service import Service, ServiceKind
from podvnet.plan import names

CERTIFICATE, KEY, LOG = "server.pem", "server.key", "log"
DATABASE = "postgres"
"""The database of a server that is there from the start."""
_SOMEBODY = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")


class PreparationError(Exception):
    """A program's files could not be made; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A program that stands in for a service.

    Args:
        service: the service.
        directory: for all its files; closed to others.
        authority: where the certificate authority is.
    """

    service: Service
    directory: Path
    authority: Path

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Where it listens once it is up."""
        return tuple((str(address), self.service.kind.port) for address in self.service.addresses)

    def prepare(self) -> None:
        """Make its files, unless they are there.

        Raises:
            PreparationError, MissingProgramError: they cannot be made.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        hosts = tuple(host for host, _ in self.service.endpoints)
        issue(self.authority, hosts, self.directory / CERTIFICATE, self.directory / KEY, dt.datetime.now(dt.UTC))
        if self.service.kind is ServiceKind.SQL:
            self._prepare_cluster()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start it, its output to the file :data:`LOG`.

        Raises:
            MissingProgramError: it is not there any more.
        """
        inside = ("nsenter", f"--net={namespace.path(names.SERVICES)}", "--")
        argv, environment = self._storage() if self.service.kind is ServiceKind.STORAGE else self._sql()
        descriptor = os.open(self.directory / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as output:
            return subprocess.Popen(
                [*inside, *argv],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.directory,
            )

    def last_words(self) -> str:
        """The last lines that it wrote."""
        log = self.directory / LOG
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return " / ".join(lines[-3:]) or "it said nothing"

    def _storage(self) -> tuple[list[str], dict[str, str]]:
        argv = [program.azurite(), "--location", str(self.directory)]
        for (host, address), part in zip(self.service.endpoints, ("blob", "queue", "table"), strict=True):
            argv += [f"--{part}Host", str(address), f"--{part}Port", str(self.service.kind.port)]
            account = host.split(".", 1)[0]
        argv += ["--cert", str(self.directory / CERTIFICATE), "--key", str(self.directory / KEY)]
        # Clients newer than it send versions of the API that it does not know and does not need.
        argv += ["--skipApiVersionCheck", "--disableTelemetry"]
        return argv, {"AZURITE_ACCOUNTS": ":".join((account, *self.service.secrets))}

    @property
    def _cluster(self) -> Path:
        return self.directory / "cluster"

    def _sql(self) -> tuple[list[str], dict[str, str]]:
        settings = {
            "listen_addresses": ",".join(str(address) for address in self.service.addresses),
            "port": str(self.service.kind.port),
            "unix_socket_directories": "",
            "hba_file": str(self.directory / "hba"),
            "ssl": "on",
            "ssl_cert_file": str(self.directory / CERTIFICATE),
            "ssl_key_file": str(self.directory / KEY),
            "log_connections": "on",
        }
        argv = [*_SOMEBODY, str(program.postgres() / "postgres"), "-D", str(self._cluster)]
        return [*argv, *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))], {}

    def _prepare_cluster(self) -> None:
        programs = program.postgres()
        login, password = self.service.secrets
        if not (self._cluster / "PG_VERSION").exists():
            made = self._cluster.with_name("cluster.part")
            shutil.rmtree(made, ignore_errors=True)  # what an interrupted one has left
            made_by = [str(programs / "initdb"), "-D", str(made), "-U", login, "--auth=scram-sha-256"]
            # The password follows, as it does whenever it has changed.
            random = os.urandom(16).hex()
            made_by += ["--pwfile=/dev/stdin", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
            _run(made_by, random)
            made.rename(self._cluster)
        (self.directory / "hba").write_text("hostssl all all 0.0.0.0/0 scram-sha-256\n", encoding="ascii")
        quoted = password.replace("'", "''")
        # Of a program that was killed the cluster mends itself here already.
        _run(
            [str(programs / "postgres"), "--single", "-D", str(self._cluster), DATABASE],
            f"ALTER ROLE \"{login}\" PASSWORD '{quoted}'",
        )


def _run(argv: list[str], given: str) -> None:
    done = subprocess.run([*_SOMEBODY, *argv], input=f"{given}\n", capture_output=True, text=True, check=False, cwd="/")
    if done.returncode != 0 or "ERROR:" in done.stderr:
        msg = f"{Path(argv[0]).name}: {' / '.join(done.stderr.strip().splitlines()[-3:])}"
        raise PreparationError(msg)
