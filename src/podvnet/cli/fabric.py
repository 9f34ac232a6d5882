"""``podvnet up``, ``plan``, ``down``, ``status``, ``fabric``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from podvnet.cli import client
from podvnet.cli.output import FailureError, print_json, print_table

_SIGNS = {"create": "+", "update": "~", "delete": "-"}
_COLOURS = {"create": "green", "update": "yellow", "delete": "red"}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def machine_state(machine: dict[str, Any]) -> str:
    """What a VM is in, for a table: up, stopped because that was asked for, or DOWN."""
    if not machine["running"]:
        return "stopped"
    return "up" if machine["up"] else "DOWN"


def _read(path: Path, *, as_json: bool) -> list[dict[str, Any]]:
    from podvnet.fabric import resource_file
    from podvnet.model.arm_error import ArmErrorsError

    try:
        return resource_file.read(path)
    except ArmErrorsError as refusal:
        details = [error.document() for error in refusal.errors]
        raise FailureError(f"{path} is not a file of resources", "", details=details, as_json=as_json) from None


def _show_changes(change: dict[str, Any], *, steps: bool) -> None:
    for each in change["resources"]:
        name = each["id"].split("/providers/", 1)[-1]
        click.secho(f"  {_SIGNS[each['action']]} {name}", fg=_COLOURS[each["action"]])
        for detail in each["details"]:
            click.echo(f"      {detail}")
    if not change["resources"]:
        click.echo("  nothing changes")
    if steps:
        click.echo(f"\n{len(change['steps'])} steps in the kernel:")
        for step in change["steps"]:
            click.echo(f"  {step}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--no-agents", is_flag=True, help="Boot bare VMs, without the plug-in.")
@json_option
def up(file: Path, no_agents: bool, as_json: bool) -> None:
    """Bring up the virtual networks and VMs of FILE (YAML or JSON, ARM's shapes).

    FILE is the complete wish: what an earlier file declared and this one does not is taken away.

    \b
    Example:
      podvnet up examples/two-subnets.yaml
    """  # noqa: D301
    wanted = _read(file, as_json=as_json)

    def progress(what: str) -> None:
        if not as_json:
            click.echo(f"{what} …", err=True)

    client.ensure_running(progress, agents=not no_agents)
    progress("applying the resources and booting the VMs")
    change = client.ask("POST", "/apply", wanted, as_json=as_json)
    if as_json:
        print_json(change)
        return
    _show_changes(change, steps=False)
    click.echo(
        "\nup. `podvnet status` shows it, `podvnet pod run NAME --vm VM` puts a pod on it, `podvnet down` ends it."
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--steps", is_flag=True, help="Show the steps in the kernel as well.")
@json_option
def plan(file: Path, steps: bool, as_json: bool) -> None:
    """Show what `up FILE` would change. Nothing is changed, and no fabric needs to run."""
    wanted = _read(file, as_json=as_json)
    if client.running():
        change = client.ask("POST", "/plan", wanted, as_json=as_json)
    else:
        change = _plan_offline(wanted, as_json=as_json)
    if as_json:
        print_json(change)
    else:
        _show_changes(change, steps=steps)


def _plan_offline(wanted: list[dict[str, Any]], *, as_json: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from podvnet.fabric.arm.world import World
    from podvnet.fabric.control import describe
    from podvnet.fabric.intent import IntentReader
    from podvnet.fabric.settlement import settle_all
    from podvnet.fabric.store import Store
    from podvnet.model.arm_error import ArmErrorsError
    from podvnet.plan import change
    from podvnet.plan.parts import compile_fabric

    database = client.state_directory() / "fabric.db"
    world, origins = World(), dict[str, str]()
    if database.exists():
        store = Store(database)
        world, origins = store.load()
        store.close()
    try:
        settlement = settle_all(wanted, world, {key for key, origin in origins.items() if origin == "file"})
    except ArmErrorsError as refusal:
        details = [error.document() for error in refusal.errors]
        raise FailureError("the resources are refused", "", details=details, as_json=as_json) from None
    before = compile_fabric(IntentReader().read(world)) if world.documents else {}
    after = compile_fabric(IntentReader().read(settlement.world))
    return {
        "resources": [asdict(each) for each in settlement.changes],
        "steps": [describe(step) for step in change.difference(before, after)],
    }


@click.command()
@json_option
def down(as_json: bool) -> None:
    """Take everything down: pods, VMs, virtual networks, and the fabric process."""
    if not client.running() and not (client.state_directory() / "fabric.db").exists():
        if as_json:
            print_json({"resources": [], "steps": []})
        else:
            click.echo("nothing is up")
        return
    client.ensure_running(lambda what: None if as_json else click.echo(f"{what} …", err=True), agents=False)
    change = client.ask("POST", "/down", as_json=as_json)
    client.wait_until_gone()
    if as_json:
        print_json(change)
    else:
        _show_changes(change, steps=False)


@click.command()
@click.option("--metrics", is_flag=True, help="On a VM: what the agent measures, as Prometheus' text.")
@json_option
def status(metrics: bool, as_json: bool) -> None:
    """Show what is there and whether it is healthy: the fabric, or on a VM the plug-in's agent."""
    from podvnet.cli import agent_status

    if metrics:
        agent_status.show_metrics()
        return
    if agent_status.present() and not client.running():
        agent_status.show(as_json=as_json)
        return
    found = client.ask("GET", "/status", as_json=as_json)
    if as_json:
        print_json(found)
        return
    print_table(
        "Virtual networks",
        ["name", "address space", "subnets", "dropped", "namespace"],
        (
            (
                each["name"],
                "\n".join(each["prefixes"]),
                "\n".join(f"{name} {', '.join(prefixes)}" for name, prefixes in each["subnets"].items()),
                "\n".join(f"{name} {count}" for name, count in sorted(each["dropped"].items()) if count) or "-",
                each["namespace"],
            )
            for each in found["virtualNetworks"]
        ),
    )
    print_table(
        "Virtual machines",
        ["name", "state", "NIC", "subnet", "primary", "pool", "outbound", "namespace"],
        (
            (
                machine["name"],
                machine_state(machine),
                nic["name"],
                f"{nic['virtualNetwork']}/{nic['subnet']}",
                nic["primary"],
                len(nic["secondary"]),
                nic["outbound"] or "-",
                machine["namespace"],
            )
            for machine in found["virtualMachines"]
            for nic in machine["nics"]
        ),
    )
    for name, address in found["internetHosts"].items():
        click.echo(f"internet host {name}: {address}")
    down_ones = [machine["name"] for machine in found["virtualMachines"] if machine["running"] and not machine["up"]]
    if down_ones:
        raise FailureError(
            f"down: {', '.join(down_ones)}", f"`podvnet vm reboot {down_ones[0]}`, or see {client.log_path()}"
        )


@click.command()
@click.option("--no-agents", is_flag=True, help="Boot bare VMs, without the plug-in.")
@click.option("--background", is_flag=True, help="Return once it serves.")
@click.option("--port", default=8443, show_default=True, envvar="PODVNET_PORT", help="Of the resource manager.")
@click.option("--ready-descriptor", type=int, default=-1, hidden=True)
def fabric(no_agents: bool, background: bool, port: int, ready_descriptor: int) -> None:
    """Run the fabric process. `up` starts one in the background when there is none."""
    if background:
        client.ensure_running(lambda what: click.echo(f"{what} …", err=True), agents=not no_agents)
        return
    from podvnet.cli.log import configure
    from podvnet.fabric.process import AlreadyRunningError, serve

    configure()
    guest = () if no_agents else (sys.executable, "-m", "podvnet", "install", "--unattended")

    def ready() -> None:
        if ready_descriptor >= 0:
            os.write(ready_descriptor, b"1")
            os.close(ready_descriptor)

    try:
        serve(client.RUN, client.state_directory(), guest, ready, port)
    except AlreadyRunningError as error:
        raise FailureError(
            str(error), "`podvnet status` speaks to a fabric; PODVNET_PORT chooses another port"
        ) from None
