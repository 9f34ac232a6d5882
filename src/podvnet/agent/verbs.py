"""The verbs of CNI on one VM: ADD, DEL, CHECK, GC, STATUS.

The order of an ADD is check, allocate (a ledger row), build, publish; of a DEL mark, take down, release. A crash
between any two leaves a row whose state says what to take back. For the agent's one thread, so no verb meets another
half-done.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import structlog

from podvnet.agent.egress import Egress
from podvnet.agent.enforcement import Enforcement
from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import AddressNotToBeHadError, NoFreeAddressError, PoolCount, Row, State
from podvnet.agent.must_wait import MustWaitError
from podvnet.agent.node import ensure_bridge
from podvnet.agent.pod_grants import PodGrants
from podvnet.agent.pool_growth import Prospect
from podvnet.agent.vm_resolver import VmResolver
from podvnet.agent.wiring import Wiring
from podvnet.kube.pod_annotations import asking
from podvnet.linux import namespace
from podvnet.linux.error import KernelError
from podvnet.linux.executor import Executor
from podvnet.linux.ruleset import RulesetError
from podvnet.model.address import Address, derived_mac, disjoint
from podvnet.model.attachment import Attachment, AttachmentKey, Mode, Node
from podvnet.model.pod_ask import PodAsk
from podvnet.plan.attachment_program import EVERYWHERE, host_mac
from podvnet.plugin.error import CniError, Code
from podvnet.plugin.network_config import Environment, Ipv6
from podvnet.plugin.request import Command, Program, Request
from podvnet.plugin.result import Dns, Interface, IpConfig, Result, Route, render

if TYPE_CHECKING:
    from podvnet.agent.kubernetes import Kubernetes

_log = structlog.get_logger()

_POD_OUI = bytes.fromhex("02")
_MORE_ADDRESSES = "add ip-configurations to the NIC (az network nic ip-config create), or run fewer pods on this VM"


@dataclass(slots=True)
class Standing:
    """What the agent knows of its VM: None and a reason until the platform has answered."""

    node: Node | None = None
    reason: str = "the agent is starting and has not asked the platform yet"
    remedy: str = "wait a moment; `podvnet doctor` shows what the agent waits for"


class Verbs:
    """Serves well-formed requests.

    Args:
        executor, ledger, wiring, egress: the parts of the agent.
        standing: kept up to date by the agent.
        rest: seconds that a released address is left alone.
        bridge: the name of the software bridge.
        environments: the values of ``ipam.environment`` that mean the agent's source of addresses.
        refresh: asks the platform for its list as soon as possible.
        prospect: tells whether the pool may grow by itself.
        enforcement: filters between pods of this VM, if anything does.
        grants: carries out what is asked for pods, if anything does.
        kubernetes: knows what pods ask for by annotations, if there is a cluster.
    """

    def __init__(
        self,
        executor: Executor,
        ledger: Ledger,
        wiring: Wiring,
        egress: Egress,
        standing: Standing,
        *,
        rest: float,
        bridge: str,
        environments: frozenset[Environment],
        refresh: Callable[[], None],
        prospect: Callable[[], Prospect] = Prospect,
        enforcement: Enforcement | None = None,
        grants: PodGrants | None = None,
        kubernetes: Kubernetes | None = None,
    ) -> None:
        self._executor = executor
        self._ledger = ledger
        self._wiring = wiring
        self._egress = egress
        self._standing = standing
        self._rest = rest
        self._bridge = bridge
        self._environments = environments
        self.ask_platform = refresh
        self._prospect = prospect
        self._enforcement = enforcement
        self._grants = grants
        self._kubernetes = kubernetes
        self._resolver = VmResolver()
        self._own = namespace.own_identity()
        self._bridged = False

    def serve(self, request: Request, sandbox: int | None) -> bytes:
        """Serve one request; ``sandbox`` is the pod's open namespace. Returns what goes to stdout.

        Raises:
            CniError: it is refused; nothing is left of it.
            MustWaitError: only for ADD.
        """
        match request.command:
            case Command.ADD:
                return self._add(request, sandbox)
            case Command.DEL:
                self.delete(key_of(request), sandbox)
            case Command.CHECK:
                self._check(request, sandbox)
            case Command.GC:
                self._collect(request)
            case Command.STATUS:
                self._status()
            case Command.VERSION:
                pass  # the shim answers it
        return b""

    def abandon(self, request: Request) -> None:
        """An ADD has failed for good: nothing that was asked for it is left, or will be."""
        if self._grants:
            self._grants.abandon(key_of(request))
        if self._kubernetes:
            self._kubernetes.done(request)

    # -- ADD

    def _add(self, request: Request, sandbox: int | None) -> bytes:
        node = self._ready()
        key = key_of(request)
        ipam_only = request.program is Program.IPAM
        descriptor = -1 if ipam_only else self._checked_sandbox(request, sandbox)
        found = self._ledger.find(key)
        if found is not None:
            answer = self._again(found, descriptor, request)
            if answer is not None:
                return answer
        self._check_source(request)
        if not ipam_only:
            self._prepare(request, node)
        attachment = self._allocate(request, key, node, descriptor)
        try:
            if not ipam_only:
                self._expose()
                self._wiring.build(attachment, descriptor)
            result = _merged(request, _result(attachment, request, self._resolver.current(), ipam_only=ipam_only))
            answer = render(result, request.config.cni_version)
        except KernelError as error:
            self._ledger.release(attachment.number, None)
            raise _kernel_refused(error, key) from error
        except BaseException:
            if not ipam_only:
                self._wiring.take_down(attachment, descriptor)
            self._ledger.release(attachment.number, None)
            raise
        self._ledger.publish(attachment.number, result.to_json())
        if self._grants:
            self._grants.confirm(key)
        if self._kubernetes:
            self._kubernetes.done(request)
            self._kubernetes.tell()
        return answer

    def _again(self, row: Row, sandbox: int, request: Request) -> bytes | None:
        """Answer an ADD that was answered before, if everything is still as it was; else take the old one down."""
        ipam_only = request.program is Program.IPAM
        whole = (
            row.state is State.ATTACHED
            and row.ipam_only == ipam_only
            and (ipam_only or (_is_of(row, sandbox) and not self._wiring.faults(row.attachment, sandbox)))
        )
        if whole:
            # What ADD answered is not known of an adopted one; it is what it would answer now.
            result = (
                Result.from_json(row.result)
                if row.result
                else _merged(request, _result(row.attachment, request, self._resolver.current()))
            )
            self._ledger.publish(row.attachment.number, result.to_json())
            return render(result, request.config.cni_version)
        _log.info("attachment_replaced", key=str(row.attachment.key), state=row.state)
        self._remove(row, sandbox if _is_of(row, sandbox) else None)
        return None

    def _check_source(self, request: Request) -> None:
        """The agent takes addresses from one source; a configuration that names another is not to be misled."""
        environment = request.config.ipam.environment
        if environment not in self._environments:
            known = ", ".join(repr(str(each)) for each in sorted(self._environments))
            raise CniError(
                Code.INVALID_CONFIG,
                f"ipam.environment {str(environment)!r}: this VM's agent takes its addresses elsewhere ({known})",
                "leave it out, or run the agent with another --pool-source",
            )

    def _prepare(self, request: Request, node: Node) -> None:
        """Bring the VM into the state the network's configuration asks for; nothing to do after the first pod."""
        config = request.config
        if config.master not in {"", node.nic_name}:
            raise CniError(
                Code.INVALID_CONFIG,
                f"master {config.master!r}: pods are attached to the primary NIC, which is {node.nic_name}",
                "leave master out",
            )
        if self._enforcement:
            self._enforcement.admit(config.mode)
        bridged = config.mode is not Mode.TRANSPARENT
        if bridged and config.bridge != self._bridge:
            raise CniError(
                Code.INVALID_CONFIG,
                f"bridge {config.bridge!r}: this VM's agent calls its bridge {self._bridge!r}",
                "leave bridge out, or run the agent with --bridge",
            )
        try:
            self._egress.follow(node, config.name, config.vnet_cidrs, config.non_masquerade, bridged=bridged)
            if bridged and not self._bridged:
                ensure_bridge(self._executor, node, self._bridge)
                self._bridged = True
        except (KernelError, RulesetError) as error:
            raise CniError(Code.KERNEL_REFUSED, f"cannot prepare the VM: {error}", "see the agent's log") from error

    def _allocate(self, request: Request, key: AttachmentKey, node: Node, sandbox: int) -> Attachment:
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
                sandbox_id=_identity_text(sandbox),
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

    def _checked_sandbox(self, request: Request, sandbox: int | None) -> int:
        path = request.netns_path
        if sandbox is None:
            reason = os.strerror(request.netns_error) if request.netns_error else "no descriptor came with the request"
            raise CniError(
                Code.INVALID_NETNS, f"cannot open the network namespace {path}: {reason}", "is CNI_NETNS right?"
            )
        if not namespace.is_network_namespace(sandbox):
            raise CniError(Code.INVALID_NETNS, f"{path} is not a network namespace", "is CNI_NETNS right?")
        if namespace.identity(sandbox) == self._own and not request.netns_override:
            raise CniError(
                Code.INVALID_NETNS,
                f"{path} is the VM's own network namespace",
                "give the pod a namespace of its own, or set CNI_NETNS_OVERRIDE=1",
            )
        return sandbox

    # -- DEL

    def delete(self, key: AttachmentKey, sandbox: int | None) -> bool:
        """Take an attachment down; tell whether there was one."""
        row = self._ledger.find(key)
        if row is None:
            if self._grants:
                self._grants.release(key)  # of an ADD that waits
            # Before the VM is known nothing has been adopted yet, and what is deleted now must not be later.
            return self._standing.node is None and self._wiring.take_down_unknown(key)
        self._remove(row, sandbox if _is_of(row, sandbox) else None)
        return True

    def _remove(self, row: Row, sandbox: int | None) -> None:
        number = row.attachment.number
        self._ledger.leave(number)
        if not row.ipam_only:
            try:
                self._wiring.take_down(row.attachment, sandbox)
            except KernelError as error:
                raise _kernel_refused(error, row.attachment.key) from error
        self._ledger.release(number, time.monotonic())
        if self._grants:
            self._grants.release(row.attachment.key)
            self._expose()

    def _expose(self) -> None:
        """Let pods with public addresses of their own leave with them."""
        if self._grants:
            try:
                self._egress.expose(self._grants.publics)
            except RulesetError as error:
                raise CniError(Code.KERNEL_REFUSED, f"cannot translate: {error}", "see the agent's log") from error

    # -- CHECK, GC, STATUS

    def _check(self, request: Request, sandbox: int | None) -> None:
        self._ready()
        key = key_of(request)
        row = self._ledger.find(key)
        if row is None or row.state is not State.ATTACHED:
            raise CniError(Code.UNKNOWN_CONTAINER, f"{key} is not attached", "ADD it first")
        previous = request.config.prev_result
        own = {interface.ip for interface in row.attachment.addresses}
        if previous is not None and previous.ips and not own & {each.address.ip for each in previous.ips}:
            raise CniError(
                Code.CHECK_FAILED,
                f"{key} has {', '.join(map(str, sorted(own, key=str)))}, prevResult does not name it",
                "the result belongs to another attachment; recreate the pod",
            )
        if row.ipam_only:
            return
        faults = self._wiring.faults(row.attachment, self._checked_sandbox(request, sandbox))
        if faults:
            raise CniError(Code.CHECK_FAILED, f"{key}: missing {'; missing '.join(faults)}", "recreate the pod")

    def _collect(self, request: Request) -> None:
        valid = {(each.container_id, each.ifname) for each in request.config.valid_attachments}
        failures = []
        for row in self._ledger.rows():
            key = row.attachment.key
            if key.network != request.config.name or (key.container, key.ifname) in valid:
                continue
            try:
                self._remove(row, None)
                _log.info("collected", key=str(key))
            except CniError as error:
                failures.append(str(error))
        if failures:
            raise CniError(
                Code.TRY_AGAIN, f"{len(failures)} attachments not removed: {'; '.join(failures)}", "try again"
            )

    def _status(self) -> None:
        node = self._standing.node
        if node is None:
            raise CniError(
                Code.NOT_AVAILABLE, f"pods cannot be attached: {self._standing.reason}", self._standing.remedy
            )
        if self._enforcement:
            self._enforcement.check()
        count = self._ledger.count(time.monotonic(), self._rest)
        prospect = self._prospect()
        if count.held == count.total and not prospect.growing:
            raise CniError(
                Code.NOT_AVAILABLE,
                f"pods cannot be attached: {_shortage(node, count, prospect)}",
                _advice(prospect),
            )

    def obstacle(self) -> CniError | None:
        """What STATUS says against attaching pods, if anything."""
        try:
            self._status()
        except CniError as error:
            return error
        return None

    def _ready(self) -> Node:
        if self._standing.node is None:
            not_ready = CniError(Code.TRY_AGAIN, f"cannot attach yet: {self._standing.reason}", self._standing.remedy)
            raise MustWaitError(0.0, not_ready)
        return self._standing.node


def key_of(request: Request) -> AttachmentKey:
    """What the request is about."""
    return AttachmentKey(request.config.name, request.container_id, request.ifname)


def _refuse_annotations(request: Request) -> None:
    """Refuse what annotations ask for where nobody knows a cluster that allows it: it was meant."""
    asked = asking(request.config.runtime_config.annotations)
    if asked:
        raise CniError(
            Code.UNSUPPORTED_FIELD,
            f"annotation {', '.join(sorted(asked))}: this VM's agent is in no cluster",
            "run the agent with --kubeconfig, or leave it out",
        )


def _result(attachment: Attachment, request: Request, own: Dns, *, ipam_only: bool = False) -> Result:
    dns = own if request.config.dns == Dns() else request.config.dns
    pairs = list(zip(attachment.addresses, attachment.gateways, strict=True))
    routes = tuple(Route(dst=EVERYWHERE[each.version], gw=gateway) for each, gateway in pairs)
    if ipam_only:
        return Result(ips=tuple(IpConfig(each, gateway) for each, gateway in pairs), routes=routes, dns=dns)
    interfaces = (
        Interface(name=attachment.link_name, mac=host_mac(attachment), mtu=attachment.mtu),
        Interface(name=attachment.key.ifname, mac=attachment.mac, mtu=attachment.mtu, sandbox=request.netns_path),
    )
    return Result(interfaces, tuple(IpConfig(each, gateway, 1) for each, gateway in pairs), routes, dns)


def _merged(request: Request, own: Result) -> Result:
    """Our result behind that of the plug-ins before us in the chain."""
    before = request.config.prev_result
    if before is None:
        return own
    shift = len(before.interfaces)
    ips = tuple(
        IpConfig(each.address, each.gateway, None if each.interface is None else each.interface + shift)
        for each in own.ips
    )
    return Result(
        before.interfaces + own.interfaces,
        before.ips + ips,
        before.routes + own.routes,
        own.dns if before.dns == Dns() else before.dns,
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


def _is_of(row: Row, sandbox: int | None) -> bool:
    """Tell whether an open file is the namespace of an attachment, or may be: of an adopted one nobody knows which."""
    if sandbox is None or sandbox < 0 or row.ipam_only:
        return False
    return row.sandbox_id == _identity_text(sandbox) or (not row.sandbox_id and namespace.is_network_namespace(sandbox))


def _identity_text(descriptor: int) -> str:
    if descriptor < 0:
        return ""
    device, inode = namespace.identity(descriptor)
    return f"{device}:{inode}"


def _kernel_refused(error: KernelError, key: AttachmentKey) -> CniError:
    if error.errno == errno.EEXIST and error.doing.startswith("add link"):
        return CniError(
            Code.INTERFACE_EXISTS,
            f"the pod's namespace already has an interface {key.ifname}",
            "another plug-in or an earlier run made it; give the pod a fresh namespace, or set another CNI_IFNAME",
        )
    return CniError(Code.KERNEL_REFUSED, f"{key}: {error}", "see the agent's log; `podvnet doctor` checks the kernel")
