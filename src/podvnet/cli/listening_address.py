"""Where a command serves metrics."""

from __future__ import annotations

from podvnet.cli.output import FailureError


def listening_address(text: str) -> tuple[str, int] | None:
    """Read the value of ``--metrics``: ``address:port``, an IPv6 address in brackets or not; None for an empty text.

    Raises:
        FailureError: it is none.
    """
    if not text:
        return None
    address, _, port = text.rpartition(":")
    if not address or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        raise FailureError(f"--metrics {text!r} is not of the form ADDRESS:PORT", "for example 127.0.0.1:9464")
    return address.strip("[]"), int(port)
