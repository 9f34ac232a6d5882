"""A pod's network namespace, as the open file that comes with a request."""

from __future__ import annotations

import os

from podvnet.agent.ledger_record import Row
from podvnet.linux import namespace
from podvnet.plugin.error import CniError, Code
from podvnet.plugin.request import Request


def checked(request: Request, sandbox: int | None, own: tuple[int, int]) -> int:
    """The open namespace of a pod, if it can be one.

    Args:
        request: whose.
        sandbox: the descriptor that came with it.
        own: the VM's own namespace, as :func:`~podvnet.linux.namespace.identity` has it.

    Raises:
        CniError: it is none, or the VM's own.
    """
    path = request.netns_path
    if sandbox is None:
        reason = os.strerror(request.netns_error) if request.netns_error else "no descriptor came with the request"
        raise CniError(Code.INVALID_NETNS, f"cannot open the network namespace {path}: {reason}", "is CNI_NETNS right?")
    if not namespace.is_network_namespace(sandbox):
        raise CniError(Code.INVALID_NETNS, f"{path} is not a network namespace", "is CNI_NETNS right?")
    if namespace.identity(sandbox) == own and not request.netns_override:
        raise CniError(
            Code.INVALID_NETNS,
            f"{path} is the VM's own network namespace",
            "give the pod a namespace of its own, or set CNI_NETNS_OVERRIDE=1",
        )
    return sandbox


def is_of(row: Row, sandbox: int | None) -> bool:
    """Tell whether an open file is the namespace of an attachment, or may be: of an adopted one nobody knows which."""
    if sandbox is None or sandbox < 0 or row.ipam_only:
        return False
    return row.sandbox_id == identity_text(sandbox) or (not row.sandbox_id and namespace.is_network_namespace(sandbox))


def identity_text(descriptor: int) -> str:
    """Which namespace an open file is, as the ledger keeps it; empty for a descriptor that is none."""
    if descriptor < 0:
        return ""
    device, inode = namespace.identity(descriptor)
    return f"{device}:{inode}"
