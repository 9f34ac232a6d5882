"""The record sets of private DNS zones: what each type holds, and how it reads in a zone file.

Source: Azure REST reference "Private DNS - Record Sets"; Azure documents "What is a private Azure DNS zone?" and "DNS
zones and records" (wildcards, CNAME beside nothing else and never at the apex, several strings of one TXT record).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.world import PRIVATE_ZONES, Document
from podvnet.model import limits
from podvnet.model.arm_error import ArmError
from podvnet.model.dns import APEX, RecordSet
from podvnet.model.resource_id import ResourceId

LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
LONGEST_NAME = 253
_LONGEST_TTL = 2**31 - 1
_NUMBER = (0, 65_535)
_STRING = 255
"""Bytes of one string of a TXT record on the wire."""
_LONGEST_TXT = 4_096
_SOA: dict[str, str | int] = {
    "host": "azureprivatedns.net",
    "email": "azureprivatedns-host.microsoft.com",
    "serialNumber": 1,
    "refreshTime": 3600,
    "retryTime": 300,
    "expireTime": 2_419_200,
    "minimumTtl": 10,
}
_SOA_TTL = 3600
_CREATED = "created by private endpoint "
"""What the ``creator`` of a record set that a private endpoint's zone group wrote begins with, in its metadata."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A type of record: the member that holds its data, whether that is a list, and how it is read and written."""

    member: str
    many: bool
    read: Callable[[Fields], Document]
    text: Callable[[Document], str]


def _read_address(key: str, kind: type[IPv4Address | IPv6Address]) -> Callable[[Fields], Document]:
    def read(fields: Fields) -> Document:
        text = fields.required(key)
        try:
            return {key: str(kind(text))}
        except ValueError:
            raise fields.error("BadRequest", f"{text!r} is no IPv{kind(0).version} address", key) from None

    return read


def _read_name(fields: Fields, key: str) -> str:
    name = fields.required(key)
    if not is_name(name.rstrip(".")):
        raise fields.error("BadRequest", f"{name!r} is no domain name", key)
    return name


def _read_txt(fields: Fields) -> Document:
    strings = fields.texts("value")
    if not strings or sum(len(each.encode()) for each in strings) > _LONGEST_TXT:
        raise fields.error("BadRequest", f"must be strings of together at most {_LONGEST_TXT} bytes", "value")
    return {"value": strings}


def _txt_text(record: Document) -> str:
    return " ".join(_quoted(each.encode()[i : i + _STRING]) for each in record["value"]
                    for i in range(0, max(1, len(each.encode())), _STRING))  # fmt: skip


def _quoted(raw: bytes) -> str:
    plain = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}" for byte in raw)
    return f'"{plain}"'


def _read_soa(fields: Fields) -> Document:
    settled: Document = {}
    for key, default in _SOA.items():
        if isinstance(default, str):
            settled[key] = _read_name(fields, key) if fields.has(key) else default
            fields.allow(key)
        else:
            settled[key] = fields.number(key, default, 0, 2**32 - 1)
    return settled


def _absolute(name: str) -> str:
    return name.rstrip(".") + "."


_KINDS = {
    "A": _Kind("aRecords", True, _read_address("ipv4Address", IPv4Address), lambda each: each["ipv4Address"]),
    "AAAA": _Kind("aaaaRecords", True, _read_address("ipv6Address", IPv6Address), lambda each: each["ipv6Address"]),
    "CNAME": _Kind(
        "cnameRecord",
        False,
        lambda fields: {"cname": _read_name(fields, "cname")},
        lambda each: _absolute(each["cname"]),
    ),
    "MX": _Kind(
        "mxRecords",
        True,
        lambda fields: {
            "preference": fields.number("preference", 0, *_NUMBER),
            "exchange": _read_name(fields, "exchange"),
        },
        lambda each: f"{each['preference']} {_absolute(each['exchange'])}",
    ),
    "PTR": _Kind(
        "ptrRecords",
        True,
        lambda fields: {"ptrdname": _read_name(fields, "ptrdname")},
        lambda each: _absolute(each["ptrdname"]),
    ),
    "SOA": _Kind(
        "soaRecord",
        False,
        _read_soa,
        lambda each: " ".join(
            _absolute(value) if isinstance(value, str) else str(value) for value in (each[key] for key in _SOA)
        ),
    ),
    "SRV": _Kind(
        "srvRecords",
        True,
        lambda fields: {
            **{key: fields.number(key, 0, *_NUMBER) for key in ("priority", "weight", "port")},
            "target": _read_name(fields, "target"),
        },
        lambda each: f"{each['priority']} {each['weight']} {each['port']} {_absolute(each['target'])}",
    ),
    "TXT": _Kind("txtRecords", True, _read_txt, _txt_text),
}
RECORD_TYPES = tuple(_KINDS)


def is_name(text: str) -> bool:
    """Tell whether a text is a domain name, without a dot at its end."""
    return len(text) <= LONGEST_NAME and all(LABEL.fullmatch(label) for label in text.split("."))


def settle_record_sets(zone: ResourceId, properties: Fields) -> Document:
    """Check and complete the record sets of a zone, by type; the one that says whose the zone is comes by itself.

    Those of registered VMs are left out: they are registered anew.

    Raises:
        ArmError: one is refused.
    """
    given_soa = properties.has("SOA")
    settled = {
        kind: [_settled(zone, kind, each) for each in properties.each(kind) if not _is_registered(each)]
        for kind in RECORD_TYPES
    }
    if not settled["SOA"]:
        if given_soa:
            raise properties.error("BadRequest", "The record set of type 'SOA' in a zone cannot be deleted.", "SOA")
        settled["SOA"] = [_document(zone, "SOA", APEX, {"ttl": _SOA_TTL, "soaRecord": dict(_SOA)})]
    _check_together(properties, settled)
    return settled


def registered_set(zone: ResourceId, host: str, addresses: Iterable[str], ttl: int) -> Document:
    """The record set of a VM that is registered."""
    properties = {"ttl": ttl, "aRecords": [{"ipv4Address": each} for each in addresses]}
    made = _document(zone, "A", host, properties)
    made["properties"]["isAutoRegistered"] = True
    return made


def is_registered(record_set: Document) -> bool:
    """Tell whether a settled record set is that of a registered VM."""
    return bool(record_set["properties"]["isAutoRegistered"])


def endpoint_set(zone: ResourceId, host: str, addresses: Iterable[str], ttl: int, creator: str) -> Document:
    """The record set of private endpoints; ``creator`` says which made it, and is not shown alone."""
    records = [{"ipv4Address": each} for each in addresses]
    return _document(zone, "A", host, {"ttl": ttl, "metadata": {"creator": _CREATED + creator}, "aRecords": records})


def is_of_endpoint(record_set: Document) -> bool:
    """Tell whether a settled record set is that of private endpoints."""
    return str(record_set["properties"].get("metadata", {}).get("creator", "")).startswith(_CREATED)


def record_set_of(document: Document) -> RecordSet:
    """A record set as resolvers see it."""
    kind = document["type"].rsplit("/", 1)[-1]
    properties = document["properties"]
    records = properties[_KINDS[kind].member]
    data = tuple(_KINDS[kind].text(each) for each in (records if _KINDS[kind].many else [records]))
    return RecordSet(document["name"].lower(), kind, properties["ttl"], data)


def _is_registered(fields: Fields) -> bool:
    fields.allow("properties")
    return fields.fields("properties").flag("isAutoRegistered", default=False)


def _settled(zone: ResourceId, kind: str, fields: Fields) -> Document:
    name = fields.required("name")
    fields.allow("id", "type", "etag")
    _check_record_name(fields, zone, kind, name)
    properties = fields.fields("properties")
    properties.allow("fqdn", "isAutoRegistered", "provisioningState")
    found = _KINDS[kind]
    if not properties.has("ttl"):
        raise properties.error("BadRequest", "The TTL of a record set must be given.", "ttl")
    settled: Document = {"ttl": properties.number("ttl", 0, 0, _LONGEST_TTL)}
    metadata = properties.mapping("metadata")
    if metadata:
        settled["metadata"] = {str(key): str(value) for key, value in metadata.items()}
    settled[found.member] = _records(properties, found)
    properties.refuse_unread()
    fields.refuse_unread()
    return _document(zone, kind, name, settled)


def _records(properties: Fields, kind: _Kind) -> list[Document] | Document:
    parts = list(properties.each(kind.member)) if kind.many else [properties.fields(kind.member)]
    if kind.many and not 1 <= len(parts) <= limits.RECORDS_PER_SET:
        raise properties.error(
            "BadRequest", f"a record set holds 1 to {limits.RECORDS_PER_SET} records, not {len(parts)}", kind.member
        )
    records = []
    for part in parts:
        record = kind.read(part)
        part.refuse_unread()
        if record in records:
            raise properties.error("BadRequest", f"the same record is listed twice: {record}", kind.member)
        records.append(record)
    return records if kind.many else records[0]


def _check_record_name(fields: Fields, zone: ResourceId, kind: str, name: str) -> None:
    rest = name.removeprefix("*.")
    if name not in {APEX, "*"} and not (is_name(rest) and is_name(f"{rest}.{zone.name}")):
        raise fields.error("BadRequest", f"The record set name '{name}' is not a valid relative domain name.", "name")
    if kind == "SOA" and name != APEX:
        raise fields.error("BadRequest", "The record set of type 'SOA' is at the zone's own name, '@'.", "name")
    if kind == "CNAME" and name == APEX:
        raise fields.error("BadRequest", "CNAME records cannot be created at the zone apex.", "name")


def _check_together(properties: Fields, settled: Document) -> None:
    """Refuse two sets of one name and type, and anything beside a CNAME."""
    count = sum(len(sets) for sets in settled.values())
    if count > limits.RECORD_SETS_PER_ZONE:
        raise properties.error(
            "BadRequest", f"a zone holds at most {limits.RECORD_SETS_PER_ZONE} record sets, not {count}"
        )
    aliases = {each["name"].lower() for each in settled["CNAME"]}
    for kind, sets in settled.items():
        seen: set[str] = set()
        for each in sets:
            name = each["name"].lower()
            if name in seen:
                raise properties.error("BadRequest", f"two record sets are called {each['name']!r}", kind)
            if kind != "CNAME" and name in aliases:
                raise ArmError(
                    "BadRequest",
                    f"The record set '{each['name']}' of type '{kind}' cannot be beside one of type 'CNAME' with the"
                    " same name.",
                    target=each["id"],
                )
            seen.add(name)


def _document(zone: ResourceId, kind: str, name: str, properties: Document) -> Document:
    fqdn = zone.name if name == APEX else f"{name}.{zone.name}"
    return {
        "id": str(zone.child(kind, name)),
        "name": name,
        "type": f"{PRIVATE_ZONES}/{kind}",
        "properties": {"fqdn": f"{fqdn}.", "isAutoRegistered": False} | properties,
    }
