"""Takes everything the agent left on a VM away: pods' links, tables, the software bridge, ledger, Docker's networks."""

from __future__ import annotations

import os
from pathlib import Path

from podvnet.agent.docker import forwarding
from podvnet.agent.docker.networks import FILE
from podvnet.agent.grant_store import GRANTS, GrantStore
from podvnet.agent.node import bridge_present, forget_way6, remove_bridge
from podvnet.linux import namespace, rtnetlink, rtnetlink_dump, ruleset
from podvnet.linux.executor import Executor
from podvnet.linux.reaper import GROUP
from podvnet.model.attachment import LINK_PREFIX
from podvnet.plan.attachment_program import HOST
from podvnet.plan.docker_ruleset import TABLE as DOCKER_TABLE
from podvnet.plan.node_ruleset import TABLE


class NotEmptyError(Exception):
    """Pods are attached."""


def remove_traces(run: Path, state: Path, *, force: bool) -> list[str]:
    """Remove what there is; return it in words.

    Args:
        run: the agent's directory on tmpfs.
        state: the one on disk. What pods have been granted stays there: it is undone by an agent that comes.
        force: also if pods are attached.

    Raises:
        NotEmptyError: pods are attached and ``force`` is not set; nothing was removed.
    """
    executor = Executor()
    descriptor = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    executor.lend(HOST, descriptor)
    os.close(descriptor)
    removed = []
    try:
        door = executor.door(HOST)
        links = [link for link in rtnetlink_dump.links(door.route) if link.name.startswith(LINK_PREFIX)]
        if links and not force:
            some = ", ".join(link.name for link in links[:3])
            msg = f"{len(links)} pods are attached ({some}{', …' if len(links) > 3 else ''})"
            raise NotEmptyError(msg)
        messages = [message for link in links for message in rtnetlink.retire(link.index, GROUP)]
        for error in door.route.transact([*messages, rtnetlink.delete_group(GROUP)] if links else []):
            if error is not None and not error.is_gone:
                raise error
        removed += [f"link {link.name}" for link in links]
        if bridge_present(executor):
            remove_bridge(executor)
            removed.append("the software bridge")
        forget_way6(executor)
        with namespace.entered(door.descriptor):
            ruleset.remove((*((family, TABLE) for family in ("inet", "arp", "bridge")), ("inet", DOCKER_TABLE)))
            forwarding.forget()
        removed.append("the nftables tables")
    finally:
        executor.close()
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm", "agent.lock", "agent.sock"):
        (run / name).unlink(missing_ok=True)
    kept = sorted(state.glob(f"{FILE}*"))
    for path in kept:
        path.unlink(missing_ok=True)
    if kept:
        removed.append(f"what was known of Docker's networks, in {state}")
    return [*removed, *forget_grants(state / GRANTS)]


def forget_grants(path: Path) -> list[str]:
    """Remove the file of grants if Azure holds nothing that it tells of; return that, or what it still tells."""
    if not path.exists():
        return []
    store = GrantStore(path)
    granted = sorted(store.grants)
    store.close()
    if granted:
        some = ", ".join(map(str, granted[:3])) + (", …" if len(granted) > 3 else "")
        return [
            f"all but what pods were granted at {some}: {path} tells it to an agent that comes, which takes it back"
        ]
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    return [f"{path}, which told of no grant"]
