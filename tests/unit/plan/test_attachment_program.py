from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from podvnet.model.address import GATEWAY6, Mac, mac_bytes
from podvnet.model.attachment import BRIDGE_INDEX, Attachment, AttachmentKey, Mode
from podvnet.model.kernel import (
    Element,
    InterfaceAddress,
    Neighbour,
    Route,
    VethPair,
    field_bytes,
    index_bytes,
)
from podvnet.plan.attachment_program import HOST, POD, attach_steps, guard, host_side, way_by_bridge


def attachment(mode: Mode) -> Attachment:
    return Attachment(
        number=7,
        key=AttachmentKey("azure", "c0", "eth0"),
        mode=mode,
        mac=Mac("0a:58:0a:01:00:05"),
        mtu=1500,
        addresses=(ip_interface("10.1.0.5/24"), ip_interface("fd00::5/64")),
        gateways=(ip_address("10.1.0.1"), GATEWAY6),
    )


INDEX = index_bytes(attachment(Mode.BRIDGE).link_index)
MAC = mac_bytes(attachment(Mode.BRIDGE).mac)
ADDRESS = ip_address("10.1.0.5").packed
SOURCE = field_bytes(INDEX, MAC, ADDRESS)
ADDRESS6 = ip_address("fd00::5").packed
SOURCE6 = field_bytes(INDEX, MAC, ADDRESS6)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (
            Mode.TRANSPARENT,
            {
                ("inet", "pods4", ADDRESS),
                ("inet", "pods6", ADDRESS6),
                ("inet", "sources4", SOURCE),
                ("arp", "sources4", SOURCE),
                ("inet", "sources6", SOURCE6),
            },
        ),
        (
            Mode.BRIDGE,
            {
                ("inet", "pods4", ADDRESS),
                ("inet", "pods6", ADDRESS6),
                ("bridge", "sources4", SOURCE),
                ("bridge", "delivery4", ADDRESS),
                ("bridge", "local4", ADDRESS),
                ("bridge", "sources6", SOURCE6),
                ("bridge", "delivery6", ADDRESS6),
                ("bridge", "local6", ADDRESS6),
            },
        ),
        (
            Mode.TUNNEL,
            {
                ("inet", "pods4", ADDRESS),
                ("inet", "pods6", ADDRESS6),
                ("bridge", "sources4", SOURCE),
                ("bridge", "delivery4", ADDRESS),
                ("bridge", "sources6", SOURCE6),
                ("bridge", "delivery6", ADDRESS6),
                ("bridge", "tunnel_ports", INDEX),
            },
        ),
    ],
)
def test_guard(mode: Mode, expected: set[tuple[str, str, bytes]]) -> None:
    assert {(each.family, each.set, each.key) for each in guard(attachment(mode))} == expected


@pytest.mark.parametrize("mode", list(Mode))
def test_the_guard_stands_before_the_link(mode: Mode) -> None:
    steps = attach_steps(attachment(mode))
    assert all(step.add for step in steps)
    kinds = [type(step.object) for step in steps]
    assert max(at for at, kind in enumerate(kinds) if kind is Element) < kinds.index(VethPair)
    assert [step.namespace for step in steps] == sorted((step.namespace for step in steps), key=[HOST, POD].index)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_pod_never_gets_a_connected_route(mode: Mode) -> None:
    pod = [step.object for step in attach_steps(attachment(mode)) if step.namespace == POD]
    routes = {(str(each.destination), str(each.via)) for each in pod if isinstance(each, Route)}
    assert routes == {
        ("10.1.0.1/32", "None"),
        ("0.0.0.0/0", "10.1.0.1"),
        (f"{GATEWAY6}/128", "None"),
        ("::/0", str(GATEWAY6)),
    }
    assert {str(each.interface) for each in pod if isinstance(each, InterfaceAddress)} == {"10.1.0.5/24", "fd00::5/64"}
    # Whoever has the gateway's MAC beforehand never asks for it.
    assert {str(each.address) for each in pod if isinstance(each, Neighbour)} == {"10.1.0.1", str(GATEWAY6)}


@pytest.mark.parametrize("mode", list(Mode))
def test_how_the_vm_reaches_a_pod(mode: Mode) -> None:
    host = [step.object for step in attach_steps(attachment(mode)) if step.namespace == HOST]
    cable = next(each for each in host if isinstance(each, VethPair))
    assert cable.proxy_arp == (mode is Mode.TRANSPARENT)
    assert cable.bridge == (0 if mode is Mode.TRANSPARENT else BRIDGE_INDEX)
    routes = {str(each.destination) for each in host if isinstance(each, Route)}
    # The IPv4 subnet of a bridged pod is on the bridge, an IPv6 subnet is nowhere.
    assert routes == ({"10.1.0.5/32", "fd00::5/128"} if mode is Mode.TRANSPARENT else {"fd00::5/128"})


@pytest.mark.parametrize("mode", list(Mode))
def test_what_does_not_go_with_the_link_is_known(mode: Mode) -> None:
    made = attachment(mode)
    bridged = {each for each in host_side(made) if isinstance(each, Neighbour | Route) and each.index == BRIDGE_INDEX}
    assert set(way_by_bridge(made)) == bridged
    assert bool(bridged) == (mode is not Mode.TRANSPARENT)


def test_each_end_has_a_mac_of_its_own() -> None:
    for mode in Mode:
        made = attach_steps(attachment(mode))
        cable = next(step.object for step in made if isinstance(step.object, VethPair))
        assert cable.mac != cable.peer_mac


@pytest.mark.parametrize("mode", list(Mode))
def test_a_pod_of_ipv4_alone_costs_nothing_more(mode: Mode) -> None:
    both = attachment(mode)
    alone = replace(both, addresses=both.addresses[:1], gateways=both.gateways[:1])
    more = set(attach_steps(both)) - set(attach_steps(alone))
    assert {step for step in attach_steps(both) if "6" in _versions(step.object)} == more


def _versions(item: object) -> set[str]:
    """The IP versions an object speaks of."""
    match item:
        case Element(_, _, name, _, _):
            return {name[-1]}
        case Neighbour(_, address, _):
            return {str(address.version)}
        case InterfaceAddress(_, interface):
            return {str(interface.version)}
        case Route(destination):
            return {str(destination.version)}
    return set()
