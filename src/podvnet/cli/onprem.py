"""``podvnet onprem``: the sites on premises of the fabric, their routers and hosts."""

from __future__ import annotations

import os
from typing import Any

import click

from podvnet.cli import client
from podvnet.cli.fabric import json_option
from podvnet.cli.output import FailureError, print_json, print_table
from podvnet.cli.suggestion import Suggesting


@click.group(cls=Suggesting)
def onprem() -> None:
    """List and enter the sites on premises of the fabric."""


@onprem.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the sites, their networks and their hosts."""
    sites = client.ask("GET", "/status", as_json=as_json)["sites"]
    if as_json:
        print_json(sites)
        return
    rows = []
    for site in sites:
        rows.append((site["name"], "router", site["publicAddress"], ", ".join(site["prefixes"]), site["namespace"]))
        rows += [
            (f"{site['name']}/{host['name']}", "host", host["address"], "", host["namespace"]) for host in site["hosts"]
        ]
    print_table("On premises", ["name", "what", "address", "networks", "namespace"], rows)


@onprem.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("place")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def exec_(place: str, command: tuple[str, ...]) -> None:
    """Run COMMAND (a shell when none is given) at PLACE: a SITE's router, or a host of it as SITE/HOST.

    \b
    Examples:
      podvnet onprem exec office/files -- ping -c1 10.0.0.4
      podvnet onprem exec office -- ip route
    """  # noqa: D301
    argv = inside(place, list(command) or [os.environ.get("SHELL", "/bin/sh")])
    os.execvp(argv[0], argv)  # noqa: S606 - the command is the user's own


def inside(place: str, argv: list[str]) -> list[str]:
    """The command line that runs ``argv`` at a place on premises.

    Raises:
        FailureError: there is no such place, or no fabric.
    """
    found = _namespaces(client.ask("GET", "/status")["sites"])
    label = found.get(place.lower())
    if label is None:
        known = ", ".join(sorted(found)) or "none"
        raise FailureError(f"there is no place {place!r} on premises", f"There are: {known}.")
    return ["nsenter", f"--net=/run/netns/{label}", "--", *argv]


def _namespaces(sites: list[dict[str, Any]]) -> dict[str, str]:
    found = {}
    for site in sites:
        found[site["name"].lower()] = site["namespace"]
        found |= {f"{site['name']}/{host['name']}".lower(): host["namespace"] for host in site["hosts"]}
    return found
