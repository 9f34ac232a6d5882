"""The annotations of a Service that cloud-provider-azure documents, and what becomes of each here.

The table is complete: what is not in it and begins as they do is a slip of the pen, and is said to be one.
Source: cloud-provider-azure, "Azure LoadBalancer", "Multiple Standard LoadBalancers", "Azure Private Link Service
Integration" and the constants of its annotations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

PREFIX = "service.beta.kubernetes.io/"
AZURE = f"{PREFIX}azure-"
_PORT = re.compile(re.escape(PREFIX) + r"port_(\d{1,5})_([a-z_-]+)")


class Standing(Enum):
    """What becomes of an annotation."""

    SUPPORTED = "supported"
    NO_EFFECT = "no effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation.

    Attributes:
        name: without :data:`PREFIX`; of those of a port, what follows ``port_N_``.
        why: of one that is not carried out: the reason.
    """

    name: str
    standing: Standing = Standing.SUPPORTED
    why: str = ""


INTERNAL = f"{AZURE}load-balancer-internal"
INTERNAL_SUBNET = f"{AZURE}load-balancer-internal-subnet"
MODE = f"{AZURE}load-balancer-mode"
DNS_LABEL = f"{AZURE}dns-label-name"
SHARED_RULE = f"{AZURE}shared-securityrule"
RESOURCE_GROUP = f"{AZURE}load-balancer-resource-group"
SOURCE_RANGES = f"{PREFIX}load-balancer-source-ranges"
ALLOWED_TAGS = f"{AZURE}allowed-service-tags"
ALLOWED_RANGES = f"{AZURE}allowed-ip-ranges"
DENY_ALL = f"{AZURE}deny-all-except-load-balancer-source-ranges"
IDLE_TIMEOUT = f"{AZURE}load-balancer-tcp-idle-timeout"
NO_TCP_RESET = f"{AZURE}load-balancer-disable-tcp-reset"
HA_PORTS = f"{AZURE}load-balancer-enable-high-availability-ports"
NO_FLOATING = f"{AZURE}disable-load-balancer-floating-ip"
NO_SECURITY_RULE = f"{AZURE}disable-load-balancer-nsg-rule"
PIP_TAGS = f"{AZURE}pip-tags"
PIP_IP_TAGS = f"{AZURE}pip-ip-tags"
PROBE_PROTOCOL = f"{AZURE}load-balancer-health-probe-protocol"
PROBE_INTERVAL = f"{AZURE}load-balancer-health-probe-interval"
PROBE_COUNT = f"{AZURE}load-balancer-health-probe-num-of-probe"
PROBE_PATH = f"{AZURE}load-balancer-health-probe-request-path"
ADDRESS = {4: f"{AZURE}load-balancer-ipv4", 6: f"{AZURE}load-balancer-ipv6"}
PIP_NAME = {4: f"{AZURE}pip-name", 6: f"{AZURE}pip-name-ipv6"}
PIP_PREFIX = {4: f"{AZURE}pip-prefix-id", 6: f"{AZURE}pip-prefix-id-ipv6"}

NO_RULE, NO_PROBE = "no_lb_rule", "no_probe_rule"
PORT_PROBE_PROTOCOL, PORT_PROBE_PORT = "health-probe_protocol", "health-probe_port"
PORT_PROBE_INTERVAL, PORT_PROBE_COUNT = "health-probe_interval", "health-probe_num-of-probe"
PORT_PROBE_PATH = "health-probe_request-path"

_NO_PRIVATE_LINK = "a load balancer whose pools are made of addresses cannot stand behind a private link service"

_SERVICE = (
    INTERNAL, INTERNAL_SUBNET, DNS_LABEL, SHARED_RULE, RESOURCE_GROUP, SOURCE_RANGES, ALLOWED_TAGS, ALLOWED_RANGES,
    DENY_ALL, IDLE_TIMEOUT, NO_TCP_RESET, HA_PORTS, NO_FLOATING, NO_SECURITY_RULE, PIP_TAGS, PIP_IP_TAGS,
    PROBE_PROTOCOL, PROBE_INTERVAL, PROBE_COUNT, PROBE_PATH, *ADDRESS.values(), *PIP_NAME.values(),
    *PIP_PREFIX.values(),
)  # fmt: skip
_PRIVATE_LINK = (
    "create", "resource-group", "name", "ip-configuration-subnet", "ip-configuration-ip-address-count",
    "ip-configuration-ip-address", "fqdns", "proxy-protocol", "visibility", "auto-approval",
)  # fmt: skip

TABLE: dict[str, Annotation] = {
    each.name: each
    for each in (
        *map(Annotation, _SERVICE),
        Annotation(
            MODE,
            Standing.NO_EFFECT,
            "it chooses among load balancers of sets of VMs; pods stand behind one public and one internal one",
        ),
        Annotation(
            f"{AZURE}load-balancer-configurations",
            Standing.REFUSED,
            "it chooses among several Standard load balancers; pods stand behind one public and one internal one",
        ),
        Annotation(
            f"{AZURE}additional-public-ips",
            Standing.REFUSED,
            "packets to these addresses would reach pods untranslated, by floating IP, and no pod has the address",
        ),
        *(Annotation(f"{AZURE}pls-{each}", Standing.REFUSED, _NO_PRIVATE_LINK) for each in _PRIVATE_LINK),
    )
}
"""By full name, the annotations of a Service as a whole."""

PORT_TABLE: dict[str, Annotation] = {
    each: Annotation(each)
    for each in (
        NO_RULE, NO_PROBE, PORT_PROBE_PROTOCOL, PORT_PROBE_PORT, PORT_PROBE_INTERVAL, PORT_PROBE_COUNT, PORT_PROBE_PATH,
    )
}  # fmt: skip
"""By what follows ``port_N_``, the annotations of one port of a Service."""


def of_port(port: int, name: str) -> str:
    """The full name of an annotation of a port of a Service."""
    return f"{PREFIX}port_{port}_{name}"


def port_of(name: str) -> tuple[int, str] | None:
    """The port that an annotation is about, and what follows it; None for one that is about no port."""
    found = _PORT.fullmatch(name)
    return (int(found[1]), found[2]) if found else None


def find(name: str) -> Annotation | None:
    """The annotation of a name, of a Service or of a port; None when there is no such."""
    about = port_of(name)
    return TABLE.get(name) if about is None else PORT_TABLE.get(about[1])


def is_ours(name: str) -> bool:
    """Tell whether a name belongs to cloud-provider-azure's annotations, known or not."""
    return name.startswith((AZURE, f"{PREFIX}port_")) or name == SOURCE_RANGES
