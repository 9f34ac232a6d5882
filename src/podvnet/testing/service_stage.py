"""A cluster and a resource manager in memory, and what serves the one's Services by the other."""

from __future__ import annotations

import asyncio
from typing import Any

from podvnet.kube.holdings import Holdings
from podvnet.kube.home import Document, Home
from podvnet.kube.part_names import PartNames
from podvnet.kube.service_rounds import Done, InterruptedRoundError, ServiceRounds
from podvnet.model.resource_id import Scope, parse
from podvnet.testing.memory_cluster import MemoryCluster
from podvnet.testing.memory_edge import MemoryEdge

RESOURCES = """
resources:
- type: Microsoft.Network/networkSecurityGroups
  name: guard
  properties:
    securityRules:
    - name: theirs
      properties:
        priority: 501
        direction: Inbound
        access: Allow
        protocol: Tcp
        sourceAddressPrefix: 203.0.113.0/24
        sourcePortRange: "*"
        destinationAddressPrefix: "*"
        destinationPortRange: "22"
- {type: Microsoft.Network/publicIPAddresses, name: theirs}
- {type: Microsoft.Network/publicIPAddresses, name: theirs6, properties: {publicIPAddressVersion: IPv6}}
- {type: Microsoft.Network/publicIPPrefixes, name: run, properties: {prefixLength: 30}}
- {type: Microsoft.Network/publicIPPrefixes, name: run6, properties: {prefixLength: 126, publicIPAddressVersion: IPv6}}
- type: Microsoft.Network/virtualNetworks
  name: net
  properties:
    addressSpace: {addressPrefixes: [10.1.0.0/16, "fd00:1::/48"]}
    subnets:
    - name: nodes
      properties:
        addressPrefixes: [10.1.0.0/24, "fd00:1::/64"]
        networkSecurityGroup: {id: networkSecurityGroups/guard}
    - {name: fronts, properties: {addressPrefixes: [10.1.8.0/24, "fd00:1:0:8::/64"]}}
    - {name: bare, properties: {addressPrefix: 10.1.9.0/24}}
"""
"""Pods are in nodes (and bare, which has no security group); fronts is for internal addresses."""
SUBNET = "virtualNetworks/net/subnets/nodes"


class ServiceStage:
    """The two, and a controller that is begun anew by :meth:`restart`.

    Attributes:
        now: the controller's clock.
    """

    def __init__(self, resources: str = RESOURCES) -> None:
        self.cluster = MemoryCluster()
        self.edge = MemoryEdge(resources)
        scope = Scope()
        self.home = Home(PartNames("test"), scope, "local", parse(SUBNET, scope), ("lb", "lb-internal"))
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        """A controller that knows nothing."""
        holdings = Holdings(self.edge, self.home)
        self.rounds = ServiceRounds(self.home, holdings, self.cluster, clock=lambda: self.now)
        self.holdings = holdings

    def round(self, *, tidy: bool = True) -> Done:
        """One round.

        Raises:
            InterruptedRoundError: it is not finished.
        """
        return asyncio.run(self.rounds.carry_out(self.cluster.chart(), tidy=tidy))

    def settle(self, rounds: int = 20) -> int:
        """Rounds until there is nothing more to do; return how many requests wrote something.

        Raises:
            AssertionError: there always is.
        """
        before = len(self.edge.writes)
        for _ in range(rounds):
            self.now += 1000
            try:
                done = self.round()
            except InterruptedRoundError:
                continue
            if not done.writes:
                return len(self.edge.writes) - before
        msg = f"after {rounds} rounds there is still something to write"
        raise AssertionError(msg)

    def balancer(self, *, internal: bool = False) -> Document:
        """The properties of a load balancer; empty when it is not there."""
        found = self.edge.read(self.home.balancer(internal=internal))
        return found.document["properties"] if found else {}

    def rules(self, *, internal: bool = False) -> list[Document]:
        """The properties of its load balancing rules."""
        return [each["properties"] for each in self.balancer(internal=internal).get("loadBalancingRules", [])]

    def members(self, *, internal: bool = False) -> list[str]:
        """The members of all its pools."""
        return [
            each["properties"]["ipAddress"]
            for pool in self.balancer(internal=internal).get("backendAddressPools", [])
            for each in pool["properties"]["loadBalancerBackendAddresses"]
        ]

    def security(self) -> list[Document]:
        """The rules of the security group, each with its name, theirs left out."""
        group = self._named("networkSecurityGroups/guard")["securityRules"]
        return [{**each["properties"], "name": each["name"]} for each in group if each["name"] != "theirs"]

    def publics(self) -> dict[str, Document]:
        """Public addresses by name."""
        return {
            each["name"]: each
            for each in self.edge.world.documents.values()
            if each["type"].endswith("publicIPAddresses")
        }

    def leftovers(self) -> list[str]:
        """The ids of resources that were made for Services, and the names of rules."""
        found = [each["id"] for name, each in self.publics().items() if name.startswith("podvnet-")]
        for internal in (False, True):
            there = self.edge.read(self.home.balancer(internal=internal))
            found += [there.document["id"]] if there else []
        return found + [each["name"] for each in self.security()]

    def reasons(self, name: str) -> set[str]:
        """Of what is wrong with a Service."""
        return {each.reason for each in self.cluster.events.get(name, []) if each.warning}

    def _named(self, short: str) -> Any:
        found = self.edge.read(parse(short, Scope()))
        assert found is not None, short  # noqa: S101 - a test's own mistake
        return found.document["properties"]
