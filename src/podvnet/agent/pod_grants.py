"""What is asked of the virtual network for pods: the half that runs in the agent's thread, where ledger and grants are.

The order of an ask is: reserve the address in the ledger, write the grant to the disk, ask the resource manager, and
when that has said that it is done, attach the pod. The order of its end is: detach the pod, mark the grant, have it
undone, forget it, let the address go. So what the resource manager has for pods is always in a grant, and a grant whose
attachment is not there when the agent starts is undone.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import structlog

from podvnet.agent.agents_thread import InAgentsThread
from podvnet.agent.ask_report import granted, report
from podvnet.agent.grant_addresses import LISTING_LIMIT, GrantAddresses
from podvnet.agent.grant_store import GrantStore
from podvnet.agent.grant_writer import GrantWriter, Nic
from podvnet.agent.must_wait import MustWaitError
from podvnet.agent.pod_reservations import PodReservations, expiry, other_address
from podvnet.agent.reserved_addresses import ReservedAddresses
from podvnet.azure.error import SourceError
from podvnet.model.address import Address, Mac
from podvnet.model.attachment import AttachmentKey, Node
from podvnet.model.nic_membership import NicMembership
from podvnet.model.pod_ask import NEW, PodAsk
from podvnet.model.pod_grant import GrantState, PodGrant
from podvnet.plan.grant_change import GrantChange, decide
from podvnet.plugin.error import CniError, Code

_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9]+")

_log = structlog.get_logger()


class PodGrants:
    """Decides, keeps account, and tells how things stand.

    Args:
        store: the grants on disk.
        reserved: the ledger's.
        rest: seconds that a released address is left alone.
        connect: finds the NIC with a MAC, in another thread.
        look: has the platform asked often, for so many seconds at most.

    Attributes:
        reservations: what is asked by a pod's name.
    """

    def __init__(
        self,
        store: GrantStore,
        reserved: ReservedAddresses,
        rest: float,
        connect: Callable[[Mac], Nic],
        look: Callable[[float], None],
    ) -> None:
        self._store = store
        self._addresses = GrantAddresses(reserved, rest)
        self.reservations = PodReservations(store, self._addresses, self._ask)
        self._look = look
        self._writer = GrantWriter(connect, InAgentsThread(self, self._hand_over))
        self._mac: Mac | None = None
        self._nic: NicMembership | None = None
        self._pending: set[AttachmentKey] = set()
        self._refusals: dict[AttachmentKey, CniError] = {}
        self._obstacle: SourceError | None = None
        self._submit: Callable[[Callable[[], None]], None]
        self._changed: Callable[[], None]
        reserved.replace(store.grants)

    def start(self, submit: Callable[[Callable[[], None]], None], changed: Callable[[], None]) -> None:
        """Start the writer.

        Args:
            submit: runs something in the agent's thread.
            changed: called there when those who wait should try again.
        """
        self._submit, self._changed = submit, changed
        self._writer.start()

    def stop(self) -> None:
        """Stop the writer."""
        self._writer.stop()
        self._store.close()

    def stand(self, mac: Mac, attached: Collection[AttachmentKey]) -> None:
        """The VM and its attachments are known: take back what is for none of them."""
        self._mac = mac
        for each in [*self._store.grants.values()]:
            if each.holder is None:
                continue
            if each.holder in attached:
                self.confirm(each.holder)
            elif each.holder not in self._pending:
                _log.info("ask_taken_back", address=str(each.address), key=str(each.holder), pod=each.pod)
                self.release(each.holder)
        if any(not each.settled or (each.ask.public and self._nic is None) for each in self._store.grants.values()):
            self._writer.ask(mac)

    def listed(self, addresses: frozenset[Address]) -> bool:
        """Take note of what the platform lists, and of the time; tell whether it lists every pod's address."""
        self._addresses.list(addresses)
        wall = time.time()
        expired = [each for each in self._store.grants.values() if each.expires is not None and each.expires <= wall]
        self._leave(*expired)
        waiting = filter(None, map(self._held, self._pending))
        return not any(each.settled and not self._addresses.is_listed(each.address) for each in waiting)

    @property
    def publics(self) -> frozenset[Address]:
        """The addresses of pods whose packets are not to leave as the VM's."""
        grants = self._store.grants.values()
        return frozenset(each.address for each in grants if each.holder and each.settled and each.ask.leaves_as_itself)

    # -- ADD and DEL

    def admit(
        self,
        ask: PodAsk | None,
        key: AttachmentKey,
        pod: str,
        node: Node,
        *,
        fixed: IPv4Address | None = None,
        uid: str = "",
    ) -> IPv4Address | None:
        """The address of a pod for which something is asked, once all of it is carried out; None when nothing is.

        Args:
            ask: by the runtime.
            key: the attachment, of which the ledger knows nothing.
            pod: ``namespace/name``.
            node: the VM.
            fixed: an address that the runtime asks for by other means.
            uid: which pod of that name it is.

        Raises:
            CniError: it is refused, and nothing of it is left, or will be.
            MustWaitError: it is not carried out yet.
            NoFreeAddressError: of the pool, for now.
        """
        noted = self._store.asks.get((pod, key.ifname)) if pod else None
        kept = self.reservations.kept(pod, key.ifname) if pod else None
        if ask is None and noted is None and kept is None:
            return None
        if error := self._refusals.pop(key, None):
            raise error
        grant = self._held(key)
        if grant is None:
            wanted = (ask or PodAsk()).over(noted or PodAsk())
            if fixed is not None and wanted.address is None:
                wanted = replace(wanted, address=fixed)
            grant = self._begin(wanted, key, pod, kept, node, uid=uid)
        self._pending.add(key)
        if not grant.settled or not self._addresses.is_listed(grant.address):
            if grant.settled:
                self._look(LISTING_LIMIT)
            raise self._not_yet(grant)
        return grant.address

    def confirm(self, key: AttachmentKey) -> None:
        """The pod is attached: from now on the ledger knows that its grant is wanted."""
        self._pending.discard(key)
        grant = self._held(key)
        if grant is not None and grant.ask.sticky and not grant.kept:
            self._store.put(replace(grant, kept=True))

    def abandon(self, key: AttachmentKey) -> None:
        """An ADD has failed for good: have undone what was asked for it, unless the pod was attached before."""
        if key in self._pending:
            self.release(key)

    def release(self, key: AttachmentKey) -> None:
        """Have undone what was asked for an attachment that is no more, or never came to be."""
        self._pending.discard(key)
        self._refusals.pop(key, None)
        grant = self._held(key)
        if grant is None:
            return
        if not (grant.ask.sticky and grant.kept):
            self._leave(grant)
            return
        self._store.put(replace(grant, holder=None, state=GrantState.ASKED, expires=expiry(grant.ask), uid=""))
        self._ask()

    # -- the agent's API

    def report(self) -> list[dict[str, Any]]:
        """Every ask, for JSON: what there is of it now, and what is noted for a pod to come."""
        return report(self._store, self._nic, self.reservations.refusals, self._obstacle)

    def tally(self) -> dict[str, int]:
        """How many asks there are in each state of :meth:`report`."""
        return dict(Counter(each["state"] for each in self.report()))

    def granted(self) -> list[tuple[PodGrant, str]]:
        """What attached pods have of what was asked for them, each with its public address."""
        return granted(self._store, self._nic, self._pending)

    # -- beginning and ending

    def _begin(
        self, ask: PodAsk, key: AttachmentKey, pod: str, kept: PodGrant | None, node: Node, *, uid: str
    ) -> PodGrant:
        if ask.sticky and not pod:
            raise CniError(
                Code.INVALID_CONFIG,
                "sticky asks that the address be kept for the pod's name, and the runtime names no pod",
                "let the runtime set K8S_POD_NAME in CNI_ARGS, or do not ask for sticky",
            )
        public = _public_name(pod) if ask.public == NEW else ""
        if kept is not None:
            address = self._kept_address(kept, ask, key)
            # How long it is kept is what was said when it was first asked for, unless it is said anew.
            ask = ask.over(PodAsk(sticky=kept.ask.sticky, keep_for=kept.ask.keep_for))
            grant = replace(kept, holder=key, ask=ask, state=GrantState.ASKED, expires=None, public=public, uid=uid)
            self._store.put(grant)
        else:
            address = self._any(node) if ask.address is None else self._particular(ask.address, node)
            grant = PodGrant(address, pod, key.ifname, key, ask, public=public, uid=uid)
            with self._addresses.being_granted(grant.address):
                self._store.put(grant)
        self._ask()
        return grant

    def _any(self, node: Node) -> IPv4Address:
        if self._nic is None:
            self._writer.ask(node.nic_mac)
            reason = f"the NIC cannot be read: {self._obstacle.message}" if self._obstacle else "the NIC is being read"
            raise _later(reason, self._obstacle)
        return self._addresses.take_any(self._nic)

    def _particular(self, address: IPv4Address, node: Node) -> IPv4Address:
        if not any(address in subnet for subnet in node.subnets):
            subnets = ", ".join(str(each) for each in node.subnets if each.version == 4)
            raise CniError(
                Code.INVALID_CONFIG,
                f"the address asked for, {address}, is not in the NIC's subnet {subnets}",
                "ask for one of that subnet",
            )
        owner = self._store.grants.get(address)
        if owner is not None and owner.state is GrantState.LEAVING:
            raise self._not_yet(owner)
        return self._addresses.take(address, owner)

    def _kept_address(self, kept: PodGrant, ask: PodAsk, key: AttachmentKey) -> IPv4Address:
        if kept.holder is not None:
            raise CniError(
                Code.TRY_AGAIN,
                f"{kept.address} is kept for {kept.pod}, of which {kept.holder.container[:12]} still has it",
                f"delete that one, or give {key.container[:12]} another name",
            )
        if ask.address is not None and ask.address != kept.address:
            raise other_address(kept, ask.address)
        if not kept.settled or kept.public:
            # What the pod of before had must be off it first, or this one would have it too.
            raise self._not_yet(kept)
        return kept.address

    def _held(self, key: AttachmentKey) -> PodGrant | None:
        address = self._store.holders.get(key)
        return None if address is None else self._store.grants[address]

    def _leave(self, *grants: PodGrant) -> None:
        if grants:
            self._store.put(*(each.leaving() for each in grants))
            self._ask()

    def _ask(self) -> None:
        if self._mac is not None and any(not each.settled for each in self._store.grants.values()):
            self._writer.ask(self._mac)

    def _not_yet(self, grant: PodGrant) -> MustWaitError:
        what = f"what is asked for {grant.pod or grant.address} is not "
        what += "carried out yet" if grant.holder else f"off {grant.address} yet"
        if grant.settled:
            return _later(f"{what}: the platform does not list {grant.address} yet", None)
        return _later(f"{what}: {self._obstacle.message}" if self._obstacle else what, self._obstacle)

    # -- the agent's thread, for the writer's

    def _hand_over(self, task: Callable[[], None]) -> None:
        self._submit(task)

    def decide(self, nic: NicMembership) -> GrantChange:
        """See what of the grants a NIC has, and what is to be written."""
        first, self._nic = self._nic is None, nic
        self._addresses.see(nic)
        found = decide(nic, self._store.grants.values())
        grants = self._store.grants
        self._store.put(*(replace(grants[each], state=GrantState.GRANTED) for each in found.carried))
        for address in found.undone:
            self._store.forget(address)
            self._addresses.let_go(address, nic)
        for address, reason in found.impossible:
            self._reject(grants[address], SourceError(reason, "ask for another address, or for none", retryable=False))
        if found.undone or not all(map(self._addresses.is_listed, found.carried)):
            self._look(LISTING_LIMIT)
        if first or found.carried or found.undone or found.impossible:
            self._submit(self._changed)
        return found.change

    def discarded(self, name: str) -> None:
        """A public address is gone."""
        self._store.put(*(replace(each, public="") for each in self._store.grants.values() if each.public == name))

    def refused(self, address: IPv4Address, error: SourceError) -> bool:
        """What is asked for an address is refused; tell whether it is given up: what must be undone is not."""
        grant = self._store.grants[address]
        there = self._nic is not None and self._nic.holding(address) is not None
        if grant.state is GrantState.LEAVING or (grant.holder is None and there):
            return False
        self._reject(grant, error)
        return True

    def _reject(self, grant: PodGrant, error: SourceError) -> None:
        address = grant.address
        _log.warning("ask_refused", address=str(address), pod=grant.pod, reason=error.message, remedy=error.remedy)
        holder = grant.holder
        if holder is None:
            self.reservations.refuse(grant, error)
            self._leave(grant)
        else:
            self.release(holder)  # an address that was kept before this ask came stays kept
            self._pending.add(holder)
            self._refusals[holder] = CniError(
                Code.ASK_REFUSED, f"what is asked for {grant.pod or holder} is refused: {error.message}", error.remedy
            )
        self._submit(self._changed)

    def failed(self, error: SourceError | None, wait: float) -> None:
        """The writer waits, or is content."""
        self._obstacle = error
        if error:
            _log.warning("asks_wait", reason=error.message, remedy=error.remedy, retry_in=round(wait, 1))


def _public_name(pod: str) -> str:
    """A name that no other public address has, and that says whose it is."""
    name = _NOT_OF_A_NAME.sub("-", pod).strip("-")[:48]
    return "-".join(filter(None, ("pod", name, secrets.token_hex(6))))


def _later(reason: str, obstacle: SourceError | None) -> MustWaitError:
    error = CniError(Code.TRY_AGAIN, reason, obstacle.remedy if obstacle else "try again")
    return MustWaitError(0.0, error, growing=True, asking=True)
