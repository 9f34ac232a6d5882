"""A wrong word is answered with the right one."""

from __future__ import annotations

import difflib

import click


class Suggesting(click.Group):
    """A group of commands that suggests the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or say which one may be meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise suggestion(error, args[0], list(self.commands)) from None


def suggestion(error: click.UsageError, word: str, known: list[str]) -> click.UsageError:
    """The error, with the known word that is nearest to the one given."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if not near:
        return error
    return click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx=error.ctx)
