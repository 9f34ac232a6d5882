from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from podvnet.model.address import Mac, mac_bytes
from podvnet.model.attachment import BRIDGE_INDEX, Attachment, AttachmentKey, Mode
from podvnet.model.kernel import Element, InterfaceAddress, Neighbour, Route, VethPair, field_bytes, index_bytes
from podvnet.plan.attachment_program import HOST, POD, attach_steps, guard


def attachment(mode: Mode) -> Attachment:
    return Attachment(
        number=7,
        key=AttachmentKey("azure", "c0", "eth0"),
        mode=mode,
        mac=Mac("0a:58:0a:01:00:05"),
        mtu=1500,
        addresses=(ip_interface("10.1.0.5/24"), ip_interface("fd00::5/64")),
        gateways=(ip_address("10.1.0.1"), ip_address("fd00::1")),
    )


INDEX = index_bytes(attachment(Mode.BRIDGE).link_index)
MAC = mac_bytes(attachment(Mode.BRIDGE).mac)
ADDRESS = ip_address("10.1.0.5").packed
SOURCE = field_bytes(INDEX, MAC, ADDRESS)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (
            Mode.TRANSPARENT,
            {("inet", "pods4", ADDRESS), ("inet", "sources4", SOURCE), ("arp", "sources4", SOURCE)},
        ),
        (
            Mode.BRIDGE,
            {
                ("inet", "pods4", ADDRESS),
                ("bridge", "sources4", SOURCE),
                ("bridge", "delivery4", ADDRESS),
                ("bridge", "local4", ADDRESS),
            },
        ),
        (
            Mode.TUNNEL,
            {
                ("inet", "pods4", ADDRESS),
                ("bridge", "sources4", SOURCE),
                ("bridge", "delivery4", ADDRESS),
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
        ("fd00::1/128", "None"),
        ("::/0", "fd00::1"),
    }
    assert {str(each.interface) for each in pod if isinstance(each, InterfaceAddress)} == {"10.1.0.5/24", "fd00::5/64"}
    # Whoever has the gateway's MAC beforehand never asks for it.
    assert {str(each.address) for each in pod if isinstance(each, Neighbour)} == {"10.1.0.1", "fd00::1"}


@pytest.mark.parametrize("mode", list(Mode))
def test_how_the_vm_reaches_a_pod(mode: Mode) -> None:
    host = [step.object for step in attach_steps(attachment(mode)) if step.namespace == HOST]
    cable = next(each for each in host if isinstance(each, VethPair))
    assert cable.proxy_arp == (mode is Mode.TRANSPARENT)
    assert cable.bridge == (0 if mode is Mode.TRANSPARENT else BRIDGE_INDEX)
    routes = {str(each.destination) for each in host if isinstance(each, Route)}
    assert routes == ({"10.1.0.5/32", "fd00::5/128"} if mode is Mode.TRANSPARENT else set())


def test_each_end_has_a_mac_of_its_own() -> None:
    for mode in Mode:
        made = attach_steps(attachment(mode))
        cable = next(step.object for step in made if isinstance(step.object, VethPair))
        assert cable.mac != cable.peer_mac


def test_an_attachment_without_ipv4_has_no_guard_yet() -> None:
    only6 = replace(
        attachment(Mode.TRANSPARENT), addresses=(ip_interface("fd00::5/64"),), gateways=(ip_address("fd00::1"),)
    )
    assert guard(only6) == []
