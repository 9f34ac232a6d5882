"""Rules of load balancers as documents, short enough to stand in a table."""

from __future__ import annotations

from typing import Any


def balanced(name: str, frontend: str, ports: str, pool: str, **more: Any) -> dict[str, Any]:
    """A load balancing rule.

    Args:
        name: its own.
        frontend: the load balancer and its frontend, ``inner/front``.
        ports: protocol, frontend port and backend port, ``Tcp 80>8080``; ``All 0>0`` for all ports.
        pool: one of the same load balancer; empty for none.
        **more: other properties; ``probe`` is the name of one of the same load balancer.
    """
    balancer = frontend.partition("/")[0]
    protocol, front, back = _ports(ports)
    properties = {"protocol": protocol, "frontendPort": int(front), "backendPort": int(back)} | more
    if "probe" in more:
        properties["probe"] = {"id": f"loadBalancers/{balancer}/probes/{more['probe']}"}
    return {"name": name, "properties": properties | _ends(frontend, pool)}


def forwarded(name: str, frontend: str, ports: str, pool: str = "", **more: Any) -> dict[str, Any]:
    """An inbound NAT rule: to the ip-configuration that names it, or, with a pool, a range of ports to its members.

    See :func:`balanced`; the ports of a range are ``Tcp 2200-2299>22``.
    """
    protocol, front, back = _ports(ports)
    first, _, last = front.partition("-")
    properties: dict[str, Any] = {"protocol": protocol, "backendPort": int(back)} | more
    if pool:
        properties |= {"frontendPortRangeStart": int(first), "frontendPortRangeEnd": int(last)}
    else:
        properties["frontendPort"] = int(first)
    return {"name": name, "properties": properties | _ends(frontend, pool)}


def _ports(text: str) -> tuple[str, str, str]:
    protocol, _, ports = text.partition(" ")
    front, _, back = ports.partition(">")
    return protocol, front, back


def _ends(frontend: str, pool: str) -> dict[str, Any]:
    balancer, _, name = frontend.partition("/")
    parts = f"loadBalancers/{balancer}"
    ends = {"frontendIPConfiguration": {"id": f"{parts}/frontendIPConfigurations/{name}"}}
    return ends | ({"backendAddressPool": {"id": f"{parts}/backendAddressPools/{pool}"}} if pool else {})
