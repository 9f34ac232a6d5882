"""The public addresses of a topology that is built, and how the internet reaches them."""

from __future__ import annotations

from dataclasses import replace

from podvnet.model.address import Address
from podvnet.model.flow import Flow
from podvnet.model.intent import Intent
from podvnet.model.kernel import Route, host_prefix
from podvnet.plan import names
from podvnet.plan.backends import Backends
from podvnet.plan.entrances import Entrances
from podvnet.plan.parts import compile_fabric
from podvnet.testing.scenario import PUBLIC_PLACEHOLDERS


class PublicSide:
    """The internet's view of an intent."""

    def __init__(self, intent: Intent) -> None:
        entrances = Entrances(intent, Backends(intent))
        every = {address for each in intent.public_addresses.values() for address in each.addresses}
        every |= {
            config.outbound for nic in intent.nics.values() for config in nic.ip_configurations if config.outbound
        }
        self._known = sorted((each for each in every if each.version == 4 and entrances.knows(each)), key=int)
        links = {
            names.internet_link_index(network.number): names.internet_link_name(network.number)
            for network in intent.virtual_networks.values()
        }
        routes = (each for each in compile_fabric(intent)[names.INTERNET] if isinstance(each, Route))
        self._links = {route.destination: links[route.index] for route in routes if route.index in links}

    def with_public_address(self, flow: Flow) -> Flow:
        """A flow that leads to the public address that the destination stands for, if it stands for one."""
        if flow.destination not in PUBLIC_PLACEHOLDERS or not self._known:
            return flow
        place = int(flow.destination) - int(PUBLIC_PLACEHOLDERS.network_address)
        return replace(flow, destination=self._known[place % len(self._known)])

    def link_to(self, address: Address) -> str | None:
        """The internet's interface to the virtual network that has a public address."""
        return self._links.get(host_prefix(address))
