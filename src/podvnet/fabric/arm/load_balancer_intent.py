"""A load balancer's document as the compilers see it."""

from __future__ import annotations

from ipaddress import ip_address

from podvnet.fabric.arm.linked import linked
from podvnet.fabric.arm.world import Document
from podvnet.model.load_balancer import (
    AdminState,
    BackendPool,
    BalancingRule,
    Distribution,
    Frontend,
    InboundNatRule,
    LoadBalancer,
    OutboundRule,
    PoolAddress,
    Probe,
    ProbeProtocol,
    Transport,
)
from podvnet.model.resource_id import ResourceId, parse


def intent_of(document: Document) -> LoadBalancer:
    """The load balancer, with whatever its document itself says."""
    properties = document["properties"]
    return LoadBalancer(
        id=parse(document["id"]),
        location=document["location"],
        frontends=tuple(map(_frontend, properties["frontendIPConfigurations"])),
        pools=tuple(map(_pool, properties["backendAddressPools"])),
        probes=tuple(map(_probe, properties["probes"])),
        rules=tuple(map(_rule, properties["loadBalancingRules"])),
        nat_rules=tuple(_nat_rule(each, document["_fabric"]) for each in properties["inboundNatRules"]),
        outbound_rules=tuple(map(_outbound, properties["outboundRules"])),
    )


def _frontend(part: Document) -> Frontend:
    inner = part["properties"]
    address = inner.get("privateIPAddress")
    return Frontend(
        parse(part["id"]),
        linked(inner, "subnet"),
        ip_address(address) if address else None,
        linked(inner, "publicIPAddress") or linked(inner, "publicIPPrefix"),
    )


def _pool(part: Document) -> BackendPool:
    inner = part["properties"]
    members = (
        PoolAddress(
            each["name"], ip_address(each["properties"]["ipAddress"]), AdminState(each["properties"]["adminState"])
        )
        for each in inner["loadBalancerBackendAddresses"]
    )
    return BackendPool(parse(part["id"]), linked(inner, "virtualNetwork"), tuple(members))


def _probe(part: Document) -> Probe:
    inner = part["properties"]
    return Probe(
        parse(part["id"]),
        ProbeProtocol(inner["protocol"]),
        inner["port"],
        inner.get("requestPath", ""),
        inner["intervalInSeconds"],
        inner["probeThreshold"],
        inner["noHealthyBackendsBehavior"] == "AllProbedUp",
    )


def _rule(part: Document) -> BalancingRule:
    inner = part["properties"]
    return BalancingRule(
        id=parse(part["id"]),
        frontend=_named(inner, "frontendIPConfiguration"),
        protocol=Transport(inner["protocol"]),
        frontend_port=inner["frontendPort"],
        backend_port=inner["backendPort"],
        pool=linked(inner, "backendAddressPool"),
        probe=linked(inner, "probe"),
        distribution=Distribution(inner["loadDistribution"]),
        floating=inner["enableFloatingIP"],
        idle_timeout=60 * inner["idleTimeoutInMinutes"],
        tcp_reset=inner["enableTcpReset"],
        outbound_snat=not inner["disableOutboundSnat"],
        connection_tracking=inner["enableConnectionTracking"],
    )


def _nat_rule(part: Document, kept: Document) -> InboundNatRule:
    inner = part["properties"]
    ports = kept.get("natPorts", {}).get(part["name"].lower(), {})
    return InboundNatRule(
        id=parse(part["id"]),
        frontend=_named(inner, "frontendIPConfiguration"),
        protocol=Transport(inner["protocol"]),
        backend_port=inner["backendPort"],
        first_port=inner.get("frontendPort") or inner["frontendPortRangeStart"],
        last_port=inner.get("frontendPort") or inner["frontendPortRangeEnd"],
        pool=linked(inner, "backendAddressPool"),
        ports=tuple((ip_address(address), port) for address, port in ports.items()),
        floating=inner["enableFloatingIP"],
        idle_timeout=60 * inner["idleTimeoutInMinutes"],
        tcp_reset=inner["enableTcpReset"],
    )


def _outbound(part: Document) -> OutboundRule:
    inner = part["properties"]
    return OutboundRule(
        id=parse(part["id"]),
        protocol=Transport(inner["protocol"]),
        frontends=tuple(parse(each["id"]) for each in inner["frontendIPConfigurations"]),
        pool=_named(inner, "backendAddressPool"),
        ports=inner["allocatedOutboundPorts"],
        idle_timeout=60 * inner["idleTimeoutInMinutes"],
        tcp_reset=inner["enableTcpReset"],
    )


def _named(inner: Document, key: str) -> ResourceId:
    return parse(inner[key]["id"])
