"""What an ADD answers: the interfaces, addresses, routes and servers of names that a pod has.

Source: CNI specification, "ADD Success" and, for what plug-ins before us answered, "prevResult".
"""

from __future__ import annotations

from podvnet.model.attachment import Attachment
from podvnet.plan.attachment_program import EVERYWHERE, host_mac
from podvnet.plugin.request import Request
from podvnet.plugin.result import Dns, Interface, IpConfig, Result, Route


def result_of(attachment: Attachment, request: Request, own: Dns, *, ipam_only: bool = False) -> Result:
    """What an ADD answers, behind what the plug-ins before us in the chain did.

    Args:
        attachment: that the pod has.
        request: the ADD.
        own: the servers of names that the VM has, for a network whose configuration names none.
        ipam_only: only addresses were asked for.
    """
    return _merged(request, _own_result(attachment, request, own, ipam_only=ipam_only))


def _own_result(attachment: Attachment, request: Request, own: Dns, *, ipam_only: bool) -> Result:
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
