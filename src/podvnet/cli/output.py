"""What commands print: tables for people, JSON for programs, errors with the next step."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table, with colours where there is a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(table)


class FailureError(click.ClickException):
    """A command that failed: what is wrong, and what to do. With ``--json`` it is printed as JSON."""

    exit_code = 1

    def __init__(
        self, message: str, remedy: str = "", *, details: Sequence[dict[str, Any]] = (), as_json: bool = False
    ) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.details = details
        self.as_json = as_json

    def show(self, file: Any = None) -> None:
        """Print the failure."""
        if self.as_json:
            document = {"error": {"message": self.message, "remedy": self.remedy, "details": list(self.details)}}
            click.echo(json.dumps(document, indent=2))
            return
        click.secho(f"error: {self.message}", fg="red", err=True)
        for each in self.details:
            click.echo(f"  {each.get('code', '')}: {each.get('message', '')}", err=True)
        if self.remedy:
            click.echo(f"  → {self.remedy}", err=True)
