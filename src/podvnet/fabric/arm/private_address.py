"""Private addresses of a subnet: which are asked for, which are free, who gets which.

An ip-configuration holds one address, or, when it is secondary, a *block*: sixteen in a row, aligned.
Sources: Azure documents "Private IP addresses" (static and dynamic allocation), "Configure IP addresses for an Azure
network interface" (prefixes of length 28 on secondary ip-configurations).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address, ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.subnets import GATEWAY_SUBNET, prefixes_of
from podvnet.fabric.arm.world import Document, World, held_addresses
from podvnet.model.address import Address, Prefix
from podvnet.model.arm_error import ArmError
from podvnet.model.limits import ADDRESSES_PER_BLOCK, BLOCK_LENGTH
from podvnet.model.subnet import is_reserved, usable

Place = Address | IPv4Network
"""An address, or a block of them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an ip-configuration asks for.

    Attributes:
        name: whose it is, for errors.
        static: the place it wants and no other, None for one of Azure's choice.
        block: sixteen addresses and not one.
        fields: where errors point.
    """

    name: str
    version: int
    static: Place | None
    block: bool
    fields: Fields


def read_wish(name: str, properties: Fields, *, blocks: bool) -> Wish:
    """Read the members of an ip-configuration or frontend that say which private address it wants.

    Args:
        name: of the ip-configuration or frontend.
        properties: where they stand.
        blocks: whether it may ask for a block.

    Raises:
        ArmError: they are wrong.
    """
    version = {"IPv4": 4, "IPv6": 6}.get(properties.text("privateIPAddressVersion", "IPv4"))
    if version is None:
        raise properties.error("InvalidRequestFormat", "must be IPv4 or IPv6", "privateIPAddressVersion")
    method = properties.text("privateIPAllocationMethod", "Dynamic")
    if method not in {"Dynamic", "Static"}:
        raise properties.error("InvalidRequestFormat", "must be Dynamic or Static", "privateIPAllocationMethod")
    text = properties.text("privateIPAddress")
    block = blocks and (properties.has("privateIPAddressPrefixLength") or "/" in text)
    if block:
        properties.number("privateIPAddressPrefixLength", BLOCK_LENGTH, BLOCK_LENGTH, BLOCK_LENGTH)
        if version != 4:
            raise properties.error("UnsupportedProperty", "this fabric has blocks of IPv4 addresses only")
    elif blocks:
        properties.allow("privateIPAddressPrefixLength")
    static: Place | None = None
    if method == "Static":
        static = _block(properties, text) if block else _address(properties, text, version)
    return Wish(name, version, static, block, properties)


@dataclass(slots=True)
class Allotment:
    """The private addresses of one resource in one subnet, being given out.

    Attributes:
        owner: id key of the resource: what it holds already is free to be given anew.
    """

    subnet: Document
    owner: str
    world: World
    places: dict[str, Place] = field(default_factory=dict)
    _taken: dict[Address, str] = field(default_factory=dict)

    def give(self, wishes: list[Wish], kept: Mapping[str, Place]) -> dict[str, Place]:
        """Give every wish a place: static ones first, then those that have one, then the lowest free ones.

        Args:
            wishes: of names that differ.
            kept: by name in lower case, the places held before.

        Raises:
            ArmError: a place is not to be had.
        """
        if self.subnet["name"].lower() == GATEWAY_SUBNET:
            raise ArmError(
                "GatewaySubnet",
                f"Subnet {self.subnet['id']} is for virtual network gateways and cannot be used by {self.owner}.",
                target=self.subnet["id"],
            )
        waiting: list[Wish] = []
        for wish in sorted(wishes, key=lambda each: each.static is None):
            place = wish.static or kept.get(wish.name.lower())
            if wish.static is not None:
                self._check(wish, wish.static)
            # A static one may have been put on what a dynamic one had.
            elif (
                place is None
                or not _fits(wish, place)
                or any(address in self._taken for address in addresses_in(place))
            ):
                waiting.append(wish)
                continue
            if place is not None:
                self._take(wish, place)
        self._choose_blocks([wish for wish in waiting if wish.block])
        for version in (4, 6):
            self._choose([wish for wish in waiting if wish.version == version and not wish.block])
        return self.places

    def _take(self, wish: Wish, place: Place) -> None:
        self.places[wish.name] = place
        for address in addresses_in(place):
            self._taken[address] = wish.name

    def _check(self, wish: Wish, place: Place) -> None:
        prefix = self._prefix(wish)
        for address in addresses_in(place):
            if address not in prefix:
                raise wish.fields.error(
                    "PrivateIPAddressNotInSubnet",
                    f"Private static IP address {address} does not belong to the range of subnet prefix {prefix}",
                )
            if is_reserved(prefix, address):
                raise wish.fields.error(
                    "PrivateIPAddressInReservedRange",
                    f"Private static IP address {address} falls within reserved IP range of subnet prefix {prefix}",
                )
            holder = self._other(address)
            if address in self._taken:
                holder = f"ip-configuration {self._taken[address]}"
            if holder:
                raise wish.fields.error(
                    "PrivateIPAddressInUse",
                    f"IP configuration {wish.name}: address {address} is already used by {holder}",
                )

    def _choose(self, wishes: list[Wish]) -> None:
        if not wishes:
            return
        prefix = self._prefix(wishes[0])
        free = self._free(prefix)
        for wish in wishes:
            address = next(free, None)
            if address is None:
                raise self._full(prefix, len(wishes))
            self._take(wish, address)

    def _choose_blocks(self, wishes: list[Wish]) -> None:
        if not wishes:
            return
        prefix = self._prefix(wishes[0])
        free = self._free_blocks(prefix)
        for wish in wishes:
            block = next(free, None)
            if block is None:
                raise self._full(prefix, len(wishes) * ADDRESSES_PER_BLOCK)
            self._take(wish, block)

    def _free(self, prefix: Prefix) -> Iterator[Address]:
        """Free addresses, lowest first. The search starts where none below was free the last time."""
        key = self.subnet["id"].lower()
        held = self.world.holders.get(key, {})
        hints = self.world.lowest.setdefault(key, {})
        owner = self.world.documents.get(self.owner)
        own = [address for subnet, address, _ in held_addresses(owner) if subnet == key] if owner else []
        first = next(usable(prefix))
        start = max(hints.get(str(prefix), 0), int(first))

        released = sorted((each for each in own if each.version == prefix.version), key=int)

        def unheld() -> Iterator[Address]:
            unknown = True
            for value in range(start, int(prefix.broadcast_address)):
                address = type(first)(value)
                if address not in held:
                    if unknown:
                        unknown = False
                        hints[str(prefix)] = value
                    yield address

        return (each for each in heapq.merge(released, unheld(), key=int) if each not in self._taken)

    def _free_blocks(self, prefix: Prefix) -> Iterator[IPv4Network]:
        if not isinstance(prefix, IPv4Network) or prefix.prefixlen >= BLOCK_LENGTH:
            return
        for block in prefix.subnets(new_prefix=BLOCK_LENGTH):
            ends = block.network_address, block.broadcast_address
            if not any(is_reserved(prefix, end) for end in ends) and not any(
                address in self._taken or self._other(address) for address in block
            ):
                yield block

    def _other(self, address: Address) -> str:
        """Who else holds an address."""
        holder = self.world.holders.get(self.subnet["id"].lower(), {}).get(address, "")
        return "" if self._is_own(holder) else holder

    def _is_own(self, holder: str) -> bool:
        return holder.lower().startswith(f"{self.owner}/")

    def _prefix(self, wish: Wish) -> Prefix:
        found = next((prefix for prefix in prefixes_of(self.subnet) if prefix.version == wish.version), None)
        if found is None:
            raise wish.fields.error(
                "InvalidRequestFormat", f"Subnet {self.subnet['name']} has no IPv{wish.version} prefix"
            )
        return found

    def _full(self, prefix: Prefix, count: int) -> ArmError:
        return ArmError(
            "SubnetIsFull",
            f"Subnet {self.subnet['name']} with address prefix {prefix} does not have enough capacity for {count} IP"
            " addresses.",
            target=self.subnet["id"],
        )


def addresses_in(place: Place) -> Iterator[Address]:
    """The addresses of a place."""
    return iter(place) if isinstance(place, IPv4Network) else iter((place,))


def place_of(configuration: Document) -> Place:
    """The place that a settled ip-configuration or frontend has."""
    text = configuration["properties"]["privateIPAddress"]
    return IPv4Network(text) if "/" in text else ip_address(text)


def _fits(wish: Wish, place: Place) -> bool:
    return place.version == wish.version and isinstance(place, IPv4Network) == wish.block


def _address(properties: Fields, text: str, version: int) -> Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise properties.error("InvalidRequestFormat", f"{text!r} is no address", "privateIPAddress") from None
    if address.version == 6 and address.scope_id:
        raise properties.error("InvalidRequestFormat", f"{text} has a zone", "privateIPAddress")
    if address.version != version:
        raise properties.error("InvalidRequestFormat", f"{text} is not IPv{version}", "privateIPAddress")
    return address


def _block(properties: Fields, text: str) -> IPv4Network:
    whole = text if "/" in text else f"{text}/{BLOCK_LENGTH}"
    try:
        found = ip_network(whole)
    except ValueError as problem:
        code = "InvalidCIDRNotation" if "host bits" in str(problem) else "InvalidRequestFormat"
        raise properties.error(code, f"{whole!r} is no block: {problem}", "privateIPAddress") from None
    if not isinstance(found, IPv4Network) or found.prefixlen != BLOCK_LENGTH:
        raise properties.error(
            "InvalidRequestFormat", f"a block is a /{BLOCK_LENGTH} of IPv4 addresses, not {found}", "privateIPAddress"
        )
    return found
