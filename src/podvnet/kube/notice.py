"""What a controller has to say about an object: what becomes an Event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to say.

    Attributes:
        reason: a word in CamelCase, for programs.
        message: a sentence, for people.
        warning: something is wrong.
    """

    reason: str
    message: str
    warning: bool = True
