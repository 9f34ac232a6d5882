"""Names and numbers of things in the kernel, derived from those of Azure: the same at every start.

Namespaces are found by people with ``ip netns``; interface names may have 15 characters, so they come from numbers.
"""

from __future__ import annotations

from podvnet.model.address import Mac
from podvnet.model.resource_id import DEFAULT_RESOURCE_GROUP, ResourceId

PREFIX = "podvnet-"
TABLE = "podvnet"
"""The nftables table of a virtual network's namespace."""
INTERNET = PREFIX + "internet"
SERVICES = PREFIX + "services"
"""The namespace in which stand-ins of Azure's services live."""
MACHINE_PREFIX = PREFIX + "vm-"

GUEST_NIC_INDEX = 2
"""The index of a VM's first NIC inside the VM; the others follow."""

UPLINK = "internet"
"""The interface of a virtual network's namespace that leads to the internet namespace."""
UPLINK_INDEX = 2
SERVICES_LINK = "services"
"""The interface, of a virtual network's namespace and of the internet's, that leads to the services."""
SERVICES_INDEX = 3
_FIRST_PORT = 1000
_FIRST_INTERNET_LINK = 1000
_FIRST_PEER_LINK = 200_000
_FIRST_APPLIANCE_LINK = 1_000_000
_APPLIANCE_LINKS_A_NETWORK = 100_000
_FIRST_GATEWAY_LINK = 300_000
_FIRST_SITE_LINK = 400_000
_FIRST_HOST_LINK = 1000
_FIRST_CIRCUIT_LINK = 500_000
_FIRST_TUNNEL = 1 << 28

PLAIN_TABLE = 1000
"""The routing table, and the mark, of subnets without a route table; those of route tables follow."""
_FIRST_APPLIANCE_TABLE = 1 << 30
_ENDPOINTS_SHIFT = 20
_FIRST_PEER_ZONE = 50_000
_FIRST_GATEWAY_ZONE = 60_000
BETWEEN_APPLIANCES = 65_000
"""The conntrack zone of what one appliance forwards to another."""


def network_namespace(network: ResourceId) -> str:
    """The namespace of a virtual network, e.g. ``podvnet-vnet-hub``."""
    return PREFIX + "vnet-" + _qualified(network)


def machine_namespace(machine: ResourceId) -> str:
    """The namespace of a VM, e.g. ``podvnet-vm-web``."""
    return MACHINE_PREFIX + _qualified(machine)


def _qualified(resource: ResourceId) -> str:
    # Names are unique in a resource group only. Two dots cannot come from a name, which ends in a word character.
    group = resource.resource_group.lower()
    return resource.name.lower() if group == DEFAULT_RESOURCE_GROUP else f"{group}..{resource.name.lower()}"


def port_index(nic_number: int) -> int:
    """The index of a NIC's port in its virtual network's namespace."""
    return _FIRST_PORT + nic_number


def port_name(nic_number: int) -> str:
    """The name of a NIC's port."""
    return f"nic{nic_number}"


def internet_link_index(network_number: int) -> int:
    """The index, in the namespaces of the internet and of the services, of the link to a virtual network."""
    return _FIRST_INTERNET_LINK + network_number


def internet_link_name(network_number: int) -> str:
    """The name of that link."""
    return f"vnet{network_number}"


def services_table(network_number: int) -> int:
    """The routing table, the mark and the conntrack zone, in the services' namespace, of a virtual network's flows."""
    return _FIRST_INTERNET_LINK + network_number


def routing_table(number: int, services: tuple[int, ...] = ()) -> int:
    """The routing table, and the mark, of subnets with the route table of this number, 0 for none.

    ``services`` are the places in ``ENDPOINT_TAGS`` of those that the subnets have endpoints for.
    """
    return PLAIN_TABLE + number + sum(1 << (_ENDPOINTS_SHIFT + each) for each in services)


def appliance_table(nic_number: int) -> int:
    """The routing table, and the mark, of what a peered network sends to an appliance here."""
    return _FIRST_APPLIANCE_TABLE + nic_number


def peer_link_index(network_number: int) -> int:
    """The index of the link to a peered virtual network."""
    return _FIRST_PEER_LINK + network_number


def peer_link_name(network_number: int) -> str:
    """The name of that link."""
    return f"peer{network_number}"


def appliance_link_index(nic_number: int, sender: int = 0) -> int:
    """The index of the link to an appliance of a peered network; at its far end by the sending network's number."""
    return _FIRST_APPLIANCE_LINK + sender * _APPLIANCE_LINKS_A_NETWORK + nic_number


def appliance_link_name(nic_number: int, sender: int = 0) -> str:
    """The name of that link's near end, or of its far end."""
    return f"via{sender}x{nic_number}" if sender else f"via{nic_number}"


def gateway_namespace(gateway: ResourceId) -> str:
    """The namespace of a gateway of a virtual network."""
    return PREFIX + "gateway-" + _qualified(gateway)


def site_namespace(site: ResourceId) -> str:
    """The namespace of the router of a site on premises."""
    return PREFIX + "site-" + _qualified(site)


def site_host_namespace(site: ResourceId, host: str) -> str:
    """The namespace of a host on premises."""
    return f"{site_namespace(site)}..{host.lower()}"


def gateway_link_index(gateway_number: int) -> int:
    """The index, in a virtual network's namespace, of the link to a gateway that it uses: its own or a peer's."""
    return _FIRST_GATEWAY_LINK + gateway_number


def gateway_link_name(gateway_number: int) -> str:
    """The name of that link."""
    return f"gw{gateway_number}"


def edge_namespace(circuit: ResourceId) -> str:
    """The namespace of Microsoft's edge of an ExpressRoute circuit."""
    return PREFIX + "edge-" + _qualified(circuit)


def tunnel_namespace(router: str, label: str) -> str:
    """The namespace of an end of a tunnel, beside its router's."""
    return f"{router}..{label}"


def connection_label(connection: ResourceId, position: int) -> str:
    """What tells the ends of a gateway's tunnels apart; ``position`` is that of the gateway's instance."""
    return f"{_qualified(connection)}..{position}" if position else _qualified(connection)


def tunnel_index(number: int, *, outer: bool) -> int:
    """The index, in a router's namespace, of a link to an end of a tunnel: of that for what is encrypted, or inside."""
    return _FIRST_TUNNEL + 2 * number + outer


def tunnel_link_name(number: int, *, outer: bool) -> str:
    """The name of that link."""
    return f"{'out' if outer else 'tun'}{number:x}"


def site_link_index(site_number: int) -> int:
    """The index, in the internet's namespace, of the link to a site on premises."""
    return _FIRST_SITE_LINK + site_number


def site_link_name(site_number: int) -> str:
    """The name of that link."""
    return f"site{site_number}"


def site_host_index(position: int) -> int:
    """The index, in a site's router, of the link to the host at this place."""
    return _FIRST_HOST_LINK + position


def circuit_link_index(circuit_number: int, *, secondary: bool) -> int:
    """The index of one of a circuit's two links, in the site's router and at the edge."""
    return _FIRST_CIRCUIT_LINK + 2 * circuit_number + secondary


def circuit_link_name(circuit_number: int, *, secondary: bool) -> str:
    """The name of that link."""
    return f"er{circuit_number}{'b' if secondary else 'a'}"


def edge_link_index(circuit_number: int) -> int:
    """The index, in an ExpressRoute gateway's namespace, of the link to a circuit's edge."""
    return _FIRST_CIRCUIT_LINK + circuit_number


def edge_link_name(circuit_number: int) -> str:
    """The name of that link."""
    return f"edge{circuit_number}"


def nic_zone(nic_number: int) -> int:
    """The conntrack zone of the legs between a NIC and an appliance."""
    return nic_number


def gateway_zone(gateway_number: int) -> int:
    """The conntrack zone of the legs between a gateway and an appliance."""
    return _FIRST_GATEWAY_ZONE + gateway_number


def peer_zone(network_number: int) -> int:
    """The conntrack zone of the legs between a peered network and an appliance."""
    return _FIRST_PEER_ZONE + network_number


INTERNET_MAC = Mac("12:34:56:78:9a:01")
EDGE_MAC = Mac("12:34:56:78:9a:02")
"""The two ends of the link between a virtual network and the internet."""

NEAR_MAC = Mac("12:34:56:78:9a:03")
FAR_MAC = Mac("12:34:56:78:9a:04")
"""The two ends of a link between virtual networks."""
