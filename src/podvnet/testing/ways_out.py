"""Every combination of ways to the internet at once: a subnet for each that subnets have, in each a VM.

What NICs have is changed for all of them together, so that a table of some hundred combinations takes a few changes.
The resources that are named are those of ``tests/kernel/outbound.yaml``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from podvnet.fabric import resource_file
from podvnet.fabric.arm.world import Document
from podvnet.testing.stage import Resources

ROUTES = ("", "none", "internet", "appliance")
"""Where the subnet's default route leads; the system's, where it is empty."""
BALANCERS = ("", "ruled", "implied", "disabled", "nics", "addresses", "nics+ruled")
"""The pools that an address is in."""
_POOLS = {
    "ruled": "loadBalancers/public/backendAddressPools/ruled",
    "implied": "loadBalancers/public/backendAddressPools/implied",
    "disabled": "loadBalancers/public/backendAddressPools/disabled",
    "nics": "loadBalancers/inner/backendAddressPools/nics",
}


@dataclass(frozen=True, slots=True)
class Home:
    """A subnet. ``gateway``: it has a NAT gateway; ``private``: it has no default outbound access."""

    route: str = ""
    gateway: bool = False
    private: bool = False

    @property
    def number(self) -> int:
        """Its own."""
        return HOMES.index(self)

    @property
    def name(self) -> str:
        """The name of the subnet, and of the VM there."""
        return f"cell{self.number}"

    def address(self, *, second: bool = False) -> str:
        """The first address of the VM there, or the second."""
        return f"10.1.{100 + self.number}.{51 if second else 11}"


HOMES = tuple(Home(*each) for each in itertools.product(ROUTES, (False, True), (False, True)))


@dataclass(frozen=True, slots=True)
class Cell:
    """What an address has to leave with.

    Attributes:
        own: a public address of its own.
        balancer: one of :data:`BALANCERS`.
        second: it is not the first of its NIC.
    """

    home: Home
    own: bool
    balancer: str
    second: bool = False

    @property
    def pools(self) -> list[str]:
        """The pools of NICs that it is in."""
        return [each for each in self.balancer.split("+") if each in _POOLS]

    def __str__(self) -> str:
        home = self.home
        words = [
            f"route {home.route}" * bool(home.route), "gateway" * home.gateway, "private" * home.private,
            "own" * self.own, self.balancer, "second" * self.second,
        ]  # fmt: skip
        return ", ".join(filter(None, words)) or "nothing"


CELLS = tuple(
    Cell(home, own, balancer, second)
    for balancer, own, home, second in itertools.product(BALANCERS, (False, True), HOMES, (False, True))
    # By routes that lead elsewhere the second address goes as the first does, and default access it has never.
    if not (second and (home.route or home.private))
)
"""Every combination, those of one state of the NICs beside each other."""


def resources(declared: Resources, *, own: bool, balancer: str) -> Resources:
    """What is declared, with a subnet and a VM for each home, whose NICs all have the same.

    Args:
        declared: the file's; it is changed.
        own: each address has a public one of its own.
        balancer: one of :data:`BALANCERS`.
    """
    network = declared["virtualNetworks/hub"]["properties"]
    network["subnets"] += [_subnet(home) for home in HOMES]
    if balancer == "addresses":
        pool = declared["loadBalancers/addressed"]["properties"]["backendAddressPools"][0]["properties"]
        every = [home.address(second=second) for home in HOMES for second in (False, True)]
        pool["loadBalancerBackendAddresses"] = [
            {"name": each.replace(".", "-"), "properties": {"ipAddress": each}} for each in every
        ]
    made = itertools.chain.from_iterable(_machine(home, own=own, balancer=balancer) for home in HOMES)
    return declared | _keyed(made)


def _subnet(home: Home) -> Document:
    properties: Document = {
        "addressPrefix": f"10.1.{100 + home.number}.0/24",
        "defaultOutboundAccess": not home.private,
    }
    if home.route:
        properties["routeTable"] = {"id": f"routeTables/{home.route}"}
    if home.gateway:
        properties["natGateway"] = {"id": "natGateways/gateway"}
    return {"name": home.name, "properties": properties}


def _machine(home: Home, *, own: bool, balancer: str) -> Iterator[Document]:
    """The VM of a home, its NIC, and the public addresses of that, used or not."""
    configurations: list[dict[str, Any]] = []
    for second in (False, True):
        name = f"{home.name}-{'second' if second else 'first'}"
        properties: dict[str, Any] = {
            "primary": not second,
            "subnet": {"id": f"virtualNetworks/hub/subnets/{home.name}"},
            "privateIPAddress": home.address(second=second),
            "privateIPAllocationMethod": "Static",
            "loadBalancerBackendAddressPools": [{"id": _POOLS[each]} for each in Cell(home, own, balancer).pools],
        }
        if own:
            properties["publicIPAddress"] = {"id": f"publicIPAddresses/{name}"}
        configurations.append({"name": name, "properties": properties})
        yield {
            "type": "Microsoft.Network/publicIPAddresses",
            "name": name,
            "sku": {"name": "Standard"},
            "properties": {"publicIPAllocationMethod": "Static"},
        }
    name = home.name
    yield {
        "type": "Microsoft.Network/networkInterfaces",
        "name": name,
        "properties": {"ipConfigurations": configurations},
    }
    nics = {"networkInterfaces": [{"id": f"networkInterfaces/{name}"}]}
    yield {"type": "Microsoft.Compute/virtualMachines", "name": name, "properties": {"networkProfile": nics}}


def _keyed(documents: Iterable[Document]) -> Resources:
    """Documents as a file's are: whole, by type and name."""
    whole = resource_file.parse(json.dumps({"resources": list(documents)}), "the ways out")
    return {f"{each['type'].rpartition('/')[2]}/{each['name']}": each for each in whole}
