"""``podvnet cluster up``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from podvnet.cli import client
from podvnet.cli.fabric import json_option
from podvnet.cli.output import FailureError, print_json

if TYPE_CHECKING:
    from podvnet.cluster.fabric_vm import VmFacts
    from podvnet.cluster.programs import Programs


def directory() -> Path:
    """Where it is written what the cluster is, and where its keys are."""
    return client.state_directory().parent / "cluster"


def command(name: str) -> tuple[str, ...]:
    """What runs a program in a VM when it stands before it."""
    return tuple(client.ask("GET", f"/machines/{name}/command")["command"])


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--control", help="The VM of the control plane.  [default: control]")
@click.option("--node", "named", multiple=True, help="A VM that is to be a node; can be given several times.")
@click.option("--nodes", default=2, show_default=True, help="How many nodes there are, where none is named.")
@click.option("--pods-per-node", default=30, show_default=True, help="Addresses for pods of each VM that is made here.")
@click.option("--max-pods", default=0, help="Pods of a node at most.  [default: as many as it has addresses]")
@click.option(
    "--kubernetes-bin",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    envvar="PODVNET_KUBERNETES_BIN",
    help="Where the programs of Kubernetes, etcd and CoreDNS are, besides PATH.",
)
@click.option(
    "--mode",
    type=click.Choice(["transparent", "bridge"]),
    default="transparent",
    show_default=True,
    help="How pods are attached.",
)
@click.option(
    "--proxy",
    type=click.Choice(["iptables", "nftables"]),
    default="iptables",
    show_default=True,
    help="How kube-proxy puts Services into the kernel.",
)
@click.option(
    "--service-range",
    metavar="PREFIX[,PREFIX]",
    help="Where Services get addresses from, of IPv4 and of IPv6.  [default: 10.96.0.0/16, and fd00:10:96::/112 where"
    " nodes have IPv6; others if these are taken]",
)
@click.option("--domain", default="cluster.local", show_default=True, help="The zone of the cluster's DNS.")
@click.option("--pause-image", help="The image of pods' sandboxes.  [default: made here]")
@click.option("--dns-image", help="The image of CoreDNS.  [default: made here]")
@click.option("--unsafe-no-fsync", is_flag=True, help="etcd does not wait for the disk: for tests.")
@json_option
def up(
    file: Path | None,
    control: str | None,
    named: tuple[str, ...],
    nodes: int,
    pods_per_node: int,
    max_pods: int,
    kubernetes_bin: Path | None,
    mode: str,
    proxy: str,
    service_range: str | None,
    domain: str,
    pause_image: str | None,
    dns_image: str | None,
    unsafe_no_fsync: bool,
    as_json: bool,
) -> None:
    """Bring a cluster up on VMs of the fabric: on those of FILE, on those that are up, or on new ones.

    Again, it goes on where it was left, and changes what is asked for anew.

    \b
    Examples:
      podvnet cluster up
      podvnet cluster up network.yaml --control vm0 --node vm1 --node vm2
      podvnet vm exec control -- kubectl get nodes
    """  # noqa: D301 - \b is click's mark for text that is not to be wrapped
    from podvnet.cluster import record, topology
    from podvnet.cluster.bring_up import Cluster
    from podvnet.cluster.fabric_vm import network_prefixes, vms
    from podvnet.cluster.image import ImageError
    from podvnet.cluster.readiness import NotReadyError
    from podvnet.cluster.settings import ClusterSettings, Images, PodMode, ProxyMode
    from podvnet.cluster.vm import Vm, VmError
    from podvnet.cluster.watchers import LIMIT, lacking

    def progress(what: str) -> None:
        if not as_json:
            click.echo(f"{what} …", err=True)

    programs = _find(kubernetes_bin, dns=dns_image is None, as_json=as_json)
    before = record.load(directory())
    control = control or (before.control if before else topology.CONTROL)
    names = named or (before.nodes if before else topology.node_names(nodes))
    short = lacking(len(names)) if before is None else 0
    if short:
        raise FailureError(
            f"the machine lets programs have too few watchers of files: {short} more are needed",
            f"sysctl -w {LIMIT}=1024",
            as_json=as_json,
        )
    brought_up = before is not None and before.brought_up
    if file or not client.running():
        brought_up = brought_up or not client.running()
        wanted = _resources(file, lambda: topology.topology(control, names, pods_per_node), as_json=as_json)
        client.ensure_running(progress)
        progress("bringing up the virtual network and the VMs")
        client.ask("POST", "/apply", wanted, as_json=as_json)
    status = client.ask("GET", "/status", as_json=as_json)
    facts = vms(status)
    _check(facts, control, names, as_json=as_json)
    own = Images()
    four, six = service_ranges(service_range, facts, names, network_prefixes(status), as_json=as_json)
    settings = ClusterSettings(
        facts[control].network,
        facts[control].address,
        four,
        domain,
        ProxyMode(proxy),
        PodMode(mode),
        Images(pause_image or own.pause, dns_image or own.dns),
        unsafe_no_fsync,
        six,
    )
    made = record.Record(settings, control, tuple(names), max_pods, brought_up)
    made.save(directory())
    machines = {name: Vm(name, command(name)) for name in (control, *names)}
    try:
        Cluster(made, directory(), machines, facts, programs).up(progress)
    except (VmError, NotReadyError, ImageError) as error:
        remedy = "`podvnet cluster up` goes on from here; logs are in /var/log of each VM"
        raise FailureError(str(error), remedy, as_json=as_json) from None
    if as_json:
        print_json({"control": control, "nodes": list(names), "server": settings.server})
        return
    click.echo(
        f"up. `podvnet vm exec {control} -- kubectl get nodes` asks it, `podvnet cluster status` shows it,"
        " `podvnet cluster down` ends it."
    )


def _find(folder: Path | None, *, dns: bool, as_json: bool) -> Programs:
    from podvnet.cluster import programs

    wanted = (*programs.CONTROL, *programs.NODE, *((programs.DNS,) if dns else ()), *programs.SYSTEM)
    try:
        return programs.find(folder, wanted=wanted)
    except programs.MissingProgramsError as error:
        raise FailureError(
            str(error), "--kubernetes-bin names a directory that has those of Kubernetes", as_json=as_json
        ) from None


def _resources(
    file: Path | None, default: Callable[[], list[dict[str, Any]]], *, as_json: bool
) -> list[dict[str, Any]]:
    from podvnet.fabric import resource_file
    from podvnet.model.arm_error import ArmErrorsError

    try:
        return resource_file.read(file) if file else resource_file.parse(json.dumps({"resources": default()}), "it")
    except ArmErrorsError as refusal:
        details = [error.document() for error in refusal.errors]
        raise FailureError(f"{file} is not a file of resources", "", details=details, as_json=as_json) from None


def _check(facts: Mapping[str, VmFacts], control: str, names: tuple[str, ...], *, as_json: bool) -> None:
    """Refuse VMs that a cluster cannot be on."""
    absent = [name for name in (control, *names) if name not in facts]
    if absent:
        known = ", ".join(sorted(facts)) or "none"
        raise FailureError(
            f"there is no VM {absent[0]!r} that runs (there are: {known})",
            "--control and --node name the VMs",
            as_json=as_json,
        )
    if control in names:
        raise FailureError(f"{control} cannot be a node as well", "name another VM with --control", as_json=as_json)
    poor = [name for name in names if facts[name].pool < 1]
    if poor:
        raise FailureError(
            f"the NIC of {poor[0]} has no address for pods", "give it secondary ip-configurations", as_json=as_json
        )


def service_ranges(
    wanted: str | None, facts: Mapping[str, VmFacts], names: tuple[str, ...], network: list[Any], *, as_json: bool
) -> tuple[IPv4Network, IPv6Network | None]:
    """Where Services get addresses from; of IPv6 when all nodes have it, unless only IPv4 is asked for."""
    from podvnet.cluster.settings import SettingsError, service_range, service_range6

    four, six = _prefixes(wanted, as_json=as_json)
    mute = next((name for name in names if not facts[name].speaks_ipv6), "")
    if six and mute:
        raise FailureError(
            f"Services cannot have addresses of {six}: {mute} has no IPv6 for itself and pods",
            "give the NIC of each node ip-configurations of IPv6: one for the VM, further ones for pods",
            as_json=as_json,
        )
    try:
        return service_range(network, four), None if mute or (four and not six) else service_range6(network, six)
    except SettingsError as error:
        raise FailureError(str(error), as_json=as_json) from None


def _prefixes(wanted: str | None, *, as_json: bool) -> tuple[IPv4Network | None, IPv6Network | None]:
    """What ``--service-range`` says: at most one prefix of each IP version."""
    four: IPv4Network | None = None
    six: IPv6Network | None = None
    for text in wanted.split(",") if wanted else ():
        try:
            found = ip_network(text)
        except ValueError as error:
            raise FailureError(f"{text!r} is not a prefix: {error}", as_json=as_json) from None
        if isinstance(found, IPv4Network) and four is None:
            four = found
        elif isinstance(found, IPv6Network) and six is None:
            six = found
        else:
            raise FailureError(f"{wanted} has two prefixes of IPv{found.version}", as_json=as_json)
    return four, six
