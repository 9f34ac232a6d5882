"""The addresses of an ADD: which versions, which of them in particular, and what is said when there is none.

Which address of the pool it becomes, the ledger decides; what is asked of the virtual network for a pod, the grants
carry out before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import AddressNotToBeHadError, NoFreeAddressError, PoolCount
from podvnet.agent.must_wait import MustWaitError
from podvnet.agent.pod_grants import PodGrants
from podvnet.agent.pod_namespace import identity_text
from podvnet.agent.pool_growth import Prospect
from podvnet.kube.pod_annotations import asking
from podvnet.model.address import Address, derived_mac, disjoint
from podvnet.model.attachment import Attachment, AttachmentKey, Node
from podvnet.model.pod_ask import PodAsk
from podvnet.plugin.error import CniError, Code
from podvnet.plugin.network_config import Ipv6
from podvnet.plugin.request import Program, Request

if TYPE_CHECKING:
    from podvnet.agent.kubernetes import Kubernetes

_POD_OUI = bytes.fromhex("02")
_MORE_ADDRESSES = "add ip-configurations to the NIC (az network nic ip-config create), or run fewer pods on this VM"


class Allocation:
    """For the agent's one thread.

    Args:
        ledger: whose addresses.
        rest: seconds that a released address is left alone.
        prospect: tells whether the pool may grow by itself.
        grants: carries out what is asked for pods, if anything does.
        kubernetes: knows what pods ask for by annotations, if there is a cluster.
    """

    def __init__(
        self,
        ledger: Ledger,
        rest: float,
        prospect: Callable[[], Prospect],
        grants: PodGrants | None,
        kubernetes: Kubernetes | None,
    ) -> None:
        self._ledger = ledger
        self._rest = rest
        self._prospect = prospect
        self._grants = grants
        self._kubernetes = kubernetes

    def begin(self, request: Request, key: AttachmentKey, node: Node, sandbox: int) -> Attachment:
        """Take the addresses of an ADD, and open its row in the ledger.

        Args:
            request: the ADD.
            key: what it is about, of which the ledger knows nothing.
            node: the VM.
            sandbox: the pod's open namespace; -1 when only addresses are asked for.

        Raises:
            CniError: it is refused; nothing is taken.
            MustWaitError: nothing can be had now.
        """
        config = request.config
        within = config.ipam.subnet
        if within is not None and all(disjoint([within, subnet]) is None for subnet in node.subnets):
            raise CniError(
                Code.INVALID_CONFIG,
                f"ipam.subnet {within} is none of NIC {node.nic_name}, which is in {', '.join(map(str, node.subnets))}",
                "leave ipam.subnet out",
            )
        try:
            wanted, granted = self._wanted(request, key, node)
            versions, optional = self._versions(config.ipam.ipv6, node, wanted)
            return self._ledger.begin(
                key,
                None if request.program is Program.IPAM else config.mode,
                mac=request.wanted_mac or derived_mac(_POD_OUI, key.network, key.container, key.ifname),
                mtu=min(config.mtu or node.mtu, node.mtu),
                sandbox=request.netns_path,
                sandbox_id=identity_text(sandbox),
                pod=request.pod,
                versions=versions,
                optional=optional,
                wanted=wanted,
                within=within,
                now=time.monotonic(),
                rest=self._rest,
                granted=granted,
            )
        except NoFreeAddressError as error:
            version = error.version
            count = self._ledger.count(time.monotonic(), self._rest, version)
            where = f" in {within}" if within and within.version == version else ""
            prospect = self._prospect() if version == 4 else Prospect()
            shortage = _shortage(node, count, prospect, version)
            exhausted = CniError(
                Code.TRY_AGAIN if prospect.growing else Code.POOL_EXHAUSTED,
                f"no free address{where} for {key.ifname} of {key.container[:12]}: {shortage}",
                _advice(prospect),
            )
            raise MustWaitError(error.wait or 0.0, exhausted, growing=prospect.growing) from None
        except AddressNotToBeHadError as error:
            raise CniError(
                Code.INVALID_CONFIG, f"the address asked for cannot be had: {error}", "ask for another, or for none"
            ) from None

    def _wanted(self, request: Request, key: AttachmentKey, node: Node) -> tuple[tuple[Address, ...], Address | None]:
        """The addresses to give a pod, and the one of them that is reserved for it with all that is asked for it."""
        try:
            return self._granted(request, key, node)
        except CniError as error:
            if self._kubernetes:
                self._kubernetes.refused(request, error)
            raise

    def _ask(self, request: Request) -> PodAsk | None:
        """What is asked for a pod; what the runtime asks for counts more than what annotations do."""
        if self._kubernetes is None:
            _refuse_annotations(request)
            return request.ask
        annotated = self._kubernetes.asked_by(request)
        return request.ask if annotated is None else (request.ask or PodAsk()).over(annotated)

    def _granted(self, request: Request, key: AttachmentKey, node: Node) -> tuple[tuple[Address, ...], Address | None]:
        wanted = request.wanted_addresses
        ask = self._ask(request)
        if self._grants is None:
            if ask is not None:
                raise CniError(
                    Code.UNSUPPORTED_FIELD,
                    f"{', '.join(ask.values())} of a pod: this VM's agent asks nothing of the resource manager",
                    "run the agent with --pool-source arm, or leave it out",
                )
            return wanted, None
        fixed = next((each for each in wanted if isinstance(each, IPv4Address)), None)
        granted = self._grants.admit(ask, key, request.pod, node, fixed=fixed, uid=request.pod_uid)
        if granted is None:
            return wanted, None
        return (granted, *(each for each in wanted if each.version == 6)), granted

    def _versions(self, ipv6: Ipv6, node: Node, wanted: tuple[Address, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The IP versions to give a pod, and those of them that it can do without."""
        asked = next((address for address in wanted if address.version == 6), None)
        if asked and ipv6 is Ipv6.NONE:
            msg = f"{asked} is of IPv6, and ipam.ipv6 of the network is 'none'"
            raise AddressNotToBeHadError(msg)
        if asked or ipv6 is Ipv6.REQUIRED:
            return (4, 6), ()
        if ipv6 is Ipv6.AUTO and node.has_ipv6 and 6 in self._ledger.versions():
            return (4, 6), (6,)
        return (4,), ()

    def exhausted(self, node: Node) -> CniError | None:
        """What STATUS says against attaching pods when every address is held and there will be no more."""
        count = self._ledger.count(time.monotonic(), self._rest)
        prospect = self._prospect()
        if count.held != count.total or prospect.growing:
            return None
        return CniError(
            Code.NOT_AVAILABLE,
            f"pods cannot be attached: {_shortage(node, count, prospect)}",
            _advice(prospect),
        )


def _refuse_annotations(request: Request) -> None:
    """Refuse what annotations ask for where nobody knows a cluster that allows it: it was meant."""
    asked = asking(request.config.runtime_config.annotations)
    if asked:
        raise CniError(
            Code.UNSUPPORTED_FIELD,
            f"annotation {', '.join(sorted(asked))}: this VM's agent is in no cluster",
            "run the agent with --kubeconfig, or leave it out",
        )


def _shortage(node: Node, count: PoolCount, prospect: Prospect, version: int = 4) -> str:
    nic = f"NIC {node.nic_name} ({', '.join(map(str, node.primary))})"
    held = f"({count.held} held, {count.resting} resting)"
    family = "" if version == 4 else f"IPv{version} "
    found = (
        f"all {count.total} secondary {family}addresses of {nic} are in use {held}"
        if count.total
        else f"{nic} has no secondary {family}address"
    )
    return f"{found}, and it gets no more: {prospect.obstacle.message}" if prospect.obstacle else found


def _advice(prospect: Prospect) -> str:
    if prospect.obstacle:
        return prospect.obstacle.remedy
    return "the pool is being enlarged; try again" if prospect.growing else _MORE_ADDRESSES
