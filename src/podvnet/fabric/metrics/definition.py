"""Which metrics there are, by type of resource. Those that nothing here could measure are left out.

Source: Azure documents "Supported metrics for Microsoft.Network/loadBalancers" and "… natGateways".
"""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.fabric.arm.world import LOAD_BALANCERS, NAT_GATEWAYS


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric.

    Attributes:
        name, shown: in the API, and for people.
        aggregation: how a minute's values are put together unless another way is asked for.
    """

    name: str
    shown: str
    aggregation: str
    dimensions: tuple[str, ...] = ()


VIP = Definition("VipAvailability", "Data Path Availability", "Average", ("FrontendIPAddress", "FrontendPort"))
DIP = Definition(
    "DipAvailability",
    "Health Probe Status",
    "Average",
    ("ProtocolType", "BackendPort", "FrontendIPAddress", "FrontendPort", "BackendIPAddress"),
)
SNAT_CONNECTIONS = Definition(
    "SnatConnectionCount",
    "SNAT Connection Count",
    "Total",
    ("FrontendIPAddress", "BackendIPAddress", "ConnectionState"),
)
_PORTS = ("FrontendIPAddress", "BackendIPAddress", "ProtocolType")
ALLOCATED = Definition("AllocatedSnatPorts", "Allocated SNAT Ports", "Average", _PORTS)
USED = Definition("UsedSnatPorts", "Used SNAT Ports", "Average", _PORTS)

GATEWAY_CONNECTIONS = Definition(
    "SNATConnectionCount", "SNAT Connection Count", "Total", ("Protocol", "ConnectionState")
)
GATEWAY_TOTAL = Definition("TotalConnectionCount", "Total SNAT Connection Count", "Total", ("Protocol",))
GATEWAY_DROPS = Definition("PacketDropCount", "Dropped Packets", "Total")

DEFINITIONS: dict[str, tuple[Definition, ...]] = {
    LOAD_BALANCERS: (VIP, DIP, SNAT_CONNECTIONS, ALLOCATED, USED),
    NAT_GATEWAYS: (GATEWAY_CONNECTIONS, GATEWAY_TOTAL, GATEWAY_DROPS),
}
