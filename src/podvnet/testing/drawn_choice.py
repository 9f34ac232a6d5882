"""One of several values, as hypothesis draws it: one that is named twice is twice as likely."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


def one(draw: st.DrawFn, *values: T) -> T:
    """One of ``values``."""
    return draw(st.sampled_from(values))
