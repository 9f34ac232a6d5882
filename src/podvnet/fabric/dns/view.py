"""What names mean in one virtual network.

Pure. Source: Azure documents "Name resolution for resources in Azure virtual networks" (names of VMs: of the primary
NIC, forward and reverse, not across virtual networks), "What is a private Azure DNS zone?".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address

from podvnet.fabric.arm.private_dns_links import REGISTERED_TTL
from podvnet.fabric.arm.private_dns_records import LABEL
from podvnet.fabric.dns.public_names import public_aliases, public_names
from podvnet.fabric.dns.zone import Zone
from podvnet.model.address import Address
from podvnet.model.dns import PrivateZone, RecordSet
from podvnet.model.intent import Intent, NetworkInterface, VirtualMachine, VirtualNetwork

_INTERNAL = "internal.cloudapp.net"
"""What the names of all virtual networks end with. None has a meaning in another virtual network."""
_REVERSE = {"in-addr.arpa": 4, "ip6.arpa": 6}
Indexed = Callable[[PrivateZone, bool], Zone]


class View:
    """The names of a virtual network.

    Args:
        intent: everything there is.
        network: the virtual network.
        indexed: gives a private zone by names, as a link with or without redirection shows it.
        public: the fabric's own public names, and what some of them are aliases of.

    Attributes:
        owners: by address, the id key of the VM that sends from it.
    """

    def __init__(
        self,
        intent: Intent,
        network: VirtualNetwork,
        indexed: Indexed,
        public: tuple[Mapping[str, tuple[Address, ...]], Mapping[str, str]],
    ) -> None:
        self._network = network
        self.public, self.aliases = public
        self.owners: dict[str, str] = {}
        self._zones: dict[str, Zone] = {}
        self._zones[_INTERNAL] = Zone(_INTERNAL, ())
        registering = []
        for zone in intent.private_zones.values():
            for link in zone.links:
                if link.virtual_network == network.id:
                    self._zones[zone.name] = indexed(zone, link.redirect)
                    registering += [zone.name] if link.registration else []
        hosts = list(_hosts(intent, network))
        own = [
            RecordSet(host, "A", REGISTERED_TTL, tuple(map(str, addresses)))
            for host, addresses in _joined(hosts).items()
        ]
        self._zones[network.domain_suffix] = Zone(network.domain_suffix, own)
        self._hosts_at: dict[Address, list[str]] = {}
        for host, address in hosts:
            self._hosts_at.setdefault(address, []).append(f"{host}.{network.domain_suffix}")
        for machine in intent.machines.values():
            for position, nic in enumerate(intent.machine_nics(machine)):
                if nic.virtual_network == network.id:
                    if position == 0:
                        names = self._hosts_at.setdefault(nic.primary().address, [])
                        names += [f"{host}.{zone}" for host in _host(machine) for zone in registering]
                    self.owners.update((str(each.address), machine.id.key) for each in nic.ip_configurations)

    def zone_of(self, name: str) -> Zone | None:
        """The zone that a name is in: the one with the longest suffix."""
        while name:
            if name in self._zones:
                return self._zones[name]
            name = name.partition(".")[2]
        return None

    def hosts_at(self, name: str) -> list[str] | None:
        """The names that a reverse name leads to, none where it has none; None for one that is not private."""
        address = _address_of(name)
        if address is None:
            return None
        if address in self._hosts_at:
            return self._hosts_at[address]
        ours = any(address.version == each.version and address in each for each in self._network.prefixes)
        return [] if ours or not address.is_global else None


class Views:
    """The views of an intent, each made when it is first asked for. Zones that stay are not indexed again.

    Args:
        intent: gives the intent as it is now.
    """

    def __init__(self, intent: Callable[[], Intent]) -> None:
        self._intent = intent
        self._of: Intent | None = None
        self._views: dict[str, View] = {}
        self._zones: dict[tuple[int, bool], tuple[PrivateZone, Zone]] = {}
        self._public: tuple[Mapping[str, tuple[Address, ...]], Mapping[str, str]] = ({}, {})

    def find(self, network: str) -> View | None:
        """The view of the virtual network with an id key; None when it is gone."""
        intent = self._intent()
        if intent is not self._of:
            self._of, self._views = intent, {}
            self._public = public_names(intent), public_aliases(intent)
            known = {id(zone) for zone in intent.private_zones.values()}
            self._zones = {key: kept for key, kept in self._zones.items() if key[0] in known}
        if network not in self._views:
            found = intent.virtual_networks.get(network)
            if found is None:
                return None
            self._views[network] = View(intent, found, self._indexed, self._public)
        return self._views[network]

    def _indexed(self, zone: PrivateZone, redirect: bool) -> Zone:
        key = (id(zone), redirect)
        if key not in self._zones:
            self._zones[key] = (zone, Zone(zone.name, zone.record_sets, redirect=redirect))
        return self._zones[key][1]


def _hosts(intent: Intent, network: VirtualNetwork) -> Iterator[tuple[str, Address]]:
    """The names that VMs of a network have by themselves, with their addresses: of the primary NIC, and of labels."""
    for machine in intent.machines.values():
        for position, nic in enumerate(intent.machine_nics(machine)):
            if nic.virtual_network == network.id:
                for host in dict.fromkeys((*(_host(machine) if position == 0 else ()), *_label(nic))):
                    yield host, nic.primary().address


def _host(machine: VirtualMachine) -> tuple[str, ...]:
    """What a VM calls itself, where that can be a name."""
    host = (machine.host_name or machine.id.name).lower()
    return (host,) if LABEL.fullmatch(host) else ()


def _label(nic: NetworkInterface) -> tuple[str, ...]:
    return (nic.name_label.lower(),) if nic.name_label else ()


def _joined(hosts: list[tuple[str, Address]]) -> dict[str, list[Address]]:
    found: dict[str, list[Address]] = {}
    for host, address in hosts:
        found.setdefault(host, []).append(address)
    return found


def _address_of(name: str) -> Address | None:
    """The address that a whole reverse name stands for. Source: RFC 1035, section 3.5; RFC 3596, section 2.5."""
    for suffix, version in _REVERSE.items():
        labels = name.removesuffix(f".{suffix}").split(".")
        if name.endswith(f".{suffix}") and len(labels) == (4 if version == 4 else 32):
            labels.reverse()
            groups = ["".join(labels[i : i + 4]) for i in range(0, 32, 4)]
            try:
                return ip_address(".".join(labels) if version == 4 else ":".join(groups))
            except ValueError:
                return None
    return None
