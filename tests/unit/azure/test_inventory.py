from __future__ import annotations

import pytest

from podvnet.azure.inventory import Inventory, PlatformNic, faults, read_address, read_nic, read_prefix
from podvnet.model.address import Mac

Subnets = list[tuple[str, list[tuple[str, bool]]]]

MAC1, MAC2 = "000D3A0A0B0C", "000D3A0A0B0D"


def nic(mac: str, primary: bool, *subnets: tuple[str, str]) -> PlatformNic:
    """Build a NIC from (prefix, "address* address …"); a star marks a primary address."""
    return read_nic(
        mac,
        primary,
        [(prefix, [(text.rstrip("*"), text.endswith("*")) for text in texts.split()]) for prefix, texts in subnets],
    )


SOUND = nic(MAC1, True, ("10.0.0.0/24", "10.0.0.4* 10.0.0.5"), ("fd00::/64", "fd00::4* fd00::5"))


@pytest.mark.parametrize(
    "nics",
    [
        [SOUND],
        [SOUND, nic(MAC2, False, ("10.0.1.0/24", "10.0.1.4*"))],
        # Two NICs of a VM may be in one subnet.
        [SOUND, nic(MAC2, False, ("10.0.0.0/24", "10.0.0.6* 10.0.0.7"))],
        [nic(MAC1, True)],
        [nic(MAC1, True, ("10.0.0.0/24", ""))],
    ],
)
def test_sound_inventories(nics: list[PlatformNic]) -> None:
    assert faults(Inventory(tuple(nics))) == ()


@pytest.mark.parametrize(
    ("nics", "says"),
    [
        ([], "no interface is listed"),
        ([SOUND, nic(MAC1, False)], "the MAC 00:0d:3a:0a:0b:0c is listed twice"),
        ([nic(MAC1, False)], "0 of 1 interfaces are primary"),
        ([SOUND, nic(MAC2, True)], "2 of 2 interfaces are primary"),
        (
            [nic(MAC1, True, ("10.0.0.0/24", "10.0.0.4*"), ("10.0.0.0/24", "10.0.0.5"))],
            "the prefix 10.0.0.0/24 is listed twice for interface 00:0d:3a:0a:0b:0c",
        ),
        (
            [nic(MAC1, True, ("10.0.0.0/24", "10.0.0.4*"), ("10.0.0.0/16", "10.0.1.5"))],
            "the prefixes 10.0.0.0/16 and 10.0.0.0/24 overlap",
        ),
        ([SOUND, nic(MAC2, False, ("10.0.0.0/25", "10.0.0.9*"))], "overlap"),
        ([nic(MAC1, True, ("10.0.0.0/24", "10.0.0.4* 10.0.1.5"))], "10.0.1.5 of interface .* is not in its prefix"),
        ([nic(MAC1, True, ("10.0.0.0/24", "10.0.0.4* fd00::1*"))], "fd00::1 of interface .* is not in its prefix"),
        ([nic(MAC1, True, ("10.0.0.0/24", "10.0.0.4* 10.0.0.5 10.0.0.5"))], "the address 10.0.0.5 is listed twice"),
        ([SOUND, nic(MAC2, False, ("10.0.0.0/24", "10.0.0.6* 10.0.0.5"))], "the address 10.0.0.5 is listed twice"),
        ([nic(MAC1, True, ("10.0.0.0/24", "10.0.0.4 10.0.0.5"))], "has 0 primary IPv4 addresses"),
        ([nic(MAC1, True, ("10.0.0.0/24", "10.0.0.4* 10.0.0.5*"))], "has 2 primary IPv4 addresses"),
        ([nic(MAC1, True, ("10.0.0.0/24", "10.0.0.4*"), ("fd00::/64", "fd00::4"))], "has 0 primary IPv6 addresses"),
    ],
)
def test_faults(nics: list[PlatformNic], says: str) -> None:
    found = faults(Inventory(tuple(nics)))
    with pytest.raises(AssertionError, match=says):
        raise AssertionError("; ".join(found))


def test_all_faults_are_named_at_once() -> None:
    broken = nic(MAC1, False, ("10.0.0.0/24", "10.0.0.4 10.0.0.4"))
    assert len(faults(Inventory((broken,)))) == 3


def test_what_is_asked_of_an_inventory() -> None:
    second = nic(MAC2, False, ("10.0.1.0/24", "10.0.1.4*"))
    inventory = Inventory((second, SOUND))
    assert inventory.primary_nic() is SOUND
    assert inventory.nic(Mac("00:0d:3a:0a:0b:0d")) is second
    assert inventory.nic(Mac("00:0d:3a:00:00:00")) is None
    assert (str(SOUND.primary_address()), str(SOUND.primary_address(6))) == ("10.0.0.4", "fd00::4")
    assert second.primary_address(6) is None
    assert [str(address) for address in SOUND.secondary_addresses()] == ["10.0.0.5", "fd00::5"]


@pytest.mark.parametrize(
    "text", ["000D3A0A0B0C", "000d3a0a0b0c", "00:0d:3a:0a:0b:0c", "00:0D:3A:0A:0B:0C", "00-0D-3A-0A-0B-0C"]
)
def test_spellings_of_a_mac(text: str) -> None:
    assert read_nic(text, True, ()).mac == "00:0d:3a:0a:0b:0c"


@pytest.mark.parametrize(
    ("mac", "subnets", "says"),
    [
        ("*", [], "names no NIC"),
        (" * ", [], "names no NIC"),
        ("", [], "'' is not a MAC"),
        ("000D3A0A0B", [], "is not a MAC"),
        (MAC1, [("10.0.0.4/24", [])], "host bits"),
        (MAC1, [("10.0.0.0/24", [("10.0.0.256", True)])], "10.0.0.256"),
    ],
)
def test_texts_that_are_no_nic(mac: str, subnets: Subnets, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_nic(mac, True, subnets)


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.0", "10.0.0.0/33", "10.0.0.1/24", "fe80::%eth0/64", "x/8", "/"])
def test_texts_that_are_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_prefix(text)


@pytest.mark.parametrize("text", ["", "10.0.0", "010.0.0.1", "10.0.0.4/32", "fe80::1%eth0", "::g"])
def test_texts_that_are_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_address(text)
