"""``podvnet doctor``: what this machine offers, and what is wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from podvnet.cli import agent_status, client
from podvnet.cli.doctor_kubernetes import looks as kubernetes_looks
from podvnet.cli.fabric import json_option
from podvnet.cli.finding import BAD, NOTE, OK, Finding
from podvnet.cli.output import FailureError, print_json


@click.command()
@click.option("--repair", is_flag=True, help="Let the agent ask the platform anew and mend what differs.")
@json_option
def doctor(repair: bool, as_json: bool) -> None:
    """Check what this machine offers and what is wrong. Changes nothing without --repair."""
    if repair:
        _repair(as_json=as_json)
    findings = [finding for look in _LOOKS for finding in look()]
    if as_json:
        print_json([asdict(each) for each in findings])
    else:
        for each in findings:
            colour = {"ok": "green", "note": "yellow", "bad": "red"}[each.state]
            click.echo(f"{click.style(each.state.ljust(4), fg=colour)}  {each.subject}: {each.found}")
            if each.remedy:
                click.echo(f"      → {each.remedy}")
    bad = [each for each in findings if each.state == BAD]
    if bad and not as_json:
        what = "one thing is wrong" if len(bad) == 1 else f"{len(bad)} things are wrong"
        raise FailureError(what, "the arrows above say what to do")
    if bad:
        raise SystemExit(1)


def _repair(*, as_json: bool) -> None:
    from podvnet.cli.agent_service import signal_agent

    if not signal_agent():
        raise FailureError("there is no agent to repair anything", "`podvnet install` starts one", as_json=as_json)


def _namespaces() -> Iterator[Finding]:
    from podvnet.linux import sandbox

    if _agents_container():
        return
    obstacle = "" if sandbox.inside() else sandbox.obstacle()
    who = "root" if os.geteuid() == 0 else "an ordinary user, in a user namespace"
    if obstacle:
        yield Finding("namespaces", BAD, obstacle, "without them no network can be made on this machine")
    else:
        yield Finding("namespaces", OK, f"can be made, as {who}")


def _nftables() -> Iterator[Finding]:
    from podvnet.linux import ruleset

    reason = ruleset.available()
    if reason:
        yield Finding("nftables", BAD, reason, "apt-get install nftables")
    else:
        yield Finding("nftables", OK, "libnftables is there")


def _agents_container() -> bool:
    """Whether this is the container of an agent, where no network is made."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and agent_status.present()


def _programs() -> Iterator[Finding]:
    if _agents_container():
        return
    for name, package in (("unshare", "util-linux"), ("nsenter", "util-linux")):
        where = shutil.which(name)
        if where:
            yield Finding(name, OK, where)
        else:
            yield Finding(name, BAD, "not found", f"apt-get install {package}")


def _shim() -> Iterator[Finding]:
    from podvnet.plugin.shim import compiled_path

    if compiled_path().exists():
        yield Finding("shim", OK, f"compiled, {compiled_path().stat().st_size // 1024} KiB")
    else:
        yield Finding(
            "shim",
            NOTE,
            "not compiled: the Python twin is used, 20 times slower to start",
            "install gcc and musl-tools, then python hatch_build.py",
        )


def _fabric() -> Iterator[Finding]:
    if client.running():
        yield Finding("fabric", OK, f"answers at {client.RUN / 'fabric.sock'}")
        yield _agreement()
    elif (client.state_directory() / "fabric.db").exists():
        yield Finding(
            "fabric",
            NOTE,
            "its process is not running; the network goes on without it",
            "`podvnet up FILE` or `podvnet fabric`",
        )
    else:
        yield Finding("fabric", OK, "none on this machine")


def _agreement() -> Finding:
    """The store says what should be, the kernel what is."""
    found = client.ask("GET", "/agreement")
    steps = found["steps"]
    if not steps:
        return Finding("kernel", OK, f"holds what the {found['resources']} resources of the store say")
    words = "; ".join(steps[:3]) + (" …" if len(steps) > 3 else "")
    remedy = "stop the fabric's process and run `podvnet fabric --background`: it mends at its start"
    return Finding("kernel", BAD, f"differs from the store by {len(steps)} steps: {words}", remedy)


def _agent() -> Iterator[Finding]:
    installed = Path("/opt/cni/bin/azure-vnet").exists()
    if not installed and not agent_status.present():
        yield Finding("plug-in", OK, "not installed on this machine")
        return
    try:
        found = agent_status.ask()
    except OSError as error:
        yield Finding("agent", BAD, f"does not answer: {error}", "systemctl start podvnet-agent, or `podvnet install`")
        return
    if not found["ready"]:
        yield Finding("agent", BAD, found["reason"], found["remedy"])
        return
    nic = found["nic"]
    yield Finding("agent", OK, f"serves NIC {nic['name']} ({', '.join(nic['primary'])})")
    yield from _pool(found)
    half_done = [each for each in found["attachments"] if each["state"] != "attached"]
    if half_done:
        yield Finding("attachments", NOTE, f"{len(half_done)} are half-done", "podvnet doctor --repair")
    dropped = {name: count for name, count in found["dropped"].items() if count}
    for name, count in dropped.items():
        yield Finding(name, NOTE, f"{count} packets of pods were dropped", _REASONS.get(name, ""))


def _pool(found: dict[str, Any]) -> Iterator[Finding]:
    pool = found["pool"]
    words = f"{pool['held']} of {pool['total']} addresses held, {pool['resting']} resting"
    growth = found["growth"]
    if growth is not None:
        if growth["obstacle"]:
            yield Finding("pool", BAD, f"{words}; it cannot grow: {growth['obstacle']}", growth["remedy"])
        else:
            yield Finding("pool", OK, f"{words}; it grows up to {growth['ceiling']}")
    elif pool["held"] == pool["total"]:
        yield Finding("pool", BAD, words, "add ip-configurations to the NIC, or run fewer pods")
    elif pool["held"] >= pool["total"] * 0.9:
        yield Finding("pool", NOTE, words + ": nearly exhausted", "add ip-configurations to the NIC")
    else:
        yield Finding("pool", OK, words)
    for each in found["attachments"]:
        if each["lost"]:
            whose = each["pod"] or each["container"][:12]
            words = f"{', '.join(each['lost'])} of {whose}: the NIC has it no more, the platform delivers nothing to it"
            yield Finding("address", BAD, words, "put it back on the NIC, or delete the pod")


_REASONS = {
    "spoofed": "a pod sent with a MAC or address that is not its own",
    "loopback_refused": "a pod or container sent to the VM's 127.0.0.1",
    "metadata_refused": "pods may not ask IMDS or the wireserver (agent option --pods-may-ask-platform)",
}


def _forwarding() -> Iterator[Finding]:
    if not agent_status.present():
        return
    value = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii").strip()
    if value == "1":
        yield Finding("ip_forward", OK, "on")
    else:
        yield Finding(
            "ip_forward", BAD, "off: pods reach nobody", "sysctl -w net.ipv4.ip_forward=1, and see who turns it off"
        )
    yield from _forwarding6()
    conflists = sorted(Path("/etc/cni/net.d").glob("*.conflist")) if Path("/etc/cni/net.d").is_dir() else []
    if not conflists:
        yield Finding("conflist", BAD, "none in /etc/cni/net.d: no runtime uses the plug-in", "`podvnet install`")
    elif conflists[0].name != "10-azure.conflist":
        yield Finding(
            "conflist", NOTE, f"{conflists[0].name} sorts first, runtimes use that one", "rename or remove it"
        )
    else:
        yield Finding("conflist", OK, str(conflists[0]))


def _forwarding6() -> Iterator[Finding]:
    """IPv6 is to be forwarded only where pods have it."""
    try:
        pool = agent_status.ask().get("pool6")
    except OSError:
        return  # that the agent does not answer is a finding of its own
    if not pool or not pool["total"]:
        return
    name = "ipv6 forwarding"
    if Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text(encoding="ascii").strip() == "1":
        yield Finding(name, OK, "on")
    else:
        remedy = "sysctl -w net.ipv6.conf.all.forwarding=1, and see who turns it off"
        yield Finding(name, BAD, "off: pods reach nobody by IPv6", remedy)


_LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _namespaces,
    _nftables,
    _programs,
    _shim,
    _fabric,
    _agent,
    _forwarding,
    kubernetes_looks,
)
