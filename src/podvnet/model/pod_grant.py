"""What has been asked for a pod, as the agent keeps it until nothing of it is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Self

from podvnet.model.attachment import AttachmentKey
from podvnet.model.pod_ask import PodAsk


class GrantState(StrEnum):
    """How far a grant has come."""

    ASKED = "asked"
    """The NIC is to have what is wanted; nobody knows how far that is."""
    GRANTED = "granted"
    """The resource manager has said that it has."""
    LEAVING = "leaving"
    """Nothing of it is wanted any more."""


@dataclass(frozen=True, slots=True)
class PodGrant:
    """One address and what is asked for it.

    Attributes:
        address: known before anything is written.
        pod: ``namespace/name``, or empty when the runtime did not say.
        ifname: the interface in the pod.
        holder: the attachment; None for an address that is kept for the pod's name.
        ask: what; without a holder, what there may still be of an earlier one.
        state: how far it has come.
        expires: Unix time after which an address is not kept without a holder; None for never.
        public: the name of the public address that is made for it, until it is deleted.
        kept: the address is kept for the pod's name when the holder goes: it has once been attached, or reserved.
        uid: which pod of that name the holder is, or empty when the runtime did not say.
    """

    address: IPv4Address
    pod: str
    ifname: str
    holder: AttachmentKey | None
    ask: PodAsk
    state: GrantState = GrantState.ASKED
    expires: float | None = None
    public: str = ""
    kept: bool = False
    uid: str = ""

    @property
    def settled(self) -> bool:
        """Whether the NIC need not be looked at."""
        return self.state is GrantState.GRANTED

    def leaving(self) -> Self:
        """The same when nothing of it is wanted any more."""
        return replace(self, holder=None, state=GrantState.LEAVING, expires=None, uid="")
