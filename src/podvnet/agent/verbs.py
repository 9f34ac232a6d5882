"""The verbs of CNI on one VM: ADD, DEL, CHECK, GC, STATUS.

The order of an ADD is check, allocate (a ledger row), build, publish; of a DEL mark, take down, release. A crash
between any two leaves a row whose state says what to take back. For the agent's one thread, so no verb meets another
half-done.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from podvnet.agent import pod_namespace
from podvnet.agent.add_result import result_of
from podvnet.agent.allocation import Allocation
from podvnet.agent.egress import Egress
from podvnet.agent.enforcement import Enforcement
from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import Row, State
from podvnet.agent.must_wait import MustWaitError
from podvnet.agent.node import ensure_bridge
from podvnet.agent.pod_grants import PodGrants
from podvnet.agent.pool_growth import Prospect
from podvnet.agent.standing import Standing
from podvnet.agent.vm_resolver import VmResolver
from podvnet.agent.wiring import Wiring
from podvnet.linux import namespace
from podvnet.linux.error import KernelError
from podvnet.linux.executor import Executor
from podvnet.linux.ruleset import RulesetError
from podvnet.model.attachment import AttachmentKey, Mode, Node
from podvnet.plugin.error import CniError, Code
from podvnet.plugin.network_config import Environment
from podvnet.plugin.request import Command, Program, Request
from podvnet.plugin.result import Result, render

if TYPE_CHECKING:
    from podvnet.agent.kubernetes import Kubernetes

_log = structlog.get_logger()


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
        self._allocation = Allocation(ledger, rest, prospect, grants, kubernetes)
        self._bridge = bridge
        self._environments = environments
        self.ask_platform = refresh
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
        descriptor = -1 if ipam_only else pod_namespace.checked(request, sandbox, self._own)
        found = self._ledger.find(key)
        if found is not None:
            answer = self._again(found, descriptor, request)
            if answer is not None:
                return answer
        self._check_source(request)
        if not ipam_only:
            self._prepare(request, node)
        attachment = self._allocation.begin(request, key, node, descriptor)
        try:
            if not ipam_only:
                self._expose()
                self._wiring.build(attachment, descriptor)
            result = result_of(attachment, request, self._resolver.current(), ipam_only=ipam_only)
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
            and (ipam_only or (pod_namespace.is_of(row, sandbox) and not self._wiring.faults(row.attachment, sandbox)))
        )
        if whole:
            # What ADD answered is not known of an adopted one; it is what it would answer now.
            result = (
                Result.from_json(row.result)
                if row.result
                else result_of(row.attachment, request, self._resolver.current())
            )
            self._ledger.publish(row.attachment.number, result.to_json())
            return render(result, request.config.cni_version)
        _log.info("attachment_replaced", key=str(row.attachment.key), state=row.state)
        self._remove(row, sandbox if pod_namespace.is_of(row, sandbox) else None)
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

    # -- DEL

    def delete(self, key: AttachmentKey, sandbox: int | None) -> bool:
        """Take an attachment down; tell whether there was one."""
        row = self._ledger.find(key)
        if row is None:
            if self._grants:
                self._grants.release(key)  # of an ADD that waits
            # Before the VM is known nothing has been adopted yet, and what is deleted now must not be later.
            return self._standing.node is None and self._wiring.take_down_unknown(key)
        self._remove(row, sandbox if pod_namespace.is_of(row, sandbox) else None)
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
        faults = self._wiring.faults(row.attachment, pod_namespace.checked(request, sandbox, self._own))
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
        exhausted = self._allocation.exhausted(node)
        if exhausted is not None:
            raise exhausted

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


def _kernel_refused(error: KernelError, key: AttachmentKey) -> CniError:
    if error.errno == errno.EEXIST and error.doing.startswith("add link"):
        return CniError(
            Code.INTERFACE_EXISTS,
            f"the pod's namespace already has an interface {key.ifname}",
            "another plug-in or an earlier run made it; give the pod a fresh namespace, or set another CNI_IFNAME",
        )
    return CniError(Code.KERNEL_REFUSED, f"{key}: {error}", "see the agent's log; `podvnet doctor` checks the kernel")
