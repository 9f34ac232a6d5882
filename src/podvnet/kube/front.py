"""The frontends of load balancers: which one is the address that a Service wishes to be reached at.

A Service may wish for the address of another one, or of a frontend that somebody else has made: then they share it.
Source: cloud-provider-azure, "Azure LoadBalancer" (setting the address; shared addresses).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import ip_address

from podvnet.kube.home import Document, Estate, Home
from podvnet.kube.service_wish import FrontWish, Wish
from podvnet.model.address import Address
from podvnet.model.resource_id import ResourceId, parse


class UnmetError(Exception):
    """A wish cannot be met as things are.

    Attributes:
        reason: a word in CamelCase.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Front:
    """A frontend that a Service is to have.

    Attributes:
        address: what it is reached at; None: that is not known yet.
        subnet: of an internal one.
        public: the public address of a public one.
        fixed: the address is asked for.
        owned: the public address is made and deleted by us.
    """

    name: str
    version: int
    address: Address | None
    subnet: ResourceId | None = None
    public: ResourceId | None = None
    fixed: bool = False
    owned: bool = False


def find_front(wish: Wish, asked: FrontWish, home: Home, estate: Estate) -> Front:
    """Find the frontend, or say what it is to be.

    Raises:
        UnmetError: there can be none, and why.
    """
    return (_internal if wish.internal else _public)(wish, asked, home, estate)


def front_address(part: Document, estate: Estate) -> Address | None:
    """What a frontend is reached at; None when the resource manager has not said."""
    inner = part["properties"]
    public = inner.get("publicIPAddress")
    if public:
        inner = estate.publics.get(public["id"].lower(), {}).get("properties", {})
    text = inner.get("ipAddress" if public else "privateIPAddress")
    return ip_address(text) if text else None


def _internal(wish: Wish, asked: FrontWish, home: Home, estate: Estate) -> Front:
    subnet = home.subnet
    if wish.subnet:
        subnet = subnet.parent.child("subnets", wish.subnet)
    found = next((each for each in estate.subnets if each.id == subnet), None)
    if found is None:
        raise UnmetError("SubnetNotFound", f"there is no subnet {subnet.name} in {subnet.parent}")
    if not any(prefix.version == asked.version for prefix in found.prefixes):
        raise UnmetError("SubnetNotFound", f"the subnet {subnet.name} has no addresses of IPv{asked.version}")
    if asked.address and not found.holds(asked.address):
        raise UnmetError("AddressNotFound", f"{asked.address} is not in the subnet {subnet.name}")
    own = home.names.front(wish.service.uid, asked.version)
    plain = subnet == home.subnet and not asked.address
    name = own if plain else f"{own}-{_short(subnet.key, str(asked.address or ''))}"
    for part in estate.parts("frontendIPConfigurations", internal=True):
        there = front_address(part, estate)
        if asked.address and there == asked.address:
            return Front(part["name"], asked.version, there, subnet, fixed=True)
        if part["name"] == name:
            return Front(name, asked.version, there, subnet, fixed=bool(asked.address))
    return Front(name, asked.version, asked.address, subnet, fixed=bool(asked.address))


def _public(wish: Wish, asked: FrontWish, home: Home, estate: Estate) -> Front:
    public, owned = _public_address(wish, asked, home, estate)
    own = home.names.front(wish.service.uid, asked.version)
    document = estate.publics.get(public.key)
    text = document["properties"].get("ipAddress") if document else None
    address = ip_address(text) if text else None
    for part in estate.parts("frontendIPConfigurations", internal=False):
        there = part["properties"].get("publicIPAddress")
        if there and parse(there["id"]) == public:
            return Front(part["name"], asked.version, address, public=public, owned=owned)
    name = own if public == home.public(own) else f"{own}-{_short(public.key)}"
    return Front(name, asked.version, address, public=public, owned=owned)


def _public_address(wish: Wish, asked: FrontWish, home: Home, estate: Estate) -> tuple[ResourceId, bool]:
    """The public address, and whether it is to be made when it is not there."""
    group = wish.group or home.scope.resource_group
    if asked.public_name:
        public = home.public(asked.public_name, group)
        if public.key not in estate.publics:
            raise UnmetError("AddressNotFound", f"there is no public address {asked.public_name} in {group}")
        _check(estate.publics[public.key], asked)
        return public, False
    if asked.address:
        for each in estate.publics.values():
            text = each["properties"].get("ipAddress")
            if text and ip_address(text) == asked.address:
                return parse(each["id"]), False
        raise UnmetError("AddressNotFound", f"no public address in {group} is {asked.address}")
    own = home.names.front(wish.service.uid, asked.version)
    return home.public(f"{own}-{_short(asked.prefix)}" if asked.prefix else own, group), True


def _check(document: Document, asked: FrontWish) -> None:
    version = 6 if document["properties"].get("publicIPAddressVersion") == "IPv6" else 4
    if version != asked.version:
        raise UnmetError("AddressNotFound", f"the public address {document['name']} is of IPv{version}")
    text = document["properties"].get("ipAddress")
    if asked.address and text and ip_address(text) != asked.address:
        raise UnmetError("AddressNotFound", f"the public address {document['name']} is {text}, not {asked.address}")


def _short(*what: str) -> str:
    return hashlib.sha256(" ".join(what).lower().encode()).hexdigest()[:8]
