"""Who takes what is sent to addresses that are no VM's: of load balancers, public ones, those of private endpoints.

Sources: Azure documents "Azure Load Balancer components", "Public IP addresses", "What is a private endpoint?".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Network

from podvnet.model.address import Address, Prefix
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface
from podvnet.model.load_balancer import Frontend, LoadBalancer
from podvnet.model.private_endpoint import PrivateEndpoint
from podvnet.model.resource_id import ResourceId
from podvnet.plan.address_space import holds
from podvnet.plan.backends import Backends
from podvnet.plan.effective_routes import NEVER_INTERNET

_NEVER_INTERNET: tuple[Prefix, ...] = (*NEVER_INTERNET, IPv6Network("fc00::/7"), IPv6Network("fe80::/10"))


@dataclass(frozen=True, slots=True)
class Entrance:
    """A frontend, and the load balancer it is of."""

    balancer: LoadBalancer
    frontend: Frontend


@dataclass(frozen=True, slots=True)
class Owner:
    """A NIC's address that has a public one of its own. ``public`` is the public address."""

    nic: NetworkInterface
    configuration: IpConfiguration
    public: ResourceId


class Entrances:
    """The index of an intent, which must not change meanwhile."""

    def __init__(self, intent: Intent, backends: Backends) -> None:
        self._intent = intent
        self._backends = backends

    def private(self, network: ResourceId, address: Address) -> Entrance | None:
        """The frontend of an internal load balancer that has an address of a virtual network."""
        return self._private.get((network.key, address))

    def endpoint(self, network: ResourceId, address: Address) -> PrivateEndpoint | None:
        """The private endpoint that has an address of a virtual network."""
        return self._endpoints.get((network.key, address))

    def public(self, address: Address) -> Entrance | None:
        """The frontend that has a public address."""
        return self._public.get(address)

    def owner(self, address: Address) -> Owner | None:
        """Whose own public address this is."""
        return self._owners.get(address)

    def lender(self, address: Address) -> ResourceId | None:
        """The NIC or NAT gateway that only sends from a public address: nobody can come in by it."""
        return self._lenders.get(address)

    def knows(self, address: Address) -> bool:
        """Whether a packet to a public address comes to a virtual network."""
        return any((self.public(address), self.owner(address), self.lender(address)))

    @cached_property
    def _private(self) -> dict[tuple[str, Address], Entrance]:
        return {
            (frontend.subnet.parent.key, frontend.address): Entrance(balancer, frontend)
            for balancer in self._intent.load_balancers.values()
            for frontend in balancer.frontends
            if frontend.subnet and frontend.address
        }

    @cached_property
    def _endpoints(self) -> dict[tuple[str, Address], PrivateEndpoint]:
        return {(each.network.key, each.address): each for each in self._intent.private_endpoints.values()}

    @cached_property
    def _public(self) -> dict[Address, Entrance]:
        return {
            address: Entrance(balancer, frontend)
            for balancer in self._intent.load_balancers.values()
            for frontend in balancer.frontends
            if frontend.public
            for address in self._backends.addresses(frontend)
        }

    @cached_property
    def _owners(self) -> dict[Address, Owner]:
        return {
            address: Owner(nic, config, config.public)
            for nic in self._intent.nics.values()
            for config in nic.exposed
            if config.public
            for address in self._intent.public_addresses[config.public.key].addresses
        }

    @cached_property
    def _lenders(self) -> dict[Address, ResourceId]:
        found = {
            config.outbound: nic.id
            for machine in self._intent.machines.values()
            if machine.running
            for nic in self._intent.machine_nics(machine)
            for config in nic.exposed
            if config.outbound
        }
        for gateway in self._intent.nat_gateways.values():
            for public in gateway.addresses:
                found |= dict.fromkeys(self._intent.public_addresses[public.key].addresses, gateway.id)
        return found


def is_of_internet(address: Address) -> bool:
    """Whether hosts of the internet can have an address."""
    return not holds(_NEVER_INTERNET, address)
