"""How the agent of this VM stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from podvnet.cli.output import FailureError, print_json, print_table

SOCKET = Path("/run/podvnet/agent.sock")
_TIMEOUT = 10.0


def present() -> bool:
    """Tell whether an agent has served here since the last boot."""
    return SOCKET.exists()


def ask() -> dict[str, Any]:
    """Ask the agent.

    Raises:
        OSError: it does not answer.
    """
    found: dict[str, Any] = json.loads(_answer("status"))
    return found


def most_pods(found: dict[str, Any]) -> int:
    """How many pods there are addresses for, by what the agent says: those of the NIC, or as far as the pool grows."""
    growth = found.get("growth")
    return max(int(found["pool"]["total"]), int(growth["ceiling"]) if growth else 0)


def show_metrics() -> None:
    """Print what the agent measures.

    Raises:
        FailureError: it does not answer.
    """
    try:
        click.echo(_answer("metrics").decode(), nl=False)
    except OSError as error:
        raise _silent(error, as_json=False) from None


def _answer(query: str) -> bytes:
    from podvnet.agent.server import QUERY
    from podvnet.plugin.frame import call

    _, answer = call(str(SOCKET), {QUERY: query}, b"", timeout=_TIMEOUT)
    return answer


def _silent(error: OSError, *, as_json: bool) -> FailureError:
    return FailureError(
        f"the agent does not answer at {SOCKET}: {error}",
        "systemctl start podvnet-agent, or `podvnet install`",
        as_json=as_json,
    )


def show(*, as_json: bool) -> None:
    """Print how the agent stands; fail when it cannot serve.

    Raises:
        FailureError: it does not answer, or says that it cannot attach pods.
    """
    try:
        found = ask()
    except OSError as error:
        raise _silent(error, as_json=as_json) from None
    if as_json:
        print_json(found)
        return
    pool, nic = found["pool"], found["nic"]
    if nic:
        click.echo(f"NIC {nic['name']} {nic['mac']}, primary {', '.join(nic['primary'])}, MTU {nic['mtu']}")
    click.echo(f"pool {pool['total']} addresses: {pool['held']} held, {pool['resting']} resting, {pool['free']} free")
    six = found.get("pool6")
    if six and six["total"]:
        click.echo(f"IPv6 {six['total']} addresses: {six['held']} held, {six['resting']} resting, {six['free']} free")
    _show_growth(found.get("growth"))
    _show_groups(found.get("groups"))
    _show_kubernetes(found.get("kubernetes"))
    print_table(
        "Attachments",
        ["network", "container", "interface", "state", "mode", "addresses", "link", "pod"],
        (
            (
                each["network"],
                each["container"][:12],
                each["ifname"],
                each["state"],
                each["mode"] or "addresses only",
                ", ".join(each["addresses"]),
                each["link"],
                each["pod"],
            )
            for each in found["attachments"]
        ),
    )
    refused = {name: count for name, count in found["dropped"].items() if count}
    if refused:
        click.echo("dropped: " + ", ".join(f"{name} {count}" for name, count in refused.items()))
    for each in found["attachments"]:
        for address in each["lost"]:
            click.echo(
                f"lost: {each['pod'] or each['container'][:12]} holds {address}, which the NIC has no more: the"
                " platform delivers nothing to it; put it back on the NIC, or delete the pod"
            )
    if not found["ready"]:
        raise FailureError(found["reason"], found["remedy"])


def _show_groups(groups: dict[str, Any] | None) -> None:
    if groups is None:
        return
    named = [text.rpartition("/")[2] for text in (groups["nicGroup"], groups["subnetGroup"]) if text]
    if groups["closed"]:
        click.echo("between pods of this VM nothing passes: the rules of its NIC's security groups are not known")
    elif groups["age"] is None:
        click.echo("between pods of this VM the rules hold that the agent knew before it was started anew")
    else:
        what = f"the rules of {' and '.join(named)} hold" if named else "no security group filters"
        click.echo(f"between pods of this VM {what}, as of {groups['age']:.0f} s ago")
    if groups["obstacle"]:
        click.echo(f"groups are not followed: {groups['obstacle']}\n  → {groups['remedy']}")


def _show_kubernetes(cluster: dict[str, Any] | None) -> None:
    if cluster is None:
        return
    click.echo(f"node {cluster['node']} of a Kubernetes cluster; {cluster['pods']} pods are bound to it")
    if cluster["obstacle"]:
        click.echo(f"the cluster is not followed: {cluster['obstacle']}\n  → {cluster['remedy']}")


def _show_growth(growth: dict[str, Any] | None) -> None:
    if growth is None:
        return
    click.echo(
        f"grows by {growth['shape']} of {growth['batch']} up to {growth['ceiling']}; the NIC has"
        f" {'not been read yet' if growth['size'] is None else growth['size']}; written {growth['writes']} times"
    )
    if growth["obstacle"]:
        click.echo(f"does not grow: {growth['obstacle']}\n  → {growth['remedy']}; next try in {growth['retryIn']} s")
