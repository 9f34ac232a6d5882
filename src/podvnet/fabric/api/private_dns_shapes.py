"""The shapes of the record sets and links of private DNS zones, as JSON schemas."""

from __future__ import annotations

from podvnet.fabric.api.shapes import (
    FLAG,
    TAGS,
    TEXT,
    Shape,
    choice,
    closed,
    component,
    listed,
    named,
    number,
    reference,
)
from podvnet.fabric.arm.world import VIRTUAL_NETWORKS


def _records(member: str, records: Shape) -> Shape:
    return named("ttl", ttl=number(0, 2**31 - 1), metadata=TAGS, **{member: records})


_PLACE = number(0, 65_535)
_LONG = number(0, 2**32 - 1)
ZONE_CHILDREN: dict[str, Shape] = {
    "A": _records("aRecords", listed(closed(("ipv4Address",), ipv4Address=component("Address")))),
    "AAAA": _records("aaaaRecords", listed(closed(("ipv6Address",), ipv6Address=component("Address")))),
    "CNAME": _records("cnameRecord", closed(("cname",), cname=component("Name"))),
    "MX": _records("mxRecords", listed(closed(("exchange",), preference=_PLACE, exchange=component("Name")))),
    "PTR": _records("ptrRecords", listed(closed(("ptrdname",), ptrdname=component("Name")))),
    "SOA": _records(
        "soaRecord",
        closed(
            host=component("Name"),
            email=component("Name"),
            serialNumber=_LONG,
            refreshTime=_LONG,
            retryTime=_LONG,
            expireTime=_LONG,
            minimumTtl=_LONG,
        ),
    ),
    "SRV": _records(
        "srvRecords",
        listed(closed(("target",), priority=_PLACE, weight=_PLACE, port=_PLACE, target=component("Name"))),
    ),
    "TXT": _records("txtRecords", listed(closed(("value",), value=listed(TEXT)))),
    "virtualNetworkLinks": named(
        "virtualNetwork",
        virtualNetwork=reference(VIRTUAL_NETWORKS),
        registrationEnabled=FLAG,
        resolutionPolicy=choice("Default", "NxDomainRedirect"),
    ),
}
"""By kind, as a zone is written with them."""
