"""``podvnet sandbox``: run a command in a bubble."""

from __future__ import annotations

import os
import sys

import click

from podvnet.cli.output import FailureError
from podvnet.linux import sandbox as bubble


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--furnish", is_flag=True, hidden=True)
def sandbox(command: tuple[str, ...], furnish: bool) -> None:
    """Run COMMAND (a shell when none is given) with network, /run and processes of its own.

    Everything made inside is gone when it ends. Works without root where user namespaces do.

    \b
    Example:
      podvnet sandbox -- podvnet up examples/two-subnets.yaml
    """  # noqa: D301
    argv = list(command) or [os.environ.get("SHELL", "/bin/sh")]
    if furnish:
        bubble.furnish()
        try:
            raise SystemExit(bubble.run_as_init(argv))
        except FileNotFoundError:
            raise FailureError(f"there is no program {argv[0]!r}") from None
    enter(argv)


def enter(argv: list[str]) -> None:
    """Replace this process by ``argv`` in a bubble.

    Raises:
        FailureError: this machine lets none be made.
    """
    obstacle = bubble.obstacle()
    if obstacle:
        raise FailureError(obstacle)
    wrapped = bubble.wrapped([sys.executable, "-m", "podvnet", "sandbox", "--furnish", "--", *argv])
    os.execvp(wrapped[0], wrapped)  # noqa: S606 - a fixed program
