"""``podvnet pod ask``, ``asks`` and ``release``: what is asked of the virtual network for a pod, ahead of it."""

from __future__ import annotations

import json
from typing import Any

import click

from podvnet.cli.agent_status import SOCKET
from podvnet.cli.at_vm import at_vm, vm_option
from podvnet.cli.fabric import json_option
from podvnet.cli.output import FailureError, print_json, print_table

_TIMEOUT = 30.0
_interface_option = click.option("--interface", default="eth0", show_default=True, help="The interface in the pod.")


@click.command()
@click.argument("name")
@click.option("--group", "groups", multiple=True, help="An application security group; instead of the VM's own.")
@click.option("--public", is_flag=True, help="A public address of its own, made for it and deleted after it.")
@click.option("--public-address", default="", help="A public address that is there.")
@click.option("--idle-timeout", type=click.IntRange(4, 30), help="public: minutes that idle flows are kept.")
@click.option("--backend-pool", "pools", multiple=True, help="A backend pool: <load balancer>/<pool>.")
@click.option("--nat-rule", "nat_rules", multiple=True, help="An inbound NAT rule: <load balancer>/<rule>.")
@click.option("--address", default="", help="The private address to have.")
@click.option("--sticky", is_flag=True, help="Keep the address for the pod's name, with --address from now on.")
@click.option("--keep-for", type=click.IntRange(0), help="sticky: seconds that it is kept without the pod.")
@click.option("--egress", type=click.Choice(["vm", "pod"]), help="As whom it leaves the network.  [default: vm]")
@_interface_option
@vm_option
@json_option
def ask(
    name: str,
    groups: tuple[str, ...],
    public: bool,
    public_address: str,
    idle_timeout: int | None,
    pools: tuple[str, ...],
    nat_rules: tuple[str, ...],
    address: str,
    sticky: bool,
    keep_for: int | None,
    egress: str | None,
    interface: str,
    vm: str | None,
    as_json: bool,
) -> None:
    """Say what the pod NAME (namespace/name) is to get when it is attached. Resources are ids, or names.

    \b
    Examples:
      podvnet pod ask default/web --group web --backend-pool front/pods
      podvnet pod ask default/db --address 10.1.1.77 --sticky
    """  # noqa: D301
    at_vm(vm)
    wanted: dict[str, Any] = {
        "groups": list(groups) or None,
        "publicAddress": public_address or public or None,
        "idleTimeout": idle_timeout,
        "backendPools": list(pools) or None,
        "inboundNatRules": list(nat_rules) or None,
        "address": address or None,
        "sticky": sticky or None,
        "keepFor": keep_for,
        "egress": egress,
    }
    given = {key: value for key, value in wanted.items() if value is not None}
    _show(_query("ask", {"pod": _full(name), "ifname": interface, "ask": given}, as_json=as_json), as_json=as_json)


@click.command()
@vm_option
@json_option
def asks(vm: str | None, as_json: bool) -> None:
    """List what is asked for pods, and how far it has come."""
    at_vm(vm)
    _show(_query("asks", {}, as_json=as_json), as_json=as_json)


@click.command()
@click.argument("name")
@_interface_option
@vm_option
@json_option
def release(name: str, interface: str, vm: str | None, as_json: bool) -> None:
    """Ask nothing more for the pod NAME, and keep no address for it. What an attached pod has, it has until it ends."""
    at_vm(vm)
    _show(_query("release", {"pod": _full(name), "ifname": interface}, as_json=as_json), as_json=as_json)


def _full(name: str) -> str:
    return name if "/" in name else f"default/{name}"


def _query(query: str, body: dict[str, Any], *, as_json: bool) -> list[dict[str, Any]]:
    from podvnet.agent.server import QUERY
    from podvnet.plugin.frame import call

    try:
        code, answer = call(str(SOCKET), {QUERY: query}, json.dumps(body).encode(), timeout=_TIMEOUT)
    except OSError as error:
        raise FailureError(
            f"the agent does not answer at {SOCKET}: {error}", "systemctl start podvnet-agent", as_json=as_json
        ) from None
    found = json.loads(answer)
    if code:
        raise FailureError(found["msg"], found.get("details", ""), as_json=as_json)
    listed: list[dict[str, Any]] = found
    return listed


def _show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_table(
        "Asks",
        ["pod", "interface", "address", "state", "container", "ask"],
        (
            (
                each["pod"],
                each["ifname"],
                each["address"],
                each["state"],
                each["container"][:12],
                ", ".join(f"{key} {_text(value)}" for key, value in each["ask"].items()),
            )
            for each in found
        ),
    )
    for each in found:
        if each["obstacle"]:
            click.echo(f"{each['pod']}: {each['obstacle']}\n  → {each['remedy']}")


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
