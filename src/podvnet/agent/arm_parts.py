"""The agent's parts that speak to the resource manager: what grows the pool, grants asks of pods, reads groups.

Each has a connection of its own, as each asks in a thread of its own. Imported only by an agent that has one of them,
at its start and not when it first asks: importing takes 0.2 s of every thread's time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from podvnet.agent import grant_nic, own_nic
from podvnet.agent.enforcement import Enforcement
from podvnet.agent.grant_store import GRANTS, GrantStore
from podvnet.agent.group_source import GroupSource
from podvnet.agent.ledger import Ledger
from podvnet.agent.pod_grants import PodGrants
from podvnet.agent.pool_growth import GrowthSettings, PoolGrowth
from podvnet.agent.reserved_addresses import ReservedAddresses
from podvnet.azure.resource_manager import ENDPOINT, ResourceManager
from podvnet.linux.executor import Executor
from podvnet.plan.pool_target import Shape


def pool_growth(settings: GrowthSettings, ledger: Ledger, rest: float, look: Callable[[float], None]) -> PoolGrowth:
    """Make what grows the pool.

    Args:
        settings: how, and where the resource manager is.
        ledger: of the agent.
        rest: seconds that a released address is left alone.
        look: has the platform asked often, for so many seconds at most.
    """
    manager = _manager(settings)
    return PoolGrowth(
        ledger,
        settings.policy,
        rest,
        connect=lambda mac: own_nic.find(manager, mac, block=settings.policy.shape is Shape.BLOCK),
        look=look,
    )


def pod_grants(
    settings: GrowthSettings, ledger: Ledger, state: Path, rest: float, look: Callable[[float], None]
) -> PodGrants:
    """Make what carries out what is asked for pods; ``state`` is where grants are kept, the rest as above."""
    manager = _manager(settings)
    return PodGrants(
        GrantStore(state / GRANTS),
        ReservedAddresses(ledger),
        rest,
        connect=lambda mac: grant_nic.find(manager, mac),
        look=look,
    )


def enforcement(settings: GrowthSettings, executor: Executor, ledger: Ledger, interval: float) -> Enforcement:
    """Make what filters between pods by security groups, which are read every ``interval`` seconds."""
    return Enforcement(executor, ledger, GroupSource(_manager(settings)).read, interval)


def _manager(settings: GrowthSettings) -> ResourceManager:
    return ResourceManager(settings.endpoint or ENDPOINT, settings.ca, identity=settings.identity)
