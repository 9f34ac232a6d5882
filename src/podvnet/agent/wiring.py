"""Attachments in the kernel: built, checked, taken down, found again.

For the agent's one thread. Building is the executor's (all or nothing); taking down is its own, quicker way: elements
go at once, the link is retired and deleted later with others.
"""

from __future__ import annotations

import errno
import itertools
import sys
from ipaddress import ip_address, ip_interface

from podvnet.linux import namespace, rtnetlink, rtnetlink_dump, ruleset
from podvnet.linux.error import KernelError
from podvnet.linux.executor import Executor, write_sysctl
from podvnet.linux.netlink import ROUTE, NetlinkSocket
from podvnet.linux.observation import Observation
from podvnet.linux.reaper import GROUP, Reaper
from podvnet.linux.rtnetlink_dump import Link
from podvnet.model.address import Address, Mac
from podvnet.model.attachment import (
    LINK_PREFIX,
    OFFER_PREFIX,
    Attachment,
    AttachmentKey,
    is_pods_index,
    number_of,
    read_label,
)
from podvnet.model.kernel import Element, KernelObject, Neighbour, Ruleset, Step, Sysctl
from podvnet.plan.attachment_program import (
    HOST,
    POD,
    attach_steps,
    guard,
    host_side,
    offer_steps,
    pod_side,
    way_by_bridge,
)
from podvnet.plan.node_ruleset import TABLE

_GUARDS = (
    ("inet", "sources4"),
    ("inet", "sources6"),
    ("inet", "solicitors6"),
    ("inet", "autoconfigured"),
    ("inet", "pods4"),
    ("inet", "pods6"),
    ("arp", "sources4"),
    ("bridge", "sources4"),
    ("bridge", "sources6"),
    ("bridge", "delivery4"),
    ("bridge", "delivery6"),
    ("bridge", "local4"),
    ("bridge", "local6"),
    ("bridge", "tunnel_ports"),
)


class Wiring:
    """The kernel's side of the agent.

    Args:
        executor: knows the VM's namespace as ``host``.
        reaper: deletes retired links there.
    """

    def __init__(self, executor: Executor, reaper: Reaper) -> None:
        self._executor = executor
        self._reaper = reaper

    def build(self, attachment: Attachment, sandbox: int) -> None:
        """Make an attachment, wholly or not at all. ``sandbox`` is the pod's open namespace.

        Raises:
            KernelError: what was refused.
        """
        with self._executor.lent(POD, sandbox):
            for tries_left in (2, 1, 0):
                try:
                    self._executor.apply(attach_steps(attachment))
                    break
                except KernelError as error:
                    if not tries_left or not self._make_way(error, attachment.key.ifname, sandbox):
                        raise
        self._executor.door(HOST).route.transact([rtnetlink.synchronise(attachment.link_index)])

    def offer(self, attachment: Attachment) -> None:
        """Make an attachment whose container end an engine is to take; wholly or not at all.

        Raises:
            KernelError: what was refused.
        """
        self._executor.apply(offer_steps(attachment))

    def write_table(self, name: str, rules: Ruleset | None) -> None:
        """Put rules in the place of a table ``inet``, in one transaction; without rules it goes.

        Raises:
            RulesetError: the kernel refused; what was there stays.
        """
        with namespace.entered(self._executor.door(HOST).descriptor):
            if rules is None:
                ruleset.remove((("inet", name),))
            else:
                ruleset.replace(rules.tables, rules.text, rules.marker)

    def offers(self) -> frozenset[str]:
        """The names of container ends that lie in the VM's namespace: not taken yet, or given back."""
        seen = rtnetlink_dump.links(self._executor.door(HOST).route)
        return frozenset(link.name for link in seen if link.name.startswith(OFFER_PREFIX))

    def _make_way(self, error: KernelError, name: str, sandbox: int) -> bool:
        """Remove what an attachment met in a pod, if that is ours to remove; tell whether another try is worth it."""
        if error.errno == errno.EACCES:
            # Runtimes turn IPv6 off in a pod's namespace until a plug-in has an address for it.
            with namespace.entered(sandbox):
                write_sysctl(Sysctl("ipv6/conf/default/disable_ipv6", "0"))
            return True
        return error.is_there and self._clear_leftover(name, sandbox)

    def _clear_leftover(self, name: str, sandbox: int) -> bool:
        """Free an interface's name in a pod if the interface is ours and waits for deletion; tell whether it is free.

        That happens when an attachment was taken down without its pod's namespace at hand. A stranger's interface, or
        one that is in use, is left alone.
        """
        links = rtnetlink_dump.links(self._executor.door(POD).route)
        found = next((link for link in links if link.name == name), None)
        if found is None:
            return True  # it was deleted just now
        if not is_pods_index(found.index) or found.index in self.links():
            return False
        self._free_name(found.index, found.index, sandbox)
        return True

    def take_down(self, attachment: Attachment, sandbox: int | None) -> None:
        """Cut a pod off and let its link be deleted soon. What is gone already is no error.

        Args:
            attachment: what to take down.
            sandbox: its open namespace, if it is still that one: there the interface's name is freed at once.
        """
        door = self._executor.door(HOST)
        index = attachment.link_index
        messages = []
        for item in way_by_bridge(attachment):
            messages += rtnetlink.remove(item)
        messages += rtnetlink.retire(index, GROUP)
        for error in door.route.transact(messages):
            if error is not None and not error.is_gone:
                raise error
        # The link is down: nothing passes any more while its elements go.
        steps = tuple(Step(False, HOST, element) for element in guard(attachment))
        self._executor.apply(steps, converge=True)
        if sandbox is not None:
            self._free_name(index, attachment.number, sandbox)
        self._reaper.notice()

    def take_down_unknown(self, key: AttachmentKey) -> bool:
        """Take down what only the kernel knows of: the links whose labels name ``key``; tell whether there were any."""
        found = False
        sources = self.sources()
        for index, link in self.links().items():
            label = read_label(index, link.alias)
            if label is not None and label[1] == key:
                mac, addresses = sources.get(index, (link.mac, []))
                interfaces = tuple(ip_interface(address) for address in addresses)
                self.take_down(Attachment(label[0], key, label[2], mac, link.mtu, interfaces, tuple(addresses)), None)
                found = True
        return found

    @staticmethod
    def _free_name(index: int, number: int, sandbox: int) -> None:
        with namespace.run_inside(sandbox, lambda: NetlinkSocket(ROUTE)) as netlink:
            for error in netlink.transact(rtnetlink.rename(index, f"gone{number}")):
                if error is not None and not error.is_gone:
                    raise error

    def faults(self, attachment: Attachment, sandbox: int | None) -> list[str]:
        """What of an attachment is missing, in words; nothing when it is whole."""
        host = Observation(self._executor.door(HOST))
        faults = [f"on the VM: {describe(item)}" for item in host.missing([*guard(attachment), *host_side(attachment)])]
        if sandbox is None:
            return faults
        with self._executor.lent(POD, sandbox):
            inside = Observation(self._executor.door(POD))
            faults += [f"in the pod: {describe(item)}" for item in inside.missing(pod_side(attachment))]
            link = inside.links.get(attachment.link_index)
        wanted = (attachment.key.ifname, attachment.mac)
        if link and (link.name, link.mac) != wanted:
            faults.append(f"in the pod: {' '.join(wanted)} (the link is {link.name} {link.mac} now)")
        return faults

    def links(self) -> dict[int, Link]:
        """The links of pods by index, without those that wait for deletion."""
        seen = rtnetlink_dump.links(self._executor.door(HOST).route)
        return {link.index: link for link in seen if link.name.startswith(LINK_PREFIX) and link.group != GROUP}

    def highest_number(self) -> int:
        """The highest number of an attachment whose link is there, or 0; links that wait for deletion count."""
        links = rtnetlink_dump.links(self._executor.door(HOST).route)
        return max((number_of(link.index) for link in links if is_pods_index(link.index)), default=0)

    def sources(self) -> dict[int, tuple[Mac, list[Address]]]:
        """By link index, the MAC and the addresses its pod may send as, IPv4 first: what the sets say."""
        found: dict[int, tuple[Mac, list[Address]]] = {}
        for name, family in itertools.product(("sources4", "sources6"), ("inet", "bridge")):
            for key in (element.key for element in self._elements(family, name)):
                index = int.from_bytes(key[0:4], sys.byteorder)
                mac, address = Mac(key[4:10].hex(":")), ip_address(key[12:])
                found.setdefault(index, (mac, []))[1].append(address)
        return found

    def stray_elements(self, known: list[Attachment]) -> list[Element]:
        """Elements that no known attachment put there."""
        wanted = {element for attachment in known for element in guard(attachment)}
        return [element for guarded in _GUARDS for element in self._elements(*guarded) if element not in wanted]

    def _elements(self, family: str, name: str) -> list[Element]:
        try:
            return list(self._executor.door(HOST).sets.elements(family, TABLE, name))
        except KernelError as error:
            if error.is_gone:
                return []  # the table of the bridge is there only when a bridge is
            raise

    def remove_elements(self, elements: list[Element]) -> None:
        """Remove elements from their sets."""
        self._executor.apply(tuple(Step(False, HOST, element) for element in elements), converge=True)

    def restore(self, attachment: Attachment) -> int:
        """Put back what is missing of an attachment on the VM's side, its link apart; return how much that was."""
        host = Observation(self._executor.door(HOST))
        wanted = [*guard(attachment), *host_side(attachment)[1:]]
        missing = host.missing(wanted)
        self._executor.apply(tuple(Step(True, HOST, item) for item in missing), converge=True)
        return len(missing)

    def retire_link(self, index: int) -> None:
        """Let a link that belongs to no attachment be deleted."""
        for error in self._executor.door(HOST).route.transact(rtnetlink.retire(index, GROUP)):
            if error is not None and not error.is_gone:
                raise error
        self._reaper.notice()


def describe(item: KernelObject) -> str:
    """An object as a person knows it."""
    match item:
        case Neighbour(index, address, _):
            return f"neighbour {address} on link {index}"
        case Element(family, _, name, _, _):
            return f"element of set {family} {TABLE} {name}"
    fields = getattr(item, "__dataclass_fields__", {})
    shown = {name: getattr(item, name) for name in fields}
    subject = (
        shown.get("name")
        or shown.get("destination")
        or shown.get("interface")
        or shown.get("mac")
        or shown.get("index")
    )
    return f"{type(item).__name__} {subject}"
