"""Where a cluster's load balancers are to be, as far as nobody says: where the VM is that the controller runs on."""

from __future__ import annotations

import asyncio

import structlog

from podvnet.azure.error import SourceError, bad_document
from podvnet.azure.imds import fetch_instance
from podvnet.azure.resource_manager import COMPUTE_VERSION, ResourceManager
from podvnet.kube.edge import ManagerEdge
from podvnet.kube.home import Home
from podvnet.kube.part_names import PartNames
from podvnet.model.resource_id import ResourceId, Scope, parse

_RETRY = 5.0

_log = structlog.get_logger()


async def await_home(
    edge: ManagerEdge, names: PartNames, *, subnet: str, group: str, balancers: tuple[str, str]
) -> Home:  # fmt: skip
    """Find it as :func:`find_home` does, as often as it takes.

    Raises:
        SourceError: it cannot be found out, and could not later.
    """
    while True:
        try:
            return await edge.ask(
                lambda manager: find_home(manager, names, subnet=subnet, group=group, balancers=balancers)
            )
        except SourceError as error:
            if not error.retryable:
                raise
            wait = error.retry_after or _RETRY
            _log.warning("not begun yet", error=str(error), wait=wait)
            await asyncio.sleep(wait)


def find_home(
    manager: ResourceManager, names: PartNames, *, subnet: str, group: str, balancers: tuple[str, str]
) -> Home:  # fmt: skip
    """Find where things are to be made.

    Args:
        manager: the resource manager.
        names: of the cluster's parts.
        subnet: the id of that of internal frontends; empty: that of this VM.
        group: the resource group of load balancers and public addresses; empty: that of this VM, or, when the subnet is
            given, of its virtual network.
        balancers: the names of the public and of the internal load balancer; empty for the usual ones.

    Raises:
        SourceError: it cannot be found out.
    """
    if subnet:
        try:
            found = parse(subnet)
        except ValueError as error:
            raise SourceError(f"{error}", "give the full id of the subnet", retryable=False) from error
        scope = Scope(found.subscription, group or found.resource_group)
    else:
        machine = fetch_instance().resource_id
        found = _subnet_of(manager, machine)
        scope = Scope(machine.subscription, group or machine.resource_group)
    network = manager.get(found.parent).document
    usual = f"{names.cluster}-pods", f"{names.cluster}-pods-internal"
    public, internal = (given or default for given, default in zip(balancers, usual, strict=True))
    return Home(names, scope, str(network["location"]), found, (public, internal))


def _subnet_of(manager: ResourceManager, machine: ResourceId) -> ResourceId:
    """The subnet of the first address of a VM's primary NIC."""
    if machine.type.lower() != "microsoft.compute/virtualmachines":
        raise SourceError(
            f"{machine} is of a scale set", "say which subnet internal load balancers are in (--subnet)", False
        )  # fmt: skip
    try:
        nics = manager.get(machine, COMPUTE_VERSION).document["properties"]["networkProfile"]["networkInterfaces"]
        primary = next((each for each in nics if each.get("properties", {}).get("primary")), nics[0])
        configurations = manager.get(parse(primary["id"])).document["properties"]["ipConfigurations"]
        first = next((each for each in configurations if each["properties"].get("primary")), configurations[0])
        return parse(first["properties"]["subnet"]["id"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise bad_document(str(machine), f"{type(error).__name__}: {error}") from error
