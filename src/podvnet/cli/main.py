"""``podvnet``: the commands, found by name; a wrong word suggests the right one."""

from __future__ import annotations

import importlib

import click

from podvnet import __version__
from podvnet.cli.suggestion import suggestion

# name: (module of podvnet.cli, object, one line of help). The modules are imported only when their command is used.
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "Show the main job: a network, VMs, pods, and packets that prove it."),
    "up": ("fabric", "up", "Bring up the virtual networks and VMs of a file."),
    "plan": ("plan", "plan", "Show what `up` would change, or what subnets nodes need."),
    "down": ("fabric", "down", "Take everything down."),
    "status": ("fabric", "status", "Show what is there and whether it is healthy."),
    "fabric": ("fabric", "fabric", "Run the fabric process in the foreground."),
    "vm": ("vm", "vm", "List, enter and reboot the VMs of the fabric."),
    "pod": ("pod", "pod", "Run pods through the CNI plug-in."),
    "cluster": ("cluster", "cluster", "A Kubernetes cluster on VMs of the fabric."),
    "onprem": ("onprem", "onprem", "List and enter the sites on premises of the fabric."),
    "trace": ("trace", "trace", "Say what becomes of a packet, and what to change."),
    "capture": ("capture", "capture", "Watch packets at any hop, or write them to a pcap file."),
    "env": ("env", "env", "Print what az, SDKs, terraform and curl need to reach the fabric."),
    "agent": ("agent", "agent", "Run the agent of this VM in the foreground."),
    "controller": ("controller", "controller", "Serve Kubernetes Services of type LoadBalancer, straight to pods."),
    "install": ("install", "install", "Install the plug-in on this VM."),
    "uninstall": ("install", "uninstall", "Take the plug-in off this VM."),
    "doctor": ("doctor", "doctor", "Check what this machine offers and what is wrong."),
    "sandbox": ("sandbox", "sandbox", "Run a command in a bubble of its own that leaves nothing behind."),
}


class Commands(click.Group):
    """A group whose commands are imported on use and whose unknown words are answered with the nearest known one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a person meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        found = _COMMANDS.get(cmd_name)
        if found is None:
            return None
        command: click.Command = getattr(importlib.import_module(f"podvnet.cli.{found[0]}"), found[1])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or say which one may be meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise suggestion(error, args[0], list(_COMMANDS)) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="podvnet")
def main() -> None:
    """Containers on an Azure virtual network, and a local Azure network to run them on.

    \b
    Examples:
      podvnet demo                          see it work, on a bare machine
      podvnet up examples/two-subnets.yaml  two subnets, two VMs
      podvnet pod run web --vm vm1          a pod on the network
      podvnet status                        what is there
      podvnet down                          all gone
    """  # noqa: D301 - \b is click's mark for text that is not to be wrapped
