"""``podvnet cluster``: a Kubernetes cluster on VMs of the fabric."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from podvnet.cli import client
from podvnet.cli.cluster_keep import keep
from podvnet.cli.cluster_up import command, directory, up
from podvnet.cli.fabric import json_option
from podvnet.cli.output import FailureError, print_json, print_table
from podvnet.cli.suggestion import Suggesting

if TYPE_CHECKING:
    from podvnet.cluster.record import Record


@click.group(cls=Suggesting)
def cluster() -> None:
    """A self-managed Kubernetes cluster on VMs of the fabric."""


cluster.add_command(up)
cluster.add_command(keep)


@cluster.command()
@json_option
def down(as_json: bool) -> None:
    """Take the cluster down; the fabric as well if `cluster up` brought it up, else its VMs are rebooted without it."""
    from podvnet.cluster import record
    from podvnet.cluster.take_down import take_down
    from podvnet.cluster.vm import Vm, VmError

    def progress(what: str) -> None:
        if not as_json:
            click.echo(f"{what} …", err=True)

    known = record.load(directory())
    if known is None:
        _say("there is no cluster", as_json=as_json)
        return
    if (client.state_directory() / "fabric.db").exists():
        client.ensure_running(progress, agents=False)
        if known.brought_up:
            progress("taking the VMs and the virtual network down")
            client.ask("POST", "/down", as_json=as_json)
            client.wait_until_gone()
        else:
            running = _running_vms(as_json=as_json)
            vms = [Vm(name, command(name)) for name in (*known.nodes, known.control) if name in running]
            try:
                take_down(vms, lambda name: client.ask("POST", f"/machines/{name}/reboot", as_json=as_json), progress)
            except VmError as error:
                raise FailureError(str(error), "`podvnet cluster down` goes on from here", as_json=as_json) from None
    record.forget(directory())
    _say("the cluster is gone", as_json=as_json)


@cluster.command()
@json_option
def status(as_json: bool) -> None:
    """Show the cluster: its nodes, the programs on its VMs, and what is wrong."""
    from podvnet.cluster.observation import observe
    from podvnet.cluster.vm import Vm

    known = _known(as_json=as_json)
    running = _running_vms(as_json=as_json)
    vms = {name: Vm(name, command(name)) if name in running else None for name in (known.control, *known.nodes)}
    state = observe(vms[known.control], vms)
    faults = state.faults(known.nodes)
    if as_json:
        units = {vm: {unit.name: asdict(unit) for unit in found} for vm, found in state.units.items()}
        print_json(
            {
                "server": known.settings.server,
                "services": ",".join(map(str, known.settings.service_ranges)),
                "nodes": [asdict(node) for node in state.nodes],
                "dnsReady": state.dns,
                "units": units,
                "faults": faults,
            }
        )
    else:
        print_table(
            f"Nodes of the cluster at {known.settings.server}",
            ["name", "ready", "version", "pods", "at most"],
            (
                (each.name, "yes" if each.ready else f"NO: {each.reason}", each.version, each.pods, each.capacity)
                for each in state.nodes
            ),
        )
        print_table(
            "Programs",
            ["VM", "program", "process", "starts"],
            (
                (vm, unit.name, unit.process or "DOWN", unit.starts)
                for vm, found in state.units.items()
                for unit in found
            ),
        )
    if faults:
        details = [{"code": "fault", "message": each} for each in faults]
        if as_json:
            raise SystemExit(1)
        raise FailureError("the cluster is not whole", "logs are in /var/log of each VM", details=details)


@cluster.command()
@click.option("--server", help="Where the API is for whoever uses it.  [default: the address in the virtual network]")
def kubeconfig(server: str | None) -> None:
    """Print a kubeconfig of the administrator.

    In the virtual network it works as it is. `podvnet cluster forward` has the API on this machine.

    \b
    Examples:
      podvnet vm exec control -- kubectl get nodes
      podvnet cluster kubeconfig --server https://127.0.0.1:6443 >config
    """  # noqa: D301 - \b is click's mark for text that is not to be wrapped
    import yaml

    from podvnet.cluster.control_plane import administrator
    from podvnet.cluster.pki import Pki
    from podvnet.cluster.record import PKI

    known = _known(as_json=False)
    pki = Pki(directory() / PKI, dt.datetime.now(dt.UTC))
    found = administrator(known.settings, pki)
    if server:
        found["clusters"][0]["cluster"]["server"] = server
    click.echo(yaml.safe_dump(found, sort_keys=False), nl=False)


@cluster.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Where on this machine.")
@click.option("--port", default=6443, show_default=True, help="Of the address; 0 for any that is free.")
def forward(address: str, port: int) -> None:
    """Have the cluster's API on this machine, until interrupted: connections go on from its VM."""
    from podvnet.cluster.forwarder import forward as pass_on
    from podvnet.cluster.settings import API_PORT

    known = _known(as_json=False)
    machines = {each["name"]: each for each in client.ask("GET", "/status")["virtualMachines"]}
    if known.control not in machines:
        raise FailureError(f"the VM {known.control} is gone", "`podvnet cluster up` makes the cluster anew")
    with socket.create_server((address, port)) as listener:
        click.echo(f"https://{address}:{listener.getsockname()[1]}")
        with contextlib.suppress(KeyboardInterrupt):
            namespace = machines[known.control]["namespace"]
            asyncio.run(pass_on(listener, namespace, str(known.settings.address), API_PORT))


def _known(*, as_json: bool) -> Record:
    from podvnet.cluster import record

    known = record.load(directory())
    if known is None:
        raise FailureError("there is no cluster", "`podvnet cluster up` makes one", as_json=as_json)
    return known


def _running_vms(*, as_json: bool) -> frozenset[str]:
    machines = client.ask("GET", "/status", as_json=as_json)["virtualMachines"]
    return frozenset(each["name"] for each in machines if each["running"] and each["up"])


def _say(what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"cluster": what})
    else:
        click.echo(what)
