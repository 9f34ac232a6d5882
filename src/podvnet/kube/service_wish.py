"""What a Service asks of a load balancer, in the words of its specification and of Azure's annotations.

Defaults are those of cloud-provider-azure, but for the probe's port and the rule's: they are the pods' own.
Source: cloud-provider-azure, "Azure LoadBalancer"; Kubernetes documentation, "Service".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_network

from podvnet.kube import annotations as known
from podvnet.kube.annotation_values import Values
from podvnet.kube.notice import Notice
from podvnet.kube.service import Port, Service, group_names
from podvnet.model.address import Address, Prefix

_IDLE = (4, 100)
_INTERVAL, _LEAST_INTERVAL, _COUNT, _SECONDS = 5, 5, 2, 120
_PROTOCOLS = {"tcp": "Tcp", "http": "Http", "https": "Https"}
_ANYWHERE = frozenset({ip_network("0.0.0.0/0"), ip_network("::/0")})


@dataclass(frozen=True, slots=True)
class FrontWish:
    """An address to be reached at.

    Attributes:
        address: this one; None: any.
        public_name: of a public address that is there already; empty: of no such.
        prefix: the id of a prefix to take a public address from; empty: of none.
    """

    version: int
    address: Address | None = None
    public_name: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class ProbeWish:
    """How the load balancer sees whether a pod answers.

    Attributes:
        protocol: ``Tcp``, ``Http`` or ``Https``.
        port: a number, or the port of the Service whose target it is.
        interval: seconds.
        count: probes in a row that make a pod good or bad.
    """

    protocol: str
    port: Port | int
    path: str
    interval: int
    count: int


@dataclass(frozen=True, slots=True)
class PortWish:
    """A port that gets a rule. Without a probe every ready pod gets flows."""

    port: Port
    probe: ProbeWish | None


@dataclass(frozen=True, slots=True)
class Sources:
    """Who may come in.

    Attributes:
        restricted: not everybody.
        deny_all: nobody else at all, not even the cluster's own subnets.
    """

    restricted: bool = False
    ranges: tuple[Prefix, ...] = ()
    tags: tuple[str, ...] = ()
    deny_all: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What a Service asks for; empty texts are for what it does not ask.

    Attributes:
        label: its DNS label; None: whatever it is.
        security: rules of security groups are wanted.
        all_ports: one rule for every port (HA ports).
    """

    service: Service
    internal: bool
    fronts: tuple[FrontWish, ...]
    ports: tuple[PortWish, ...]
    sources: Sources
    subnet: str = ""
    group: str = ""
    label: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    ip_tags: tuple[tuple[str, str], ...] = ()
    idle: int = 4
    tcp_reset: bool = True
    all_ports: bool = False
    security: bool = True
    shared_rule: bool = False


def read_wish(service: Service) -> tuple[Wish | None, tuple[Notice, ...]]:
    """Read what a Service asks for.

    Returns:
        None when something of it cannot be had; and what there is to say about it.
    """
    values = Values(service.annotations)
    for name in service.annotations:
        values.check_known(name, {port.number for port in service.ports})
    internal = values.flag(known.INTERNAL)
    all_ports = values.flag(known.HA_PORTS)
    if not values.flag(known.NO_FLOATING, default=True):
        values.refuse(known.NO_FLOATING, "no pod has the load balancer's address, so floating IP reaches none")
    group = values.text(known.RESOURCE_GROUP)
    if group and not group_names((group,)):
        values.refuse(known.RESOURCE_GROUP, "is no name of a resource group")
    wish = Wish(
        service=service,
        internal=internal,
        fronts=_fronts(service, values, internal=internal),
        ports=_ports(service, values, all_ports=all_ports),
        sources=_sources(service, values),
        subnet=values.text(known.INTERNAL_SUBNET),
        group=group,
        label=service.annotations.get(known.DNS_LABEL),
        tags=values.pairs(known.PIP_TAGS),
        ip_tags=values.pairs(known.PIP_IP_TAGS),
        idle=values.number(known.IDLE_TIMEOUT, _IDLE[0], *_IDLE),
        tcp_reset=not values.flag(known.NO_TCP_RESET),
        all_ports=all_ports,
        security=not values.flag(known.NO_SECURITY_RULE),
        shared_rule=values.flag(known.SHARED_RULE),
    )
    if all_ports and not internal:
        values.refuse(known.HA_PORTS, "rules for every port are for internal load balancers")
    notices = values.notices
    return None if any(each.warning for each in notices if each.reason != values.UNKNOWN) else wish, notices


def _fronts(service: Service, values: Values, *, internal: bool) -> tuple[FrontWish, ...]:
    addresses = {version: values.address(name, version) for version, name in known.ADDRESS.items()}
    if service.address:
        old = values.parse_address("spec.loadBalancerIP", service.address)
        if old:
            addresses[old.version] = addresses[old.version] or old
    for version in set(addresses) - set(service.families):
        if addresses[version]:
            values.refuse(known.ADDRESS[version], f"the Service has no addresses of IPv{version} (spec.ipFamilies)")
    names = {} if internal else {version: values.text(name) for version, name in known.PIP_NAME.items()}
    prefixes = {} if internal else {version: values.text(name) for version, name in known.PIP_PREFIX.items()}
    return tuple(
        FrontWish(version, addresses[version], names.get(version, ""), prefixes.get(version, ""))
        for version in service.families
    )


def _ports(service: Service, values: Values, *, all_ports: bool) -> tuple[PortWish, ...]:
    found = []
    for port in service.ports:
        if port.protocol not in {"TCP", "UDP"} and not all_ports:
            values.refuse(
                f"port {port.spoken}", "Azure's load balancers know TCP and UDP; anything else only with"
                f" {known.HA_PORTS}",
            )  # fmt: skip
        if not values.flag(known.of_port(port.number, known.NO_RULE)):
            found.append(PortWish(port, _probe(service, port, values)))
    if not service.ports:
        values.refuse("spec.ports", "there is none")
    return tuple(found)


def _probe(service: Service, port: Port, values: Values) -> ProbeWish | None:
    """The probe of a port: TCP to the pods' own port, or what the port's application protocol and annotations say."""
    named = {
        key: known.of_port(port.number, key)
        for key in (known.NO_PROBE, known.PORT_PROBE_PROTOCOL, known.PORT_PROBE_PORT, known.PORT_PROBE_PATH,
                    known.PORT_PROBE_INTERVAL, known.PORT_PROBE_COUNT)
    }  # fmt: skip
    about = values.text(named[known.PORT_PROBE_PORT])
    probed = _probed(service, port, about, values, named[known.PORT_PROBE_PORT])
    says = named[known.PORT_PROBE_PROTOCOL], known.PROBE_PROTOCOL
    spoken = port.application if port.application in _PROTOCOLS else "tcp"
    protocol = values.choice(says, spoken, _PROTOCOLS)
    interval = values.number_of((named[known.PORT_PROBE_INTERVAL], known.PROBE_INTERVAL), _INTERVAL, _LEAST_INTERVAL)
    count = values.number_of((named[known.PORT_PROBE_COUNT], known.PROBE_COUNT), _COUNT, 1)
    if interval * count >= _SECONDS:
        values.refuse(known.PROBE_INTERVAL, f"{interval} s times {count} probes must be less than {_SECONDS} s")
    path = values.text(named[known.PORT_PROBE_PATH]) or values.text(known.PROBE_PATH) or "/"
    if values.flag(named[known.NO_PROBE]) or (port.protocol != "TCP" and not about):
        return None
    return ProbeWish(protocol, probed, path if protocol != "Tcp" else "", interval, count)


def _probed(service: Service, port: Port, about: str, values: Values, name: str) -> Port | int:
    """What a probe asks: the target of a port of the Service, by its name or number, or a port of the pods."""
    if not about:
        return port
    for each in service.ports:
        if about in {each.name, str(each.number)}:
            return each
    return values.number(name, 0, 1, 65535) or port


def _sources(service: Service, values: Values) -> Sources:
    ranges = values.words(known.ALLOWED_RANGES)
    older = () if service.sources else values.words(known.SOURCE_RANGES)
    tags = values.words(known.ALLOWED_TAGS)
    if ranges and service.sources:
        values.refuse(known.ALLOWED_RANGES, "the Service has spec.loadBalancerSourceRanges as well: write all in one")
    parsed = tuple(
        found
        for found in (
            *(values.prefix("spec.loadBalancerSourceRanges", each) for each in service.sources),
            *(values.prefix(known.SOURCE_RANGES, each) for each in older),
            *(values.prefix(known.ALLOWED_RANGES, each) for each in ranges),
        )
        if found is not None
    )
    deny_all = values.flag(known.DENY_ALL)
    everybody = all(_is_open(parsed, version) for version in service.families)
    restricted = bool(parsed or tags) and not everybody
    if deny_all and not restricted:
        values.refuse(known.DENY_ALL, "nothing says who may come in (spec.loadBalancerSourceRanges)")
    return Sources(restricted, parsed if restricted else (), tags if restricted else (), deny_all)


def _is_open(ranges: Collection[Prefix], version: int) -> bool:
    """Whether everybody of an IP version may come; when none of its ranges is named, the other's count."""
    own = [each for each in ranges if each.version == version]
    return bool(_ANYWHERE.intersection(own or ranges))
