"""A pod's attachment to the virtual network, and the VM it happens on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from podvnet.model.address import Address, Interface, Mac, Prefix


class Mode(StrEnum):
    """How a pod is joined to the VM's NIC."""

    TRANSPARENT = "transparent"
    """Routed: a veth pair and a host route per pod."""
    BRIDGE = "bridge"
    """The NIC and the pods are ports of one software bridge."""
    TUNNEL = "tunnel"
    """As bridge, but pod to pod on one VM goes through the virtual network, so that its rules apply."""


LINK_PREFIX = "azv"
"""Host ends of pods' veth pairs are named so, as the original plug-in's are."""
OFFER_PREFIX = "ctr"
"""Container ends are named so while they lie in the VM's own namespace for an engine to take."""
ENGINES_IFNAME = "eth/"
"""Stands for the interface's name in the key of an attachment whose container end an engine names and configures.

No interface can have this name, so no attachment of CNI has such a key.
"""
_FIRST_LINK_INDEX = 1 << 20

BRIDGE_INDEX = (1 << 20) - 1
"""The index of the software bridge; above every index the kernel chooses, below those of pods."""


@dataclass(frozen=True, slots=True)
class AttachmentKey:
    """What the CNI specification identifies an attachment by."""

    network: str
    container: str
    ifname: str

    def __str__(self) -> str:
        return f"{self.ifname} of {self.container} on {self.network}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """One interface of one pod.

    Attributes:
        number: unique while the VM is up; the link's index and name come from it.
        addresses: at most one of each IP version, with the subnet's prefix length.
        gateways: the next hop of each address, in the same order.
    """

    number: int
    key: AttachmentKey
    mode: Mode
    mac: Mac
    mtu: int
    addresses: tuple[Interface, ...]
    gateways: tuple[Address, ...]

    @property
    def link_index(self) -> int:
        """The index of both ends of the pod's veth pair, each in its own namespace."""
        return _FIRST_LINK_INDEX + self.number

    @property
    def link_name(self) -> str:
        """The name of the host end. Never used twice, so a link that waits for deletion is in nobody's way."""
        return LINK_PREFIX + self._digest

    @property
    def offered(self) -> bool:
        """Whether an engine takes the container end from the VM's namespace, and names and configures it."""
        return self.key.ifname == ENGINES_IFNAME

    @property
    def offered_name(self) -> str:
        """The name of the container end until an engine has taken it, and after it gave it back."""
        return OFFER_PREFIX + self._digest

    @property
    def _digest(self) -> str:
        text = f"{self.number}\0{self.key.network}\0{self.key.container}\0{self.key.ifname}"
        return hashlib.sha256(text.encode()).hexdigest()[:11]

    @property
    def label(self) -> str:
        """What is written on the host end, so that the kernel alone tells whose it is (``ip link`` shows it)."""
        return f"{self.mode} {self.key.ifname} {self.key.container} {self.key.network}"


def is_pods_index(index: int) -> bool:
    """Tell whether an interface index is one that attachments are given."""
    return index > _FIRST_LINK_INDEX


def number_of(index: int) -> int:
    """The number of the attachment whose link has this index."""
    return index - _FIRST_LINK_INDEX


def read_label(index: int, label: str) -> tuple[int, AttachmentKey, Mode] | None:
    """The number, key and mode of the attachment whose link has this index and label; None for a foreign link."""
    parts = label.split(" ")
    if len(parts) != 4 or parts[0] not in set(Mode) or not is_pods_index(index):
        return None
    mode, ifname, container, network = parts
    return number_of(index), AttachmentKey(network, container, ifname), Mode(mode)


@dataclass(frozen=True, slots=True)
class Node:
    """The VM, as far as attaching a pod must know it.

    Attributes:
        nic_name, nic_index, nic_mac: the primary NIC.
        primary: the NIC's primary address of each IP version that the VM uses.
        subnets: the subnets the NIC is in.
        mtu: bytes of an IP packet on the NIC.
    """

    nic_name: str
    nic_index: int
    nic_mac: Mac
    primary: tuple[Address, ...]
    subnets: tuple[Prefix, ...]
    mtu: int

    @property
    def has_ipv6(self) -> bool:
        """Whether the NIC has an IPv6 address, without which no pod has one."""
        return any(address.version == 6 for address in self.primary)
