"""The frontend ports of inbound NAT rules to pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm.world import Document, World
from podvnet.fabric.settlement import settle_all, settle_removal
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.resource_id import Scope, make

LB = str(make(Scope(), "Microsoft.Network/loadBalancers", "lb"))
POOL = f"{LB}/backendAddressPools/nics"


def balancer(document: Callable[..., Document], first: int = 100, last: int = 102) -> Document:
    rule = {
        "frontendIPConfiguration": {"id": f"{LB}/frontendIPConfigurations/f"},
        "backendAddressPool": {"id": POOL},
        "protocol": "Tcp", "backendPort": 22, "frontendPortRangeStart": first, "frontendPortRangeEnd": last,
    }  # fmt: skip
    subnet = str(make(Scope(), "Microsoft.Network/virtualNetworks", "hub").child("subnets", "dual"))
    properties: Any = {
        "frontendIPConfigurations": [{"name": "f", "properties": {"subnet": {"id": subnet}}}],
        "backendAddressPools": [{"name": "nics"}],
        "inboundNatRules": [{"name": "Ssh", "properties": rule}],
    }
    return document("Microsoft.Network/loadBalancers", "lb", properties)


def nic(document: Callable[..., Document], name: str, *addresses: str) -> Document:
    subnet = str(make(Scope(), "Microsoft.Network/virtualNetworks", "hub").child("subnets", "dual"))
    configurations = [
        {"name": f"ip{place}", "properties": {
            "primary": place == 0, "subnet": {"id": subnet}, "privateIPAddress": address,
            "privateIPAllocationMethod": "Static", "privateIPAddressVersion": "IPv6" if ":" in address else "IPv4",
            "loadBalancerBackendAddressPools": [{"id": POOL}]}}
        for place, address in enumerate(addresses)
    ]  # fmt: skip
    return document("Microsoft.Network/networkInterfaces", name, {"ipConfigurations": configurations})


def ports(world: World) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = world.documents[LB.lower()]["_fabric"].get("natPorts", {})
    return found


def grown(world: World, *documents: Document) -> World:
    return settle_all(list(documents), world, set()).world


def test_each_address_of_the_frontends_version_has_a_port(world: World, document: Callable[..., Document]) -> None:
    found = grown(world, balancer(document), nic(document, "n", "10.0.2.20", "10.0.2.10", "fd00::20"))
    assert ports(found) == {"ssh": {"10.0.2.10": 100, "10.0.2.20": 101}}


def test_ports_stay_with_their_addresses(world: World, document: Callable[..., Document]) -> None:
    found = grown(world, balancer(document), nic(document, "b", "10.0.2.20"), nic(document, "c", "10.0.2.30"))
    assert ports(found) == {"ssh": {"10.0.2.20": 100, "10.0.2.30": 101}}
    found = grown(found, nic(document, "a", "10.0.2.10"))
    assert ports(found) == {"ssh": {"10.0.2.10": 102, "10.0.2.20": 100, "10.0.2.30": 101}}
    (gone,) = (key for key in found.documents if key.endswith("/b"))
    found = settle_removal({gone}, found).world
    assert ports(found) == {"ssh": {"10.0.2.10": 102, "10.0.2.30": 101}}
    found = grown(found, nic(document, "d", "10.0.2.40"), balancer(document, last=110))
    assert ports(found) == {"ssh": {"10.0.2.10": 102, "10.0.2.30": 101, "10.0.2.40": 100}}


def test_a_range_that_moves_gives_new_ports_to_those_outside(world: World, document: Callable[..., Document]) -> None:
    found = grown(world, balancer(document), nic(document, "n", "10.0.2.10", "10.0.2.20"))
    found = grown(found, balancer(document, first=101, last=105))
    assert ports(found) == {"ssh": {"10.0.2.10": 102, "10.0.2.20": 101}}


def test_a_range_that_is_too_small_is_refused(world: World, document: Callable[..., Document]) -> None:
    found = grown(world, balancer(document), nic(document, "n", "10.0.2.10", "10.0.2.20", "10.0.2.30"))
    for wanted in (nic(document, "more", "10.0.2.40"), balancer(document, last=101)):
        with pytest.raises(ArmErrorsError, match="each needs one") as refused:
            grown(found, wanted)
        assert refused.value.errors[0].target == f"{LB}/inboundNatRules/Ssh"


def test_without_such_rules_nothing_is_kept(world: World, document: Callable[..., Document]) -> None:
    found = grown(world, balancer(document), nic(document, "n", "10.0.2.10"))
    plain = balancer(document)
    plain["properties"]["inboundNatRules"] = []
    found = grown(found, plain)
    assert ports(found) == {}
