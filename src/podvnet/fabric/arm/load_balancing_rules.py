"""The rules of a load balancer: probes, load balancing rules, inbound NAT rules, outbound rules.

Sources: Azure documents "Load Balancer health probes", "Azure Load Balancer distribution modes", "Floating IP
configuration", "High availability ports overview", "Inbound NAT rules", "Outbound rules Azure Load Balancer".
"""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.resource_type import check_name
from podvnet.fabric.arm.world import LOAD_BALANCERS, Document
from podvnet.model.resource_id import ResourceId, Scope

_BANNED_PORTS = {19, 21, 25, 70, 110, 119, 143, 220, 993}
"""Ports that HTTP probes may not ask."""
_IDLE = (4, 100)
_OUTBOUND_IDLE = (4, 120)
_PROBE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a load balancer that its rules refer to."""

    balancer: ResourceId
    frontends: list[Document]
    pools: list[Document]
    probes: list[Document]

    def frontend(self, reference: Fields) -> Document:
        """The frontend that a reference names."""
        return self._find(reference, "frontendIPConfigurations", self.frontends)

    def pool(self, reference: Fields) -> Document:
        """The backend pool that a reference names."""
        return self._find(reference, "backendAddressPools", self.pools)

    def probe(self, reference: Fields) -> Document:
        """The probe that a reference names."""
        return self._find(reference, "probes", self.probes)

    def _find(self, reference: Fields, kind: str, parts: list[Document]) -> Document:
        scope = Scope(self.balancer.subscription, self.balancer.resource_group)
        wanted = reference.identity(scope, f"{LOAD_BALANCERS}/{kind}")
        for part in parts:
            if part["id"].lower() == wanted.key:
                return part
        raise reference.error(
            "InvalidResourceReference",
            f"Resource {wanted} referenced by resource {self.balancer} was not found. Please make sure that the"
            " referenced resource exists, and that both resources are in the same region",
            "id",
        )


def settle_probe(balancer: ResourceId, fields: Fields) -> Document:
    """Check and complete a probe."""
    inner = fields.fields("properties")
    inner.allow("provisioningState", "loadBalancingRules")
    protocol = inner.choice("protocol", "", "Tcp", "Http", "Https")
    inner.integer("port")
    port = inner.number("port", 0, 1, 65535)
    path = inner.text("requestPath")
    if bool(path) != (protocol != "Tcp"):
        what = "cannot be given with Tcp" if path else f"is required with {protocol}"
        raise inner.error("InvalidRequestFormat", what, "requestPath")
    if protocol != "Tcp" and port in _BANNED_PORTS:
        raise inner.error("InvalidRequestFormat", f"{port} may not be probed by {protocol}", "port")
    interval = inner.number("intervalInSeconds", 15, 5, 2_147_483_646)
    count = inner.number("numberOfProbes", 1, 1, 2_147_483_646)
    threshold = inner.number("probeThreshold", 1, 1, 100)
    if interval * threshold >= _PROBE_SECONDS:
        raise inner.error(
            "InvalidRequestFormat",
            f"intervalInSeconds times probeThreshold must be less than {_PROBE_SECONDS}, not {interval * threshold}",
        )
    healthy = inner.choice("noHealthyBackendsBehavior", "AllProbedDown", "AllProbedDown", "AllProbedUp")
    settled: Document = {"provisioningState": "Succeeded", "protocol": protocol, "port": port}
    settled |= {"requestPath": path} if path else {}
    settled |= {
        "intervalInSeconds": interval,
        "numberOfProbes": count,
        "probeThreshold": threshold,
        "noHealthyBackendsBehavior": healthy,
    }
    return _part(balancer, "probes", fields, inner, settled)


def settle_rule(parts: Parts, fields: Fields) -> Document:
    """Check and complete a load balancing rule."""
    inner = fields.fields("properties")
    inner.allow("provisioningState")
    frontend = parts.frontend(inner.fields("frontendIPConfiguration"))
    pools = [parts.pool(each) for each in inner.each("backendAddressPools")]
    if inner.has("backendAddressPool"):
        one = parts.pool(inner.fields("backendAddressPool"))
        if pools and one not in pools:
            raise inner.error("InvalidRequestFormat", "is not among backendAddressPools", "backendAddressPool")
        pools = pools or [one]
    inner.allow("backendAddressPool")
    if len(pools) > 1:
        raise inner.error(
            "UnsupportedProperty", "several pools are for load balancers of SKU Gateway", "backendAddressPools"
        )
    protocol = inner.choice("protocol", "", "Tcp", "Udp", "All")
    inner.integer("frontendPort")
    front, back = inner.number("frontendPort", 0, 0, 65534), inner.number("backendPort", 0, 0, 65535)
    if protocol == "All" and (front or back):
        raise inner.error("InvalidRequestFormat", "protocol All goes with ports 0 and 0 (HA ports)", "frontendPort")
    if protocol == "All" and "subnet" not in frontend["properties"]:
        raise inner.error("InvalidRequestFormat", "HA ports are for internal load balancers", "protocol")
    if protocol != "All" and not (front and back):
        raise inner.error("InvalidRequestFormat", f"protocol {protocol} needs ports other than 0", "frontendPort")
    settled: Document = {
        "provisioningState": "Succeeded",
        "frontendIPConfiguration": {"id": frontend["id"]},
        "frontendPort": front,
        "backendPort": back,
        "enableFloatingIP": inner.flag("enableFloatingIP", default=False),
        "idleTimeoutInMinutes": inner.number("idleTimeoutInMinutes", _IDLE[0], *_IDLE),
        "protocol": protocol,
        "enableTcpReset": inner.flag("enableTcpReset", default=False),
        "loadDistribution": inner.choice("loadDistribution", "Default", "Default", "SourceIP", "SourceIPProtocol"),
        "disableOutboundSnat": inner.flag("disableOutboundSnat", default=False),
        "enableConnectionTracking": inner.flag("enableConnectionTracking", default=False),
        "backendAddressPools": [{"id": each["id"]} for each in pools],
    }
    if pools:
        settled["backendAddressPool"] = {"id": pools[0]["id"]}
    if inner.has("probe"):
        settled["probe"] = {"id": parts.probe(inner.fields("probe"))["id"]}
    inner.allow("probe")
    return _part(parts.balancer, "loadBalancingRules", fields, inner, settled)


def settle_nat_rule(parts: Parts, fields: Fields) -> Document:
    """Check and complete an inbound NAT rule: to one ip-configuration, or a range of ports to a pool."""
    inner = fields.fields("properties")
    inner.allow("provisioningState", "backendIPConfiguration")
    frontend = parts.frontend(inner.fields("frontendIPConfiguration"))
    protocol = inner.choice("protocol", "", "Tcp", "Udp", "All")
    inner.integer("backendPort")
    settled: Document = {
        "provisioningState": "Succeeded",
        "frontendIPConfiguration": {"id": frontend["id"]},
        "protocol": protocol,
        "backendPort": inner.number("backendPort", 0, 1, 65535),
        "enableFloatingIP": inner.flag("enableFloatingIP", default=False),
        "idleTimeoutInMinutes": inner.number("idleTimeoutInMinutes", _IDLE[0], *_IDLE),
        "enableTcpReset": inner.flag("enableTcpReset", default=False),
    }
    # What one kind does not have, the server shows as 0 and clients send back.
    first = inner.number("frontendPortRangeStart", 0, 0, 65534)
    last = inner.number("frontendPortRangeEnd", 0, 0, 65534)
    port = inner.number("frontendPort", 0, 0, 65534)
    if inner.has("backendAddressPool"):
        if port or not 1 <= first <= last:
            raise inner.error(
                "InvalidRequestFormat", "a rule to a pool needs frontendPortRangeStart to End, and no frontendPort"
            )
        settled |= {
            "frontendPortRangeStart": first,
            "frontendPortRangeEnd": last,
            "backendAddressPool": {"id": parts.pool(inner.fields("backendAddressPool"))["id"]},
        }
    else:
        if first or last or not port:
            raise inner.error("InvalidRequestFormat", "needs frontendPort, or a range of ports and a pool")
        settled["frontendPort"] = port
    inner.allow("backendAddressPool")
    return _part(parts.balancer, "inboundNatRules", fields, inner, settled)


def settle_outbound(parts: Parts, fields: Fields) -> Document:
    """Check and complete an outbound rule."""
    inner = fields.fields("properties")
    inner.allow("provisioningState")
    frontends = [parts.frontend(each) for each in inner.each("frontendIPConfigurations")]
    if not frontends:
        raise inner.error("InvalidRequestFormat", "at least one is required", "frontendIPConfigurations")
    pool = parts.pool(inner.fields("backendAddressPool"))
    ports = inner.number("allocatedOutboundPorts", 0, 0, 64_000)
    if ports % 8:
        raise inner.error("InvalidRequestFormat", f"must be a multiple of 8, not {ports}", "allocatedOutboundPorts")
    settled: Document = {
        "provisioningState": "Succeeded",
        "allocatedOutboundPorts": ports,
        "protocol": inner.choice("protocol", "", "Tcp", "Udp", "All"),
        "enableTcpReset": inner.flag("enableTcpReset", default=False),
        "idleTimeoutInMinutes": inner.number("idleTimeoutInMinutes", _OUTBOUND_IDLE[0], *_OUTBOUND_IDLE),
        "frontendIPConfigurations": [{"id": each["id"]} for each in frontends],
        "backendAddressPool": {"id": pool["id"]},
    }
    return _part(parts.balancer, "outboundRules", fields, inner, settled)


def _part(balancer: ResourceId, kind: str, fields: Fields, inner: Fields, settled: Document) -> Document:
    name = fields.required("name")
    resource = balancer.child(kind, name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    inner.refuse_unread()
    fields.refuse_unread()
    return {"name": name, "id": str(resource), "type": f"{LOAD_BALANCERS}/{kind}", "properties": settled}
