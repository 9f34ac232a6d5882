"""Security rules as documents, short enough to stand in a table."""

from __future__ import annotations

from typing import Any

Addresses = str | list[str] | tuple[str, ...]
"""A prefix, a tag or ``*``; a list of prefixes; a tuple of names of application security groups."""


def rule(
    name: str,
    priority: int,
    direction: str,
    access: str,
    protocol: str = "*",
    *,
    source: Addresses = "*",
    destination: Addresses = "*",
    ports: str | list[str] = "*",
    source_ports: str | list[str] = "*",
) -> dict[str, Any]:
    """A rule of a security group; ``ports`` are the destination's."""
    properties: dict[str, Any] = {"priority": priority, "direction": direction, "access": access, "protocol": protocol}
    for side, addresses, found in (("source", source, source_ports), ("destination", destination, ports)):
        properties[f"{side}PortRange{'s' * isinstance(found, list)}"] = found
        if isinstance(addresses, tuple):
            groups = [{"id": f"applicationSecurityGroups/{each}"} for each in addresses]
            properties[f"{side}ApplicationSecurityGroups"] = groups
        else:
            properties[f"{side}AddressPrefix{'es' * isinstance(addresses, list)}"] = addresses
    return {"name": name, "properties": properties}


def allow(name: str, priority: int, direction: str, protocol: str = "*", **sides: Any) -> dict[str, Any]:
    """A rule that allows; see :func:`rule`."""
    return rule(name, priority, direction, "Allow", protocol, **sides)


def deny(name: str, priority: int, direction: str, protocol: str = "*", **sides: Any) -> dict[str, Any]:
    """A rule that denies; see :func:`rule`."""
    return rule(name, priority, direction, "Deny", protocol, **sides)
