"""nftables tables and rules, through libnftables: one call is one transaction.

libnftables is a C library (Debian package ``libnftables1``, part of ``nftables``) with a stable interface of four
functions; its text is the one people know from ``nft``. It re-reads the ruleset at every command, so it writes what
changes rarely; elements of sets go through :mod:`podvnet.linux.nfnetlink`.
"""

from __future__ import annotations

import ctypes
import errno
from functools import cache

from podvnet.linux.error import KernelError

_LIBRARY = "libnftables.so.1"


class RulesetError(Exception):
    """libnftables refused a text: a mistake in the text, or the kernel's refusal."""


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise KernelError(errno.ELIBACC, f"load {_LIBRARY} (Debian package nftables)", str(error)) from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


def available() -> str:
    """Return why libnftables cannot be used, or an empty text when it can."""
    try:
        _library()
    except KernelError as error:
        return str(error)
    return ""


def run(commands: str) -> str:
    """Run nft commands in the calling thread's namespace as one transaction; return what they print.

    Raises:
        RulesetError: with libnftables' own message; nothing was changed.
    """
    library = _library()
    context = library.nft_ctx_new(0)
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        failed = library.nft_run_cmd_from_buffer(context, commands.encode())
        output: bytes = library.nft_ctx_get_output_buffer(context)
        if failed:
            message: bytes = library.nft_ctx_get_error_buffer(context)
            raise RulesetError(message.decode(errors="replace").strip())
        return output.decode(errors="replace")
    finally:
        library.nft_ctx_free(context)


def replace(tables: tuple[tuple[str, str], ...], text: str, marker: str) -> None:
    """Put ``text`` in the place of ``tables``, whatever they hold now, in one transaction.

    A counter named ``marker`` is left in the first table: it tells later which text is there.
    """
    # Declaring a table first makes its deletion succeed when it was not there.
    cleared = "".join(f"table {family} {name}\ndelete table {family} {name}\n" for family, name in tables)
    family, name = tables[0]
    run(f"{cleared}{text}\nadd counter {family} {name} {marker}\n")


def remove(tables: tuple[tuple[str, str], ...]) -> None:
    """Remove tables; one that is not there is no error."""
    run("".join(f"table {family} {name}\ndelete table {family} {name}\n" for family, name in tables))
