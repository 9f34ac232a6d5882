"""What is asked for pods, as JSON for people and orchestrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podvnet.agent.grant_store import GrantStore
from podvnet.azure.error import SourceError


def report(
    store: GrantStore, refused: Mapping[tuple[str, str], SourceError], obstacle: SourceError | None
) -> list[dict[str, Any]]:
    """Every ask: what there is of it now, and what is noted for a pod to come.

    Keys: ``pod``, ``ifname``, ``address`` (empty while none is known), ``state`` (``noted``: to be asked when the pod
    comes; ``asked``; ``granted``; ``kept``: for the pod's name; ``leaving``), ``container``, ``ask``, ``expires`` (Unix
    time or null), ``obstacle`` and ``remedy``.

    Args:
        store: the grants.
        refused: by pod and interface, why an address is not kept.
        obstacle: what the writer waits for.
    """
    found: list[dict[str, Any]] = [
        {
            "pod": each.pod,
            "ifname": each.ifname,
            "address": str(each.address),
            "state": "kept" if each.holder is None and each.settled else str(each.state),
            "container": each.holder.container if each.holder else "",
            "ask": each.ask.values(),
            "expires": each.expires,
        }
        for each in store.grants.values()
    ]
    known = {(each["pod"], each["ifname"]) for each in found}
    for (pod, ifname), ask in store.asks.items():
        if (pod, ifname) not in known:
            noted = {"pod": pod, "ifname": ifname, "address": "", "state": "noted", "container": ""}
            found.append(noted | {"ask": ask.values(), "expires": None})
    for each in found:
        error = refused.get((each["pod"], each["ifname"]))
        if error is None and each["state"] in {"asked", "leaving"}:
            error = obstacle
        each["obstacle"], each["remedy"] = (error.message, error.remedy) if error else ("", "")
    return found
