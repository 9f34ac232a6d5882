"""The one error of every source of platform facts.

A source is a document that somebody else writes: the wireserver's XML, the JSON of the Instance Metadata Service, a
file. It can be out of reach, answer with a status, or hold something else than it should. All of that is a
:class:`SourceError`, so a caller has one thing to catch and an operator one shape of message to read:
which source, what was got, what to do.
"""

from __future__ import annotations

LARGEST_DOCUMENT = 1 << 20
"""Bytes of a document at most. Eight NICs with 256 addresses each take about 150 kB as XML."""

_LONGEST_QUOTE = 300


class SourceError(Exception):
    """A source gave no usable answer.

    Attributes:
        message: the URL or path of the source, and what was got from it.
        remedy: what a person can do about it.
        retryable: the same request can succeed later without anybody changing anything.
        retry_after: seconds to wait before the next try, when the source named them.
        retry_limit: seconds after which trying again is pointless, when the source's rules name them.
    """

    def __init__(
        self,
        message: str,
        remedy: str,
        retryable: bool,
        *,
        retry_after: float | None = None,
        retry_limit: float | None = None,
    ) -> None:
        super().__init__(f"{message}. {remedy}")
        self.message = message
        self.remedy = remedy
        self.retryable = retryable
        self.retry_after = retry_after
        self.retry_limit = retry_limit


def quoted(text: str) -> str:
    """Cut a text of a source to what fits a log line; control characters become visible escapes."""
    printable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: _LONGEST_QUOTE + 1])
    return printable if len(printable) <= _LONGEST_QUOTE else printable[:_LONGEST_QUOTE] + "…"


def bad_document(source: str, found: str) -> SourceError:
    """Build the error of a document that was delivered but does not have the shape of its source.

    Args:
        source: the URL or path it came from.
        found: which part of it is wrong, and how.
    """
    return SourceError(
        f"{source}: {quoted(found)}",
        "Look at the document itself; when it is what the platform really sends, report its shape as a defect",
        retryable=False,
    )


def check_size(data: bytes, source: str) -> None:
    """Refuse a document that is larger than any true one, before a parser spends memory on it.

    Raises:
        SourceError: it has more than :data:`LARGEST_DOCUMENT` bytes.
    """
    if len(data) > LARGEST_DOCUMENT:
        raise bad_document(source, f"more than {LARGEST_DOCUMENT} bytes")
