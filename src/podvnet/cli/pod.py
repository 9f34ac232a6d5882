"""``podvnet pod``: pods through the CNI plug-in, as a runtime would."""

from __future__ import annotations

import os
from pathlib import Path

import click

from podvnet.cli.at_vm import at_vm, vm_option
from podvnet.cli.fabric import json_option
from podvnet.cli.output import FailureError, print_json, print_table
from podvnet.cli.pod_ask import ask, asks, release
from podvnet.cli.suggestion import Suggesting
from podvnet.runtime import pod as pods
from podvnet.runtime.chain import Chain, ChainError

CONF_DIR = Path("/etc/cni/net.d")
BIN_DIRS = (Path("/opt/cni/bin"), Path("/usr/lib/cni"))


@click.group(cls=Suggesting)
def pod() -> None:
    """Run pods through the CNI plug-in: on this machine, or on a VM of the fabric with --vm."""


for _each in (ask, asks, release):
    pod.add_command(_each)


@pod.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@vm_option
@click.option("--network", default="", help="The name of the network; default: the first conflist.")
@json_option
def run(name: str, command: tuple[str, ...], vm: str | None, network: str, as_json: bool) -> None:
    """Make the pod NAME and join it to the network; with COMMAND, run that in it.

    \b
    Examples:
      podvnet pod run web --vm vm1
      podvnet pod run web --vm vm1 -- python3 -m http.server 80
    """  # noqa: D301
    at_vm(vm)
    try:
        made = pods.run(name, Chain.load(CONF_DIR, BIN_DIRS, network))
    except (ChainError, FileNotFoundError, FileExistsError) as error:
        document = error.document if isinstance(error, ChainError) else {}
        raise FailureError(str(error), details=[document] if as_json else (), as_json=as_json) from None
    if command:
        argv = pods.command(made, list(command))
        os.execvp(argv[0], argv)  # noqa: S606 - the command is the user's own
    if as_json:
        print_json({"name": made.name, "container": made.container, "sandbox": made.sandbox, "result": made.result})
    else:
        click.echo(f"{made.name}: {', '.join(made.addresses)}")


@pod.command("list")
@vm_option
@json_option
def list_(vm: str | None, as_json: bool) -> None:
    """List the pods."""
    at_vm(vm)
    found = pods.every()
    if as_json:
        print_json([{"name": each.name, "addresses": each.addresses, "network": each.network} for each in found])
        return
    print_table(
        "Pods",
        ["name", "addresses", "network", "processes"],
        ((each.name, ", ".join(each.addresses), each.network, len(pods.processes(each))) for each in found),
    )


@pod.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@vm_option
def exec_(name: str, command: tuple[str, ...], vm: str | None) -> None:
    """Run COMMAND (a shell when none is given) in the pod NAME."""
    at_vm(vm)
    argv = pods.command(_find(name), list(command) or [os.environ.get("SHELL", "/bin/sh")])
    os.execvp(argv[0], argv)  # noqa: S606 - the command is the user's own


@pod.command()
@click.argument("names", nargs=-1, required=True)
@vm_option
@json_option
def delete(names: tuple[str, ...], vm: str | None, as_json: bool) -> None:
    """End the pods NAMES and give their addresses back."""
    at_vm(vm)
    for name in names:
        found = _find(name)
        try:
            pods.delete(found, BIN_DIRS)
        except ChainError as error:
            raise FailureError(str(error), as_json=as_json) from None
    if as_json:
        print_json({"deleted": list(names)})


def _find(name: str) -> pods.Pod:
    try:
        return pods.find(name)
    except pods.NoSuchPodError as error:
        raise FailureError(str(error)) from None
