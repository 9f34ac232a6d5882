"""``podvnet vm``: the VMs of the fabric."""

from __future__ import annotations

import os

import click

from podvnet.cli import client
from podvnet.cli.fabric import json_option, machine_state
from podvnet.cli.output import print_json, print_table
from podvnet.cli.suggestion import Suggesting


@click.group(cls=Suggesting)
def vm() -> None:
    """List, enter and reboot the VMs of the fabric."""


@vm.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the VMs."""
    machines = client.ask("GET", "/status", as_json=as_json)["virtualMachines"]
    if as_json:
        print_json(machines)
        return
    print_table(
        "Virtual machines",
        ["name", "state", "address", "namespace"],
        ((each["name"], machine_state(each), each["nics"][0]["primary"], each["namespace"]) for each in machines),
    )


@vm.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def exec_(name: str, command: tuple[str, ...]) -> None:
    """Run COMMAND (a shell when none is given) in the VM NAME.

    \b
    Example:
      podvnet vm exec vm1 -- ip addr
    """  # noqa: D301
    argv = inside(name, list(command) or [os.environ.get("SHELL", "/bin/sh")])
    os.execvp(argv[0], argv)  # noqa: S606 - the command is the user's own


@vm.command()
@click.argument("name")
@json_option
def reboot(name: str, as_json: bool) -> None:
    """Take the VM NAME's power away and boot it again. Its pods are gone, its disk stays."""
    answer = client.ask("POST", f"/machines/{name}/reboot", as_json=as_json)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{name} is up again")


def inside(name: str, argv: list[str]) -> list[str]:
    """The command line that runs ``argv`` in a VM.

    Raises:
        FailureError: there is no such VM, or no fabric.
    """
    answer = client.ask("GET", f"/machines/{name}/command")
    return [*answer["command"], *argv]
