"""``podvnet trace``: what becomes of a packet, what decides at each hop, and what to change."""

from __future__ import annotations

from typing import Any

import click

from podvnet.cli import client
from podvnet.cli.fabric import json_option
from podvnet.cli.output import print_json, print_table

_PORTS = range(1, 65536)


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST[:PORT]")
@click.option("--proto", type=click.Choice(["tcp", "udp", "icmp"]), help="Default: tcp with a port, icmp without.")
@json_option
def trace(source: str, destination: str, proto: str | None, as_json: bool) -> None:
    """Say what becomes of the first packet from SRC to DST, and why.

    SRC and DST are names of VMs or NICs, addresses, or hosts on premises (SITE/HOST); SRC may be NAME@ADDRESS. A public
    address as SRC is a host of the internet, unless a site on premises has it. No packet is sent: the answer comes from
    the resources. It exits with 0 also when the packet is dropped.

    \b
    Examples:
      podvnet trace vm1 vm2:443
      podvnet trace 10.1.1.5 198.51.100.10:53 --proto udp
      podvnet trace vm1 '[fd00::4]:80'
      podvnet trace 198.51.100.10 203.0.113.5:443
      podvnet trace vm1 office/printer:631
    """  # noqa: D301
    to, port = _split(destination)
    protocol = proto or ("tcp" if port else "icmp")
    if protocol == "icmp" and port:
        raise click.UsageError("ICMP has no ports; leave the port out, or say --proto tcp or udp.")
    if protocol != "icmp" and not port:
        raise click.UsageError(f"{protocol.upper()} needs a port: {destination}:PORT.")
    body = {"source": source, "destination": to, "protocol": protocol, "port": port}
    found = client.ask("POST", "/trace", body, as_json=as_json)
    if as_json:
        print_json(found)
    else:
        _show(found)


def _split(text: str) -> tuple[str, int]:
    """The destination, and its port or 0. An IPv6 address with a port stands in brackets."""
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        name, _, port = text.partition(":")
    else:
        return text, 0
    if not port and text.endswith("]"):
        return name, 0
    if not port.isascii() or not port.isdecimal() or int(port) not in _PORTS:
        raise click.UsageError(f"{port!r} is no port (1 to 65535).")
    return name, int(port)


def _show(found: dict[str, Any]) -> None:
    """First what decided, in one line; then the way there; then what to change."""
    is_dropped = found["verdict"] == "Dropped"
    click.secho(f"{found['packet']}: {found['summary']}", fg="red" if is_dropped else "green")
    counted = any(hop["counter"] is not None for hop in found["hops"])
    print_table(
        "",
        ["where", "check", "", "what decided", *(["packets"] if counted else [])],
        (_row(hop, counted=counted) for hop in found["hops"]),
    )
    if is_dropped:
        click.echo(f"→ {found['remedy']}")


def _row(hop: dict[str, Any], *, counted: bool) -> list[str]:
    row = [hop["place"], hop["check"], "allow" if hop["allowed"] else "DENY", hop["reason"]]
    return [*row, "-" if hop["counter"] is None else str(hop["counter"])] if counted else row
