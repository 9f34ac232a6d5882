"""The rules of Docker's containers, written whenever they are others."""

from __future__ import annotations

from podvnet.agent.docker.endpoint import Endpoint, read_endpoint
from podvnet.agent.docker.networks import Networks
from podvnet.agent.docker.reservations import is_endpoint
from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import Row, State
from podvnet.agent.wiring import Wiring
from podvnet.model.address import Prefix
from podvnet.model.attachment import Node
from podvnet.plan.docker_ruleset import TABLE, Container, docker_ruleset


class ContainerRules:
    """The table of published ports and internal networks. For the agent's one thread.

    Args:
        ledger: of the VM.
        wiring: writes the table.
        networks: tell which are internal.
    """

    def __init__(self, ledger: Ledger, wiring: Wiring, networks: Networks) -> None:
        self._ledger = ledger
        self._wiring = wiring
        self._networks = networks
        self._written: str | None = None

    def write_anew(self, node: Node) -> None:
        """Write what the ledger says, whatever stands there."""
        self._written = None
        self.follow(node)

    def follow(self, node: Node) -> None:
        """Write what the ledger says, unless it stands.

        Raises:
            RulesetError: the kernel refused; what was there stays.
        """
        rows = [row for row in self._ledger.rows() if is_endpoint(row) and row.state is State.ATTACHED]
        rules = docker_ruleset(node, [self._container(row) for row in rows])
        text = rules.text if rules else ""
        if text != self._written:
            self._wiring.write_table(TABLE, rules)
            self._written = text

    def _container(self, row: Row) -> Container:
        endpoint = read_endpoint(row)
        return Container(
            row.attachment.link_name,
            tuple(each.ip for each in row.attachment.addresses),
            endpoint.published(),
            self._confinement(row, endpoint),
        )

    def _confinement(self, row: Row, endpoint: Endpoint) -> tuple[Prefix, ...]:
        network = self._networks.find(row.attachment.key.network)
        if network is None:
            return endpoint.confinement()  # of a network that was lost, and whose containers were not
        return network.subnets if network.internal else ()
