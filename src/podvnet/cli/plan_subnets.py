"""``podvnet plan subnets``: how large a subnet must be for nodes and pods, and which of a network's are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from podvnet.cli import client
from podvnet.cli.output import FailureError, print_json, print_table

if TYPE_CHECKING:
    from podvnet.model.address import Prefix
    from podvnet.plan.subnet_sizing import Need, SubnetUse, Surge

_ENDPOINT = "https://management.azure.com"
_OWN_NAMES = frozenset(
    {"gatewaysubnet", "azurefirewallsubnet", "azurefirewallmanagementsubnet", "azurebastionsubnet", "routeserversubnet"}
)
"""Subnets that Azure keeps for a service by their names. Source: each service's document."""
_POOL = re.compile(r"(?P<name>[a-z0-9-]+)=(?P<nodes>\d{1,5})x(?P<pods>\d{1,5})", re.IGNORECASE)
_SURGE = re.compile(r"(\d{1,5})(%?)")


@click.command()
@click.option("--nodes", type=click.IntRange(1), help="How many nodes.")
@click.option("--pods", type=click.IntRange(1), default=110, show_default=True, help="Of each node at most: maxPods.")
@click.option("--pool", "pools", multiple=True, metavar="NAME=NODESxPODS", help="Nodes with a subnet of their own.")
@click.option(
    "--surge",
    default="10%",
    show_default=True,
    help="Nodes beyond that while images are upgraded: a number, or percent.",
)
@click.option(
    "--pool-shape", type=click.Choice(["batch", "block"]), default="batch", show_default=True, help="As of the agent."
)
@click.option("--ipv6", is_flag=True, help="Nodes and pods have IPv6 addresses as well.")
@click.option("--others", type=click.IntRange(0), default=0, help="Addresses for what else is there: load balancers, …")
@click.option("--network", default="", help="Check this virtual network: a name on the fabric, or an id.")
@click.option("--subnet", default="", help="Check only this subnet of it.")
@click.option(
    "--arm-endpoint",
    default=_ENDPOINT,
    show_default=True,
    envvar="PODVNET_ARM_ENDPOINT",
    help="For a network by its id.",
)
@click.option(
    "--arm-ca", type=click.Path(path_type=Path, exists=True), envvar="PODVNET_ARM_CA", help="Whom to trust for it."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def subnets(
    nodes: int | None,
    pods: int,
    pools: tuple[str, ...],
    surge: str,
    pool_shape: str,
    ipv6: bool,
    others: int,
    network: str,
    subnet: str,
    arm_endpoint: str,
    arm_ca: Path | None,
    as_json: bool,
) -> None:
    """Say how large a subnet must be for nodes and their pods; with --network, which subnets have room for them.

    Nodes that are there already are part of what a subnet holds; --nodes are those to come.

    \b
    Examples:
      podvnet plan subnets --nodes 10 --pods 110
      podvnet plan subnets --pool web=20x60 --pool jobs=5x250 --surge 2
      podvnet plan subnets --nodes 3 --network hub
    """  # noqa: D301
    from podvnet.plan.pool_target import Shape
    from podvnet.plan.subnet_sizing import Need, SizingError, check_together

    wanted = {"nodes": (nodes, pods)} if nodes else {}
    for text in pools:
        match = _POOL.fullmatch(text)
        if match is None:
            raise FailureError(f"--pool {text!r} is not of the form NAME=NODESxPODS", "for example web=20x60")
        wanted[match["name"]] = int(match["nodes"]), int(match["pods"])
    if not wanted:
        raise FailureError("there is nothing to plan", "say --nodes, or --pool NAME=NODESxPODS", as_json=as_json)
    try:
        shape, more = Shape(pool_shape), _surge(surge)
        needs = {name: Need(count, each, more, shape, ipv6, others) for name, (count, each) in wanted.items()}
        check_together(needs.values())
    except SizingError as error:
        raise FailureError(
            str(error), "run fewer pods on a node, or use more virtual networks", as_json=as_json
        ) from None
    found = _network(network, arm_endpoint, arm_ca, as_json=as_json) if network else None
    document = {"pools": [_described(name, need) for name, need in needs.items()]}
    if found is not None:
        document |= _checked(needs, *found, only=subnet, as_json=as_json)
    if as_json:
        print_json(document)
    else:
        _show(document)
    unplaced = [each["pool"] for each in document.get("placements", ()) if not each["subnets"]]
    if unplaced:
        # Also with --json: what was found is printed, and what is wrong with it is for people.
        raise FailureError(f"no subnet has room for {', '.join(unplaced)}", "the proposals say what has")


def _surge(text: str) -> Surge:
    from podvnet.plan.subnet_sizing import Surge

    match = _SURGE.fullmatch(text)
    if match is None:
        raise FailureError(f"--surge {text!r} is no number of nodes, nor percent", "for example 1, or 33%")
    return Surge(int(match[1]), bool(match[2]))


def _described(name: str, need: Need) -> dict[str, Any]:
    prefixes = [f"/{need.length}", *(["/64"] if need.ipv6 else [])]
    return {
        "name": name,
        "nodes": need.nodes,
        "surge": need.every_node - need.nodes,
        "podsPerNode": need.pods,
        "addresses": need.addresses,
        "smallestSubnet": prefixes,
        "configurationsPerNode": need.configurations,
    }


def _checked(
    needs: dict[str, Need], spaces: list[Prefix], uses: list[SubnetUse], *, only: str, as_json: bool
) -> dict[str, Any]:
    from podvnet.plan.subnet_sizing import judge, room

    chosen = [each for each in uses if only.lower() in {"", each.name.lower()}]
    if not chosen:
        raise FailureError(
            f"the virtual network has no subnet {only!r}",
            f"it has {', '.join(each.name for each in uses)}",
            as_json=as_json,
        )
    taken = [prefix for each in uses for prefix in each.prefixes]
    placements = []
    for name, need in needs.items():
        verdicts = [judge(need, each) for each in chosen]
        lengths = [need.length, *([64] if need.ipv6 else [])]
        proposed = [room(spaces, taken, length) for length in lengths]
        fits = [each.subnet.name for each in verdicts if each.fits]
        placements.append(
            {
                "pool": name,
                "subnets": fits,
                "refusals": {each.subnet.name: each.why for each in verdicts if not each.fits},
                "proposal": _proposal(name, lengths, proposed) if not fits else "",
            }
        )
    return {"subnets": [_use(each) for each in chosen], "placements": placements}


def _proposal(name: str, lengths: list[int], proposed: list[Prefix | None]) -> str:
    if all(proposed):
        return f"make a subnet {name} with {' and '.join(map(str, proposed))}, which is free"
    missing = ", ".join(f"/{length}" for length, prefix in zip(lengths, proposed, strict=True) if prefix is None)
    return f"no {missing} is free in the virtual network: add an address prefix to it first"


def _use(subnet: SubnetUse) -> dict[str, Any]:
    prefixes = [str(each) for each in subnet.prefixes]
    return {"name": subnet.name, "prefixes": prefixes, "size": subnet.size, "held": subnet.used, "free": subnet.free}


def _show(document: dict[str, Any]) -> None:
    print_table(
        "Pools",
        ["pool", "nodes", "surge", "pods a node", "addresses", "smallest subnet"],
        (
            (
                each["name"],
                each["nodes"],
                each["surge"],
                each["podsPerNode"],
                each["addresses"],
                " ".join(each["smallestSubnet"]),
            )
            for each in document["pools"]
        ),
    )
    if "placements" not in document:
        return
    names = [each["pool"] for each in document["placements"]]
    print_table(
        "Subnets",
        ["subnet", "prefixes", "held", "free", *names],
        (
            (
                each["name"],
                "\n".join(each["prefixes"]),
                each["held"],
                each["free"],
                *(place["refusals"].get(each["name"], "fits") for place in document["placements"]),
            )
            for each in document["subnets"]
        ),
    )
    for each in document["placements"]:
        if each["proposal"]:
            click.echo(f"{each['pool']}: {each['proposal']}")


# -- the virtual network


def _network(name: str, endpoint: str, ca: Path | None, *, as_json: bool) -> tuple[list[Prefix], list[SubnetUse]]:
    """The address space of a virtual network, and its subnets as they are.

    Raises:
        FailureError: it cannot be read.
    """
    from podvnet.azure.error import SourceError
    from podvnet.azure.resource_manager import ResourceManager
    from podvnet.model.resource_id import Scope, make, parse

    try:
        if name.startswith("/"):
            network = parse(name)
            manager = ResourceManager(endpoint, ca, credential=_credential(endpoint, ca, as_json=as_json))
        else:
            access = client.ask("POST", "/principals", {"name": "podvnet-plan", "role": "Reader"}, as_json=as_json)
            scope = Scope(access["subscription"])
            network = make(scope, "Microsoft.Network/virtualNetworks", name)
            manager = ResourceManager(access["endpoint"], Path(access["ca"]), credential=_fabrics(access))
        try:
            document = manager.get(network).document
            usages = {each["id"].lower(): int(each["currentValue"]) for each in manager.read_below(network, "usages")}
        finally:
            manager.close()
    except (SourceError, ValueError) as error:
        message, remedy = (error.message, error.remedy) if isinstance(error, SourceError) else (str(error), "")
        raise FailureError(message, remedy, as_json=as_json) from None
    return _read(document, usages)


def _read(document: dict[str, Any], usages: dict[str, int]) -> tuple[list[Prefix], list[SubnetUse]]:
    from ipaddress import ip_network

    from podvnet.plan.subnet_sizing import SubnetUse

    properties = document["properties"]
    spaces = [ip_network(each) for each in properties["addressSpace"]["addressPrefixes"]]
    uses = []
    for each in properties.get("subnets") or ():
        own = each["properties"]
        prefixes = own.get("addressPrefixes") or [own["addressPrefix"]]
        kept = each["name"].lower() in _OWN_NAMES or bool(own.get("delegations"))
        used = usages.get(each["id"].lower(), 0)
        uses.append(SubnetUse(each["name"], tuple(ip_network(prefix) for prefix in prefixes), used, kept))
    return spaces, uses


def _credential(endpoint: str, ca: Path | None, *, as_json: bool) -> Any:
    """What a person, or a pipeline, is logged in with.

    Raises:
        FailureError: nobody is.
    """
    import logging

    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import DefaultAzureCredential

    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"connection_verify": str(ca)} if ca else {}
    # Whoever has an authority of their own has told us whom to trust; Microsoft need not be asked about it.
    options["disable_instance_discovery"] = "AZURE_AUTHORITY_HOST" in os.environ
    credential = DefaultAzureCredential(exclude_interactive_browser_credential=True, **options)
    try:
        credential.get_token(f"{endpoint.rstrip('/')}/.default")
    except ClientAuthenticationError as error:
        why = next((line for line in reversed(error.message.splitlines()) if "Credential:" in line), error.message)
        raise FailureError(
            f"nobody is logged in to {endpoint}: {why.strip()}",
            "az login, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
            as_json=as_json,
        ) from None
    return credential


def _fabrics(access: dict[str, Any]) -> Any:
    """What the fabric itself gives."""
    from azure.identity import ClientSecretCredential

    return ClientSecretCredential(
        access["tenant"],
        access["client"],
        access["secret"],
        authority=access["endpoint"],
        disable_instance_discovery=True,
        connection_verify=access["ca"],
    )
