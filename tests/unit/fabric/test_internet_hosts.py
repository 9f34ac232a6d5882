from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm import internet_hosts
from podvnet.fabric.arm.internet_hosts import InternetHosts
from podvnet.fabric.arm.world import INTERNET_HOSTS, PUBLIC_ADDRESSES, Document, World, shown
from podvnet.fabric.settlement import settle
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

EXAMPLE = make(Scope(), INTERNET_HOSTS, "example")


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        pytest.param({}, "properties.address: is required", id="no address"),
        pytest.param({"address": "example.com"}, "'example.com' is no address", id="a name"),
        pytest.param({"address": "10.0.0.4"}, "10.0.0.4 is no public address", id="private"),
        pytest.param({"address": "100.64.0.1"}, "is no public address", id="carrier-grade NAT"),
        pytest.param({"address": "127.0.0.1"}, "is no public address", id="loopback"),
        pytest.param({"address": "169.254.169.254"}, "is no public address", id="IMDS"),
        pytest.param({"address": "168.63.129.16"}, "is no public address", id="the wireserver"),
        pytest.param({"address": "224.0.0.1"}, "is no public address", id="multicast"),
        pytest.param({"address": "255.255.255.255"}, "is no public address", id="broadcast"),
        *(
            pytest.param({"address": address}, "is no public address", id=address)
            for address in ("fd00::1", "fe80::1", "::1", "::", "ff0e::1", "::ffff:8.8.8.8", "2001:db8::1%eth0")
        ),
        pytest.param({"address": "2001:db8:192:2::1"}, "is a public address of the fabric's", id="six's"),
        pytest.param({"address": "203.0.113.9"}, "203.0.113.0/24 is the fabric's own", id="the outbound pool"),
        pytest.param({"address": "198.51.100.254"}, "is management.azure.com's", id="the resource manager's"),
        pytest.param({"address": "198.51.100.7"}, "198.51.100.7 is already example's", id="another host's"),
        pytest.param({"address": "8.8.8.8", "Name": "x"}, "could not find member 'Name'", id="misspelt member"),
        pytest.param([], "properties: must be an object, not a list", id="not an object"),
    ],
)
def test_refused(properties: Any, says: str, world: World, document: Make, refusal: Refusal) -> None:
    world.put(settle(document(PUBLIC_ADDRESSES, "six", {"publicIPAddressVersion": "IPv6"}), world))
    error = refusal(document(INTERNET_HOSTS, "new", properties), world)
    assert error.code == "InvalidRequestFormat"
    assert says in error.message
    assert error.target == str(make(Scope(), INTERNET_HOSTS, "new"))


def test_a_resolver_of_ipv6_is_not_carried_out(world: World, document: Make, refusal: Refusal) -> None:
    error = refusal(document(INTERNET_HOSTS, "new", {"address": "2001:db8::53", "dns": True}), world)
    assert (error.code, error.message) == (
        "UnsupportedProperty", "properties.dns: this fabric has resolvers of IPv4 addresses only"
    )  # fmt: skip


def test_refused_member_of_the_whole(world: World, document: Make, refusal: Refusal) -> None:
    assert "'sku'" in refusal(document(INTERNET_HOSTS, "new", {"address": "8.8.8.8"}, sku={}), world).message


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "192.0.2.1", "198.51.100.8", "20.1.0.4", "2001:4860:4860::8888", "2001:db8::7"]
)
def test_addresses(address: str, world: World, document: Make) -> None:
    settled = settle(document(INTERNET_HOSTS, "new", {"address": address}), world)
    assert str(internet_hosts.intent_of(settled).address) == address


def test_settling_what_is_shown_changes_nothing(world: World) -> None:
    held = world.documents[EXAMPLE.key]
    assert settle(shown(held), world) == held


def test_a_host_may_move_and_go(world: World, document: Make) -> None:
    world.put(settle(document(INTERNET_HOSTS, "EXAMPLE", {"address": "8.8.4.4"}), world))
    assert str(internet_hosts.intent_of(world.documents[EXAMPLE.key]).address) == "8.8.4.4"
    InternetHosts().check_removal(EXAMPLE, world)
