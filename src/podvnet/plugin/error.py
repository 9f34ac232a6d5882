"""The error a runtime is given: a code, a sentence that stands alone, and what to do about it.

CNI specification 1.1.0, section 5 "Error": a JSON object on **stdout** and a non-zero exit status. Kubernetes shows the
user ``msg; details`` and never the code, so ``msg`` says what is wrong and where, ``details`` says what to do.
"""

import json
from enum import IntEnum
from typing import Final

from podvnet.plugin.version import NEWEST

_QUOTE_LIMIT: Final = 80


class Code(IntEnum):
    """Error codes: 1-99 as the specification (8: as its common library) has them, from 100 our own."""

    INCOMPATIBLE_VERSION = 1
    """``cniVersion`` is none of ours, or older than the verb."""
    UNSUPPORTED_FIELD = 2
    """A configuration key asks for something we do not do; key and value are in ``msg``."""
    UNKNOWN_CONTAINER = 3
    """The attachment does not exist; a runtime need not clean up."""
    BAD_ENVIRONMENT = 4
    """A ``CNI_*`` variable is missing or malformed; its name is in ``msg``."""
    IO_FAILURE = 5
    """Reading stdin, a state file or a socket failed."""
    CANNOT_DECODE = 6
    """stdin, ``CNI_ARGS`` or ``prevResult`` is not what it has to be."""
    INVALID_CONFIG = 7
    """The configuration parses but a value is missing, of the wrong type or out of range."""
    INVALID_NETNS = 8
    """``CNI_NETNS`` is no network namespace, or is the node's own."""
    TRY_AGAIN = 11
    """Nothing is wrong with the request; later it may work (agent starting, pool refilling, fabric unreachable)."""
    NOT_AVAILABLE = 50
    """STATUS: ADD cannot be served."""
    NOT_AVAILABLE_AND_PODS_SUFFER = 51
    """STATUS: running pods may be cut off from others, whether or not ADD can be served."""

    INTERFACE_EXISTS = 100
    """ADD: the namespace already has an interface of that name that is not ours to take over."""
    POOL_EXHAUSTED = 101
    """ADD: every address this VM has been given is in use."""
    KERNEL_REFUSED = 102
    """The kernel turned down an operation; ``msg`` names operation, device and errno."""
    CHECK_FAILED = 103
    """CHECK: what ADD made is missing or changed."""
    ASK_REFUSED = 104
    """ADD: the resource manager refuses what is asked for the pod; nothing of it is left."""
    INTERNAL = 199
    """A bug of ours; the agent's log has the traceback."""


class CniError(Exception):
    """An answer to the runtime that is not a success.

    ``cni_version`` is the version the answer is given in, "" while nobody knows it; ``request.parse_request`` fills it
    in as well as the input allows.
    """

    def __init__(self, code: Code, msg: str, details: str = "", *, cni_version: str = "") -> None:
        super().__init__(code, msg, details)
        self.code = code
        self.msg = msg
        self.details = details
        self.cni_version = cni_version

    def __str__(self) -> str:
        remedy = f"; {self.details}" if self.details else ""
        return f"{self.msg}{remedy} (CNI error {self.code.value})"

    def document(self, cni_version: str = "") -> dict[str, str | int]:
        """Return the error object: ``cniVersion``, ``code``, ``msg`` and, unless empty, ``details``.

        ``cni_version`` overrides the error's own; when both are empty our newest stands in, since the object must have
        one and every library reads the other keys alike in all versions.
        """
        values: dict[str, str | int] = {
            "cniVersion": cni_version or self.cni_version or NEWEST,
            "code": self.code.value,
            "msg": self.msg,
        }
        if self.details:
            values["details"] = self.details
        return values

    def render(self, cni_version: str = "") -> bytes:
        r"""Return ``document`` as JSON in plain ASCII.

        Text with a lone surrogate (a path that is not UTF-8) is written with that character spelled out: Go and Python
        disagree on ``\udc80`` in JSON, and an error that cannot be read is worse than an inexact one.
        """
        values = {key: _spelled(value) for key, value in self.document(cni_version).items()}
        return json.dumps(values, separators=(",", ":")).encode("ascii")


def quoted(text: str) -> str:
    """Return ``text`` in quotes for an error sentence: control characters escaped, cut after 80 characters."""
    return repr(text) if len(text) <= _QUOTE_LIMIT else f"{text[:_QUOTE_LIMIT]!r}… ({len(text)} characters)"


def _spelled(value: str | int) -> str | int:
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
