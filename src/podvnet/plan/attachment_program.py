"""What one pod's attachment is made of in the kernel, in each mode.

The pod's side is the same in every mode: its address without a route to the subnet, a default route by the subnet's
gateway, and a permanent neighbour for that gateway, the same for each IP version. So a pod never needs ARP or neighbour
discovery, and whatever it sends is addressed to the gateway: the host decides what is near.

The VM's side is a routed port (``transparent``) or a bridge port (``bridge``, ``tunnel``). In both, what the pod may
send as (link, MAC, address) is an element of the sets that :mod:`podvnet.plan.node_ruleset` checks; all else is
dropped.

An attachment that is *offered* is one whose container end an engine takes from the VM's own namespace and configures
with what it is told: address, routes, next hop. Nobody there knows neighbours, so the VM's end answers for the next
hops, and the container may ask for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

from podvnet.model.address import PLATFORM_MAC, Address, Interface, Mac, Prefix, link_local, mac_bytes
from podvnet.model.attachment import BRIDGE_INDEX, Attachment, Mode
from podvnet.model.kernel import (
    LOOPBACK,
    BridgeEntry,
    Element,
    InterfaceAddress,
    KernelObject,
    LinkUp,
    Neighbour,
    NeighbourProxy,
    Route,
    Step,
    Sysctl,
    VethPair,
    field_bytes,
    host_prefix,
    index_bytes,
)
from podvnet.plan.node_ruleset import TABLE

HOST = "host"
POD = "pod"
"""The labels of the two namespaces of an attachment."""

ROUTED_MAC = Mac("aa:aa:aa:aa:aa:aa")
"""The MAC of the host ends of routed pods."""

EVERYWHERE: Mapping[int, Prefix] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
"""The prefix that holds every address of an IP version."""


def attach_steps(attachment: Attachment) -> tuple[Step, ...]:
    """The steps of an attachment, in order: guard, host side, pod side."""
    return (
        *(Step(True, HOST, item) for item in guard(attachment)),
        *(Step(True, HOST, item) for item in host_side(attachment)),
        *(Step(True, POD, item) for item in pod_side(attachment)),
    )


def offer_steps(attachment: Attachment) -> tuple[Step, ...]:
    """The steps of an offered attachment. Only for the mode ``transparent``."""
    name = attachment.link_name
    # Answers to what the VM itself sends to a published port at 127.0.0.1 come back by the link. Nothing else may reach
    # 127.0.0.1 by it: the VM's table drops that before it is translated.
    settings = [Sysctl(f"ipv4/conf/{name}/route_localnet", "1")]
    if any(each.version == 6 for each in attachment.addresses):
        settings.append(Sysctl(f"ipv6/conf/{name}/proxy_ndp", "1"))
    items: list[KernelObject] = [*guard(attachment), *host_side(attachment), *settings]
    return tuple(Step(True, HOST, item) for item in items)


def next_hop(interface: Interface) -> Address:
    """The next hop an engine configures beside an address.

    It is the subnet's first address in IPv6 too, which Azure reserves as well: the gateway that VMs have there,
    fe80::1234:5678:9abc, would be the same on each interface of a container with several.
    """
    return interface.network.network_address + 1


def guard(attachment: Attachment) -> list[Element]:
    """The elements that let the pod send and be found. Each IP version has sets of its own."""
    index = index_bytes(attachment.link_index)
    mac = mac_bytes(attachment.mac)
    elements: list[Element] = []
    for interface in attachment.addresses:
        version, address = interface.version, interface.ip.packed
        source = field_bytes(index, mac, address)
        elements.append(Element("inet", TABLE, f"pods{version}", address))
        if attachment.mode is Mode.TRANSPARENT:
            elements.append(Element("inet", TABLE, f"sources{version}", source))
            if version == 4:
                elements.append(Element("arp", TABLE, "sources4", source))
            if attachment.offered and version == 6:
                elements += _solicitors(attachment, interface)
            continue
        elements.append(Element("bridge", TABLE, f"sources{version}", source))
        elements.append(Element("bridge", TABLE, f"delivery{version}", address, mac))
        if attachment.mode is Mode.BRIDGE:
            elements.append(Element("bridge", TABLE, f"local{version}", address, mac))
    if attachment.offered:
        elements.append(Element("inet", TABLE, "autoconfigured", index))
    if attachment.mode is Mode.TUNNEL:
        elements.append(Element("bridge", TABLE, "tunnel_ports", index))
    return elements


def _solicitors(attachment: Attachment, interface: Interface) -> list[Element]:
    """What a container may solicit neighbours as: Linux asks again by the link-local address it gave itself."""
    link, mac = index_bytes(attachment.link_index), mac_bytes(attachment.mac)
    own = (interface.ip, link_local(attachment.mac))
    return [Element("inet", TABLE, "solicitors6", field_bytes(link, mac, each.packed)) for each in own]


def host_side(attachment: Attachment) -> list[KernelObject]:
    """The link and what leads to it on the VM."""
    index = attachment.link_index
    routed = attachment.mode is Mode.TRANSPARENT
    objects: list[KernelObject] = [
        VethPair(
            name=attachment.link_name,
            index=index,
            mac=host_mac(attachment),
            peer_namespace=HOST if attachment.offered else POD,
            peer_name=attachment.offered_name if attachment.offered else attachment.key.ifname,
            peer_index=0 if attachment.offered else index,  # 0: the kernel chooses; both ends lie in one namespace
            peer_mac=attachment.mac,
            mtu=attachment.mtu,
            proxy_arp=routed,
            bridge=0 if routed else BRIDGE_INDEX,
            alias=attachment.label,
        )
    ]
    if not routed:
        objects.append(BridgeEntry(index, attachment.mac))
    if not routed:
        return [*objects, *way_by_bridge(attachment)]
    for interface in attachment.addresses:
        objects.append(Neighbour(index, interface.ip, attachment.mac))
        objects.append(Route(host_prefix(interface.ip), index))
        if attachment.offered and interface.version == 6:
            objects.append(NeighbourProxy(index, next_hop(interface)))
    return objects


def way_by_bridge(attachment: Attachment) -> list[Neighbour | Route]:
    """What leads to a bridged pod on the VM and does not go with its link.

    What the VM forwards to a pod (answers from the internet) has sources the virtual network would refuse, so it goes
    straight to the pod in both modes. An IPv6 subnet is not on the link, so there the pod needs a route as well.
    """
    objects: list[Neighbour | Route] = []
    for interface in attachment.addresses if attachment.mode is not Mode.TRANSPARENT else ():
        objects.append(Neighbour(BRIDGE_INDEX, interface.ip, attachment.mac))
        if interface.version == 6:
            objects.append(Route(host_prefix(interface.ip), BRIDGE_INDEX))
    return objects


def pod_side(attachment: Attachment) -> list[KernelObject]:
    """What the pod's namespace is given."""
    index = attachment.link_index
    objects: list[KernelObject] = [LinkUp(LOOPBACK), LinkUp(index)]
    mac = ROUTED_MAC if attachment.mode is Mode.TRANSPARENT else PLATFORM_MAC
    for interface, gateway in zip(attachment.addresses, attachment.gateways, strict=True):
        objects.append(InterfaceAddress(index, interface))
        objects.append(Neighbour(index, gateway, mac))
        objects.append(Route(host_prefix(gateway), index))
        objects.append(Route(EVERYWHERE[interface.version], index, gateway))
    return objects


def host_mac(attachment: Attachment) -> Mac:
    """The MAC of the host end."""
    # Nobody addresses a bridge port by its MAC, but each must differ from the bridge's and from the pod's.
    return ROUTED_MAC if attachment.mode is Mode.TRANSPARENT else Mac("fe" + attachment.mac[2:])
