"""Whether descriptors are readable, however many a process has."""

from __future__ import annotations

import select


def is_readable(seconds: float | None, *descriptors: int) -> bool:
    """Tell whether one of several descriptors is readable or at its end, waiting for it so long; None: for ever.

    By poll: select takes no descriptor beyond 1,023, and a fabric of many networks has more.
    """
    poll = select.poll()
    for each in descriptors:
        poll.register(each, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
