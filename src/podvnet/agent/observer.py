"""How the agent stands: as JSON for people and programs, as metrics, and as what the Node is to say of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from podvnet.agent.address_watch import AddressWatch
from podvnet.agent.egress import Egress
from podvnet.agent.enforcement import Enforcement
from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import PoolCount
from podvnet.agent.pod_grants import PodGrants
from podvnet.agent.pool_growth import PoolGrowth, Prospect
from podvnet.agent.request_tally import RequestTally
from podvnet.agent.standing import Standing
from podvnet.plugin.error import CniError

if TYPE_CHECKING:
    from podvnet.agent.kubernetes import Kubernetes


class Observer:
    """For the agent's one thread.

    Args:
        standing, ledger, egress, growth, grants, enforcement, kubernetes: the parts of the agent; None for those it has
            not.
        addresses: whether they are about to run out.
        rest: seconds that a released address is left alone.
    """

    def __init__(
        self,
        standing: Standing,
        ledger: Ledger,
        egress: Egress,
        addresses: AddressWatch,
        rest: float,
        *,
        growth: PoolGrowth | None,
        grants: PodGrants | None,
        enforcement: Enforcement | None,
        kubernetes: Kubernetes | None,
    ) -> None:
        self._standing = standing
        self._ledger = ledger
        self._egress = egress
        self._addresses = addresses
        self._rest = rest
        self._growth = growth
        self._grants = grants
        self._enforcement = enforcement
        self._kubernetes = kubernetes

    def status(self) -> bytes:
        """How the agent stands, as JSON."""
        node = self._standing.node
        lost = self._ledger.missing_from_source()
        return json.dumps(
            {
                "ready": node is not None,
                "reason": "" if node else self._standing.reason,
                "remedy": "" if node else self._standing.remedy,
                "nic": None
                if node is None
                else {
                    "name": node.nic_name,
                    "mac": node.nic_mac,
                    "primary": [str(each) for each in node.primary],
                    "subnets": [str(each) for each in node.subnets],
                    "mtu": node.mtu,
                },
                "pool": self._pool(4),
                "pool6": self._pool(6),
                "growth": self._growth.report() if self._growth else None,
                "groups": self._enforcement.report() if self._enforcement else None,
                "kubernetes": self._kubernetes.report() if self._kubernetes else None,
                "attachments": [
                    {
                        "network": row.attachment.key.network,
                        "container": row.attachment.key.container,
                        "ifname": row.attachment.key.ifname,
                        "state": row.state,
                        "mode": "" if row.ipam_only else row.attachment.mode,
                        "addresses": [str(each.ip) for each in row.attachment.addresses],
                        "link": "" if row.ipam_only else row.attachment.link_name,
                        "pod": row.pod,
                        "lost": [str(each.ip) for each in row.attachment.addresses if each.ip in lost],
                    }
                    for row in self._ledger.rows()
                ],
                "dropped": self._egress.counters(),
            }
        ).encode()

    def metrics(self, obstacle: Callable[[], CniError | None], tally: RequestTally) -> str:
        """What is measured, as Prometheus' text.

        Args:
            obstacle: what STATUS says against attaching pods.
            tally: the requests.
        """
        from podvnet.agent.metrics import Readings, render  # noqa: PLC0415 - who collects none need not pay for it

        self.look()
        cluster = self._kubernetes.report()["obstacle"] == "" if self._kubernetes else None
        return render(
            Readings(
                ready=obstacle() is None,
                pools={version: self._count(version) for version in (4, 6)},
                figures=self._addresses.figures,
                low=self._addresses.low,
                attachments=self._ledger.tally(),
                tally=tally,
                dropped=self._egress.counters(),
                writes=self._growth.report()["writes"] if self._growth else None,
                asks=self._grants.tally() if self._grants else None,
                cluster=cluster,
            )
        )

    def look(self) -> None:
        """See whether addresses are about to run out, and have the Node say how they stand."""
        prospect = self._growth.prospect() if self._growth else Prospect()
        ceiling = self._growth.ceiling if self._growth else 0
        if self._standing.node is None:
            return
        self._addresses.see(self._count(4), ceiling, prospect)
        if self._kubernetes:
            self._kubernetes.follow(self._addresses.figures, prospect.obstacle.message if prospect.obstacle else "")

    def _count(self, version: int) -> PoolCount:
        return self._ledger.count(time.monotonic(), self._rest, version)

    def _pool(self, version: int) -> dict[str, Any]:
        count = self._count(version)
        return {"total": count.total, "held": count.held, "resting": count.resting, "free": count.free}
