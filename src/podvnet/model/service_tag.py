"""Service tags as prefixes: what a security rule or a route means by ``Storage.WestEurope``.

The table is an excerpt of what Azure publishes: some of the public prefixes of each service, enough for stand-ins of
those services to be recognised. Of a tag that is not in it nothing is known, so it holds no address. A region narrows a
tag in Azure; here every region has the prefixes of the whole.
Source: Azure document "Virtual network service tags" and the published list "Azure IP Ranges and Service Tags".
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

from podvnet.model.address import GATEWAY6, WIRESERVER_ADDRESS, Prefix

TABLE_DATE = "2026-11-01"
"""When the excerpt was made."""

VIRTUAL_NETWORK = "VirtualNetwork"
INTERNET = "Internet"
LOAD_BALANCER = "AzureLoadBalancer"
PLATFORM_DNS = "AzurePlatformDNS"
PLATFORM_IMDS = "AzurePlatformIMDS"
PLATFORM_LICENSING = "AzurePlatformLKM"

_STORAGE = ("20.38.96.0/19", "20.60.0.0/16", "20.150.0.0/17", "52.239.128.0/17", "2603:1000:4:400::/57")
_SQL = ("13.69.104.192/26", "20.51.9.128/25", "40.79.128.0/21", "52.162.105.192/26", "2603:1020:206:300::/57")
_TABLE = {
    LOAD_BALANCER: (f"{WIRESERVER_ADDRESS}/32", f"{GATEWAY6}/128"),
    "Storage": _STORAGE,
    "Sql": _SQL,
    "AzureCloud": (*_STORAGE, *_SQL, "13.64.0.0/11", "20.33.0.0/16", "40.64.0.0/10", "52.224.0.0/11", "2603:1000::/24"),
}


ENDPOINT_TAGS = ("Microsoft.Storage", "Microsoft.Sql")
"""The services whose prefixes are known, so that a service endpoint of a subnet is a route.

Source: Azure document "Virtual network service endpoints": a route to the prefixes of the service's tag.
"""


def endpoint_prefixes(service: str) -> tuple[Prefix, ...]:
    """Where the route of a service endpoint leads to."""
    return tag_prefixes(service.removeprefix("Microsoft.")) if service in ENDPOINT_TAGS else ()


def _prefix(text: str) -> Prefix:
    return IPv6Network(text) if ":" in text else IPv4Network(text)


SHIPPED: Mapping[str, tuple[Prefix, ...]] = {tag.lower(): tuple(map(_prefix, texts)) for tag, texts in _TABLE.items()}
"""By tag in lower case."""


def tag_prefixes(tag: str) -> tuple[Prefix, ...]:
    """The prefixes of a tag that are the same everywhere; those of ``VirtualNetwork`` and ``Internet`` are not."""
    return SHIPPED.get(tag.lower(), SHIPPED.get(tag.split(".", 1)[0].lower(), ()))


def specificity(tag: str) -> int:
    """Which of two tags wins where both are routed, the smaller: a service's region, a service, AzureCloud's region.

    Source: Azure document "Virtual network traffic routing", "Service tags for user-defined routes".
    """
    cloud = tag.lower().startswith("azurecloud")
    return (2 if cloud else 0) + ("." not in tag)
