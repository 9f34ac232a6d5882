"""A program in a network namespace, with a ``/run`` of its own: begun, found again by a later life, ended.

It goes on when this process ends. What it writes goes to a file that does not grow without bound, as long as whoever
keeps it looks after that now and then.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from podvnet.linux import namespace
from podvnet.linux.readable import is_readable

_MARK = "PODVNET_PROGRAM"
_SECONDS_TO_END = 3.0
_LARGEST_LOG = 1 << 20
_OWN_RUN = 'cd / && mount --bind "$0" /run && exec "$@"'


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program runs.

    Attributes:
        label: its network namespace.
        run: the directory that is its ``/run``.
    """

    label: str
    run: Path

    @property
    def command(self) -> tuple[str, ...]:
        """What a command line begins with that is to run here."""
        inside = ("nsenter", f"--net={namespace.path(self.label)}", "--")
        apart = ("unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _OWN_RUN, str(self.run))
        return (*inside, *apart)


class KeptProcess:
    """A program.

    Args:
        place: where it runs.
        argv: what it is; the executable by its path.
        environment: what it finds besides what this process has.
    """

    def __init__(self, place: Place, argv: tuple[str, ...], environment: dict[str, str] | None = None) -> None:
        self._place = place
        self._argv = argv
        self._environment = environment or {}
        self._child = 0
        self.descriptor = -1
        """Readable once the program has ended; -1 while there is none."""

    @property
    def name(self) -> str:
        """Its executable's."""
        return Path(self._argv[0]).name

    @property
    def log(self) -> Path:
        """What it writes."""
        return self._place.run / f"{self.name}.log"

    def runs(self) -> bool:
        """Whether it has begun and not ended."""
        return self.descriptor >= 0 and not is_readable(0, self.descriptor)

    def adopt(self) -> bool:
        """Take over what an earlier life has begun, if it still runs in the same namespace.

        Otherwise whatever bears its mark is ended: a life may have died before it wrote down whom it had begun, and
        another beside that one would find its ports taken.
        """
        self._close()
        with contextlib.suppress(OSError, ValueError):
            process = int(self._pid_file.read_text(encoding="ascii"))
            descriptor = os.pidfd_open(process)
            if _mark_of(process) == str(self._mark) and _is_in(process, self._place.label):
                self.descriptor = descriptor
                return True
            os.close(descriptor)
        _end_marked(lambda mark: mark == self._mark)
        return False

    def begin(self) -> None:
        """Begin it, in place of one that has ended.

        Raises:
            OSError: it cannot be begun.
        """
        self._close()
        how = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.trim()
        argv = [*self._place.command, *self._argv]
        # Not subprocess: a child of that is complained about when it is left running, as these are meant to be.
        self._child = os.posix_spawnp(
            argv[0],
            argv,
            os.environ | self._environment | {_MARK: str(self._mark)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, self.log, how, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGPIPE],  # which Python ignores
        )
        try:
            self.descriptor = os.pidfd_open(self._child)
            self._pid_file.write_text(str(self._child), encoding="ascii")
        except OSError:  # neither watched nor to be found again: it must not run
            os.kill(self._child, signal.SIGKILL)
            self._close()
            raise

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, by force if it must be, and wait until it has ended."""
        if self.descriptor >= 0:
            for number in (how, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.descriptor, number)
                if is_readable(_SECONDS_TO_END, self.descriptor):
                    break
        self._close()
        self._pid_file.unlink(missing_ok=True)

    def trim(self) -> None:
        """Empty a log that has become too long: what runs writes at its end, wherever that is."""
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > _LARGEST_LOG:
                os.truncate(self.log, 0)

    def last_words(self) -> str:
        """The last lines that it wrote."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " / ".join(lines[-3:]) or "it said nothing"

    @property
    def _mark(self) -> Path:
        return self._place.run / self.name

    @property
    def _pid_file(self) -> Path:
        return self._place.run / f"{self.name}.process"

    def forsake(self) -> None:
        """Let it go on by itself."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _close(self) -> None:
        self.forsake()
        if self._child:
            os.waitpid(self._child, 0)
            self._child = 0


def end_strays(directory: Path, wanted: set[Path]) -> None:
    """End programs below a directory whose ``/run`` is none of the wanted ones."""
    _end_marked(lambda mark: mark.is_relative_to(directory) and mark.parent not in wanted)


def _end_marked(is_meant: Callable[[Path], bool]) -> None:
    """End programs by their marks; not those of a bubble, whose fabric has directories of the same names."""
    own = _processes_of(os.getpid())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it has ended
            process = int(entry.name)
            descriptor = os.pidfd_open(process)
            try:
                # Looked at only now: the number of one that has ended meanwhile is another's.
                mark = _mark_of(process)
                if mark and is_meant(Path(mark)) and _processes_of(process) == own:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    is_readable(_SECONDS_TO_END, descriptor)
            finally:
                os.close(descriptor)


def _processes_of(process: int) -> tuple[int, int]:
    """The namespace of processes that one is in."""
    return namespace.identity(f"/proc/{process}/ns/pid")


def _mark_of(process: int) -> str:
    try:
        variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return ""
    start = f"{_MARK}=".encode()
    return next((each.removeprefix(start).decode() for each in variables if each.startswith(start)), "")


def _is_in(process: int, label: str) -> bool:
    try:
        return namespace.identity(f"/proc/{process}/ns/net") == namespace.identity(namespace.path(label))
    except OSError:  # the one or the other is no more
        return False
