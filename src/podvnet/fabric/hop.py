"""The places where packets can be watched, by name, as the kernel has them now.

They are read from namespaces and links rather than asked of the fabric process: packets flow without it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from podvnet.linux import namespace, rtnetlink_dump
from podvnet.linux.netlink import ROUTE, NetlinkSocket
from podvnet.plan import names

_NETWORK_PREFIX = names.PREFIX + "vnet-"
_NIC = "NIC "
"""What the description of a NIC's port starts with, before the NIC's name."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A place where packets pass.

    Attributes:
        name: what it is asked for by, e.g. ``hub:nic1``.
        namespace: the name of the network namespace.
        interface: there; empty for all interfaces.
        what: in words.
        aliases: other names.
    """

    name: str
    namespace: str
    interface: str
    what: str
    aliases: tuple[str, ...] = ()

    def answers_to(self, name: str) -> bool:
        """Tell whether this is a name of the hop; case does not count."""
        return name.lower() in {each.lower() for each in (self.name, *self.aliases)}


class UnknownHopError(Exception):
    """No hop has the name, or several have. The message says which there are, or which are meant."""


def hops() -> list[Hop]:
    """Everything packets can be watched at: NICs inside VMs, their ports, links to the internet, between networks."""
    found: list[Hop] = []
    for label in namespace.names(names.PREFIX):
        with namespace.opened(label) as descriptor:
            netlink = namespace.run_inside(descriptor, lambda: NetlinkSocket(ROUTE))
        with netlink:
            found += in_namespace(label, rtnetlink_dump.links(netlink))
    return found


def in_namespace(label: str, links: Sequence[rtnetlink_dump.Link]) -> list[Hop]:
    """The hops of one namespace."""
    cables = sorted((link for link in links if link.kind == "veth"), key=lambda link: link.index)
    if label == names.INTERNET:
        far = [Hop(f"internet:{link.name}", label, link.name, "a network's way out, seen outside") for link in cables]
        return [Hop("internet", label, "", "all links of the internet"), *far]
    if label.startswith(names.MACHINE_PREFIX):
        machine = label.removeprefix(names.MACHINE_PREFIX)
        nics = [link for link in cables if link.name.startswith("eth")]  # not the ports of its pods
        return [
            Hop(f"{machine}:{nic.name}", label, nic.name, f"inside VM {machine}", () if place else (machine,))
            for place, nic in enumerate(nics)
        ]
    if label.startswith(_NETWORK_PREFIX):
        network = label.removeprefix(_NETWORK_PREFIX)
        return [_of_network(network, label, link) for link in cables]
    return []


def find(name: str, known: Sequence[Hop]) -> Hop:
    """The hop of a name.

    Raises:
        UnknownHopError: there is none, or more than one.
    """
    meant = [hop for hop in known if hop.answers_to(name)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UnknownHopError(f"{name!r} may be any of {', '.join(hop.name for hop in meant)}")
    every = [each for hop in known for each in (hop.name, *hop.aliases)]
    near = difflib.get_close_matches(name.lower(), every, n=1, cutoff=0.5)
    hint = f"; is {near[0]!r} meant?" if near else ""
    raise UnknownHopError(f"there is nothing to capture at {name!r}{hint}")


def _of_network(network: str, label: str, link: rtnetlink_dump.Link) -> Hop:
    name = f"{network}:{link.name}"
    if link.alias.startswith(_NIC):
        nic = link.alias.removeprefix(_NIC)
        return Hop(
            name, label, link.name, f"the port of {link.alias}, as the network sees it", (f"{network}:{nic}", nic)
        )
    return Hop(name, label, link.name, link.alias or "a link from a peered network")
