"""``podvnet plan``: of a file what `up` would change, and of nodes what subnets they need."""

from __future__ import annotations

import click

from podvnet.cli.fabric import plan as changes
from podvnet.cli.plan_subnets import subnets

_FILE = "file"


class Plans(click.Group):
    """A group one of whose commands need not be named: what is no command's name is a file's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command's name where it is left out."""
        first = next((word for word in args if not word.startswith("-")), None)
        if first is not None and first not in self.commands:
            args = [_FILE, *args]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """As a person writes it."""
        return ["FILE [OPTIONS] | COMMAND [ARGS]..."]


@click.group(cls=Plans)
def plan() -> None:
    """Show what would change, or what is needed. Nothing is changed.

    \b
    Examples:
      podvnet plan examples/two-subnets.yaml        what `up` would change
      podvnet plan subnets --nodes 10 --pods 110    how large a subnet must be
    """  # noqa: D301


plan.add_command(changes, _FILE)
plan.add_command(subnets)
