"""An intent drafted in few words, with public addresses, NAT gateways and load balancers.

draft = BalancingDraft()
draft.network("hub", "10.0.0.0/16", front="10.0.1.0/24")
draft.public("pip", "203.0.113.10")
draft.balancer("lb", "pip", rules={"web": "Tcp 80>8080 probe snat"}, nat_rules={"ssh": "Tcp 2222>22"})
draft.nic("one", "hub/front", "10.0.1.4")
draft.join("one", "lb")
draft.join("one", "lb", nat_rule="ssh")
draft.healthy("lb", "10.0.1.4")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network

from podvnet.model.intent import IpConfiguration
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
from podvnet.model.public_address import NatGateway, PublicAddress
from podvnet.model.resource_id import ResourceId
from podvnet.testing.draft import Draft, network_id


def part(balancer: str, kind: str, name: str) -> ResourceId:
    """The id of a part of a load balancer."""
    return network_id("loadBalancers", balancer).child(kind, name)


class BalancingDraft(Draft):
    """Collects resources. Every load balancer has one pool, ``pool``, and one probe, ``probe``, which asks TCP 8080."""

    def public(self, name: str, prefix: str) -> None:
        """A public address, or a prefix of them."""
        resource = network_id("publicIPAddresses", name)
        self.intent.public_addresses[resource.key] = PublicAddress(resource, ip_network(prefix))

    def own(self, nic: str, public: str, position: int = 0) -> None:
        """Give an address of a NIC a public one of its own."""
        self._configure(nic, position, lambda each: replace(each, public=network_id("publicIPAddresses", public)))

    def gateway(self, name: str, subnet: str, *publics: str) -> None:
        """A NAT gateway of a subnet (``hub/front``)."""
        resource = network_id("natGateways", name)
        addresses = tuple(network_id("publicIPAddresses", each) for each in publics)
        self.intent.nat_gateways[resource.key] = NatGateway(resource, addresses)
        network, _, place = subnet.partition("/")
        key = network_id("virtualNetworks", network).key
        found = self.intent.virtual_networks[key]
        subnets = (replace(each, nat_gateway=resource) if each.id.name == place else each for each in found.subnets)
        self.intent.virtual_networks[key] = replace(found, subnets=tuple(subnets))

    def balancer(
        self,
        name: str,
        *frontends: str,
        pool: str = "",
        all_up: bool = False,
        rules: dict[str, str] | None = None,
        nat_rules: dict[str, str] | None = None,
        outbound: dict[str, str] | None = None,
    ) -> LoadBalancer:
        """A load balancer.

        Args:
            name: its own.
            *frontends: ``f0``, ``f1``: a public address, or an address of a subnet, ``hub/front 10.0.1.100``.
            pool: empty for one of NICs; else the virtual network and addresses, ``hub 10.0.1.4 10.0.1.5=Down``.
            all_up: when the probe finds nobody healthy, all are taken for it.
            rules: ``Tcp 80>8080``, and any of ``f1``, ``probe``, ``snat``, ``floating``, ``SourceIP``,
                ``SourceIPProtocol``.
            nat_rules: ``Tcp 2222>22``, and any of ``f1``, ``floating``; of a rule to the pool the port of each member,
                ``Tcp 2200-2299>22 10.0.1.4=2200``.
            outbound: ``Tcp f0,f1``, and how many ports each member has.
        """
        resource = network_id("loadBalancers", name)
        network, *addresses = pool.split() or [""]
        made = LoadBalancer(
            id=resource,
            location="local",
            frontends=tuple(_frontend(name, number, text) for number, text in enumerate(frontends)),
            pools=(_pool(name, network, addresses),),
            probes=(Probe(part(name, "probes", "probe"), ProbeProtocol.TCP, 8080, all_up=all_up),),
            rules=tuple(_rule(name, each, text) for each, text in (rules or {}).items()),
            nat_rules=tuple(_nat_rule(name, each, text) for each, text in (nat_rules or {}).items()),
            outbound_rules=tuple(_outbound(name, each, text) for each, text in (outbound or {}).items()),
        )
        self.intent.load_balancers[resource.key] = made
        return made

    def join(self, nic: str, balancer: str, position: int = 0, nat_rule: str = "") -> None:
        """Make an address of a NIC a member of a load balancer's pool, or the target of an inbound NAT rule."""

        def joined(config: IpConfiguration) -> IpConfiguration:
            if nat_rule:
                return replace(config, nat_rules=(*config.nat_rules, part(balancer, "inboundNatRules", nat_rule)))
            return replace(config, pools=(*config.pools, part(balancer, "backendAddressPools", "pool")))

        self._configure(nic, position, joined)

    def healthy(self, balancer: str, *addresses: str) -> None:
        """Who answers a load balancer's probe; nobody else does."""
        probe = part(balancer, "probes", "probe")
        others = {each for each in self.intent.healthy if each[0] != probe}
        self.intent = replace(
            self.intent, healthy=frozenset(others | {(probe, ip_address(each)) for each in addresses})
        )

    def _configure(self, nic: str, position: int, change: Callable[[IpConfiguration], IpConfiguration]) -> None:
        key = network_id("networkInterfaces", nic).key
        configs = list(self.intent.nics[key].ip_configurations)
        configs[position] = change(configs[position])
        self.intent.nics[key] = replace(self.intent.nics[key], ip_configurations=tuple(configs))


def _frontend(balancer: str, number: int, text: str) -> Frontend:
    resource = part(balancer, "frontendIPConfigurations", f"f{number}")
    if " " not in text:
        return Frontend(resource, public=network_id("publicIPAddresses", text))
    place, address = text.split()
    network, _, subnet = place.partition("/")
    return Frontend(resource, network_id("virtualNetworks", network).child("subnets", subnet), ip_address(address))


def _pool(balancer: str, network: str, addresses: list[str]) -> BackendPool:
    members = []
    for text in addresses:
        address, _, state = text.partition("=")
        members.append(PoolAddress(address, ip_address(address), AdminState(state or "None")))
    place = network_id("virtualNetworks", network) if network else None
    return BackendPool(part(balancer, "backendAddressPools", "pool"), place, tuple(members))


def _rule(balancer: str, name: str, text: str) -> BalancingRule:
    protocol, ports, *words = text.split()
    front, _, back = ports.partition(">")
    return BalancingRule(
        id=part(balancer, "loadBalancingRules", name),
        frontend=_named_frontend(balancer, words),
        protocol=Transport(protocol),
        frontend_port=int(front),
        backend_port=int(back or front),
        pool=part(balancer, "backendAddressPools", "pool"),
        probe=part(balancer, "probes", "probe") if "probe" in words else None,
        distribution=next((each for each in Distribution if each in words), Distribution.FIVE_TUPLE),
        floating="floating" in words,
        outbound_snat="snat" in words,
    )


def _nat_rule(balancer: str, name: str, text: str) -> InboundNatRule:
    protocol, ports, *words = text.split()
    front, _, back = ports.partition(">")
    first, _, last = front.partition("-")
    mapped = tuple(tuple(each.split("=")) for each in words if "=" in each)
    return InboundNatRule(
        id=part(balancer, "inboundNatRules", name),
        frontend=_named_frontend(balancer, words),
        protocol=Transport(protocol),
        backend_port=int(back),
        first_port=int(first),
        last_port=int(last or first),
        pool=part(balancer, "backendAddressPools", "pool") if last else None,
        ports=tuple((ip_address(address), int(port)) for address, port in mapped),
        floating="floating" in words,
    )


def _outbound(balancer: str, name: str, text: str) -> OutboundRule:
    protocol, frontends, *ports = text.split()
    return OutboundRule(
        id=part(balancer, "outboundRules", name),
        protocol=Transport(protocol),
        frontends=tuple(part(balancer, "frontendIPConfigurations", each) for each in frontends.split(",")),
        pool=part(balancer, "backendAddressPools", "pool"),
        ports=int(ports[0]) if ports else 0,
    )


def _named_frontend(balancer: str, words: list[str]) -> ResourceId:
    name = next((each for each in words if each[0] == "f" and each[1:].isdigit()), "f0")
    return part(balancer, "frontendIPConfigurations", name)
