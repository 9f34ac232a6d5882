"""What is asked for pods, as JSON for people and orchestrators."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from podvnet.agent.grant_store import GrantStore
from podvnet.azure.error import SourceError
from podvnet.model.attachment import AttachmentKey
from podvnet.model.nic_membership import NicMembership
from podvnet.model.pod_grant import PodGrant


def report(
    store: GrantStore,
    nic: NicMembership | None,
    refused: Mapping[tuple[str, str], SourceError],
    obstacle: SourceError | None,
) -> list[dict[str, Any]]:
    """Every ask: what there is of it now, and what is noted for a pod to come.

    Keys: ``pod``, ``ifname``, ``address`` (empty while none is known), ``state`` (``noted``: to be asked when the pod
    comes; ``asked``; ``granted``; ``kept``: for the pod's name; ``leaving``), ``container``, ``ask``, ``publicAddress``
    (empty when it has none, or it is not read yet), ``expires`` (Unix time or null), ``obstacle`` and ``remedy``.

    Args:
        store: the grants.
        nic: as it was last seen.
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
            "publicAddress": str((nic and nic.public_of(each.address)) or ""),
            "expires": each.expires,
        }
        for each in store.grants.values()
    ]
    known = {(each["pod"], each["ifname"]) for each in found}
    for (pod, ifname), ask in store.asks.items():
        if (pod, ifname) not in known:
            noted = {"pod": pod, "ifname": ifname, "address": "", "state": "noted", "container": ""}
            found.append(noted | {"ask": ask.values(), "publicAddress": "", "expires": None})
    for each in found:
        error = refused.get((each["pod"], each["ifname"]))
        if error is None and each["state"] in {"asked", "leaving"}:
            error = obstacle
        each["obstacle"], each["remedy"] = (error.message, error.remedy) if error else ("", "")
    return found


def granted(
    store: GrantStore, nic: NicMembership | None, pending: Collection[AttachmentKey]
) -> list[tuple[PodGrant, str]]:
    """What attached pods have of what was asked for them, each with its public address.

    One whose public address is still to be read is left out.

    Args:
        store: the grants.
        nic: as it was last seen.
        pending: the attachments that are not there yet.
    """
    found = []
    for each in store.grants.values():
        if each.holder is None or not each.settled or each.holder in pending:
            continue
        public = nic.public_of(each.address) if nic else None
        if public is not None or not each.ask.public:
            found.append((each, str(public or "")))
    return found
