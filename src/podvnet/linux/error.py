"""What the kernel refused, in words."""

from __future__ import annotations

import errno
import os


class KernelError(OSError):
    """A call or message that the kernel refused.

    Attributes:
        errno: the kernel's error number.
        doing: what was asked for, e.g. ``add route 10.1.0.5/32``.
        reason: the kernel's own words (extended ack), empty when it gave none.
    """

    def __init__(self, number: int, doing: str, reason: str = "") -> None:
        text = f"{doing}: {os.strerror(number)}" + (f" ({reason})" if reason else "")
        super().__init__(number, text)
        self.errno = number
        self.doing = doing
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[1])

    @property
    def is_gone(self) -> bool:
        """The object was not there: nothing left to remove."""
        return self.errno in {errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL}

    @property
    def is_there(self) -> bool:
        """The object was there already."""
        return self.errno == errno.EEXIST
