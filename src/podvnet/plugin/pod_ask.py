"""What is asked of the virtual network for one pod, read from JSON or from ``CNI_ARGS``.

As JSON it is one object, the same under ``runtimeConfig.azure`` (the capability ``azure``), under ``args.cni.azure``
and in the agent's own API. In ``CNI_ARGS`` each key is one of :data:`ARGS`, lists with commas.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Final

from podvnet.model.pod_ask import BACKEND_POOL, GROUP, NAT_RULE, NEW, PUBLIC_ADDRESS, Egress, PodAsk, resolve
from podvnet.model.resource_id import Scope
from podvnet.plugin.document import Document
from podvnet.plugin.error import CniError, Code, quoted

KEY: Final = "azure"
ARGS: Final = MappingProxyType(
    {
        "AZURE_GROUPS": "groups",
        "AZURE_PUBLIC_ADDRESS": "publicAddress",
        "AZURE_IDLE_TIMEOUT": "idleTimeout",
        "AZURE_BACKEND_POOLS": "backendPools",
        "AZURE_NAT_RULES": "inboundNatRules",
        "AZURE_ADDRESS": "address",
        "AZURE_STICKY": "sticky",
        "AZURE_KEEP_FOR": "keepFor",
        "AZURE_EGRESS": "egress",
    }
)
_LISTS: Final = frozenset({"groups", "backendPools", "inboundNatRules"})
_NUMBERS: Final = frozenset({"idleTimeout", "keepFor"})
_FLAGS: Final = MappingProxyType({"true": True, "1": True, "false": False, "0": False})
_IDLE: Final = (4, 30)
_LONGEST_KEEPING: Final = 366 * 24 * 3600
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


def parse_ask(source: Document) -> PodAsk | None:
    """Read an ask; None for an object without anything in it. A key that is not known is an error: it was meant."""
    if not source:
        return None
    ask = PodAsk(
        groups=_names(source, "groups", GROUP),
        public=_public(source),
        idle_timeout=source.integer("idleTimeout", *_IDLE),
        pools=_names(source, "backendPools", BACKEND_POOL),
        nat_rules=_names(source, "inboundNatRules", NAT_RULE),
        address=_address(source),
        sticky=source.flag("sticky"),
        keep_for=source.integer("keepFor", 0, _LONGEST_KEEPING),
        egress=_egress(source),
    )
    for key in source.unread():
        source.reject_value(key, f"is nothing that can be asked for; what can: {', '.join(ARGS.values())}")
    if ask.idle_timeout is not None and ask.public != NEW:
        source.reject_value("idleTimeout", "is of a public address that is made, so publicAddress must be true")
    if ask.keep_for is not None and not ask.sticky:
        source.reject_value("keepFor", "says how long an address is kept, so sticky must be true")
    return ask if ask != PodAsk() else None


def parse_ask_args(args: Mapping[str, str]) -> PodAsk | None:
    """Read what ``CNI_ARGS`` ask for; ``CniError`` 6 for what cannot be read."""
    values: dict[str, object] = {}
    for key, name in ARGS.items():
        text = args.get(key, "")
        if not text:
            continue
        if name in _LISTS:
            values[name] = [part.strip() for part in text.split(",") if part.strip()]
        elif name in _NUMBERS and _NUMBER.fullmatch(text):
            values[name] = int(text)
        else:
            values[name] = _FLAGS.get(text.lower(), text)
    try:
        return parse_ask(Document(values, "CNI_ARGS"))
    except CniError as error:
        raise CniError(Code.CANNOT_DECODE, error.msg, error.details) from None


def _names(source: Document, key: str, full_type: str) -> tuple[str, ...] | None:
    if source.value(key) is None:
        return None
    return tuple(each for each in source.texts(key) if _is_resource(source, key, each, full_type))


def _is_resource(source: Document, key: str, text: str, full_type: str) -> bool:
    try:
        resolve(text, full_type, Scope())
    except ValueError as error:
        source.reject_value(key, f"is refused: {error}")
        return False
    return True


def _public(source: Document) -> str | None:
    found = source.value("publicAddress")
    if isinstance(found, bool):
        return NEW if found else None
    text = source.text("publicAddress")
    if text == NEW:
        source.reject_value("publicAddress", "must be true for a new one, or an id or a name")
    return text if text and _is_resource(source, "publicAddress", text, PUBLIC_ADDRESS) else None


def _egress(source: Document) -> Egress | None:
    text = source.text("egress")
    if text and text not in set(Egress):
        source.reject_value("egress", f"must be one of {', '.join(Egress)}, but {quoted(text)} was given")
        return None
    return Egress(text) if text else None


def _address(source: Document) -> IPv4Address | None:
    found = source.address("address")
    if found is None or isinstance(found, IPv4Address):
        return found
    source.reject_value("address", f"must be an IPv4 address, but {quoted(str(found))} was given")
    return None
