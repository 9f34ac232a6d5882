from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.address import Mac
from podvnet.model.attachment import BRIDGE_INDEX, LINK_PREFIX, Attachment, AttachmentKey, Mode

ATTACHMENT = Attachment(
    number=7,
    key=AttachmentKey("azure", "0123456789abcdef", "eth0"),
    mode=Mode.TRANSPARENT,
    mac=Mac("0a:58:0a:01:00:05"),
    mtu=1500,
    addresses=(ip_interface("10.1.0.5/24"),),
    gateways=(ip_address("10.1.0.1"),),
)


def test_indexes_are_above_the_bridges_and_the_kernels() -> None:
    assert BRIDGE_INDEX < replace(ATTACHMENT, number=0).link_index < ATTACHMENT.link_index
    assert ATTACHMENT.link_index == (1 << 20) + 7


@given(st.integers(0, 1 << 30), st.text(), st.text(), st.text())
def test_a_link_name_fits_the_kernel(number: int, network: str, container: str, ifname: str) -> None:
    name = replace(ATTACHMENT, number=number, key=AttachmentKey(network, container, ifname)).link_name
    assert name.startswith(LINK_PREFIX)
    assert len(name) <= 15
    assert name.isalnum()


def test_a_link_name_is_never_used_twice() -> None:
    key = ATTACHMENT.key
    others = [
        ATTACHMENT,
        replace(ATTACHMENT, number=8),
        replace(ATTACHMENT, key=replace(key, network="other")),
        replace(ATTACHMENT, key=replace(key, container="other")),
        replace(ATTACHMENT, key=replace(key, ifname="eth1")),
        replace(ATTACHMENT, key=AttachmentKey(key.network, key.container + "e", "th0")),
    ]
    assert len({each.link_name for each in others}) == len(others)


def test_a_link_name_is_the_same_at_every_start() -> None:
    # The host end outlives the agent: a restarted agent must find it.
    assert ATTACHMENT.link_name == replace(ATTACHMENT, mtu=9000, mode=Mode.BRIDGE).link_name


def test_a_key_in_words() -> None:
    assert str(ATTACHMENT.key) == "eth0 of 0123456789abcdef on azure"
