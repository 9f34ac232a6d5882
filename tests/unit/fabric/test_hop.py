from __future__ import annotations

import pytest

from podvnet.fabric.hop import Hop, UnknownHopError, find, in_namespace
from podvnet.linux.rtnetlink_dump import Link
from podvnet.model.address import Mac


def link(name: str, index: int, alias: str = "", kind: str = "veth") -> Link:
    return Link(name, index, Mac("12:34:56:78:9a:bc"), 1500, True, 0, 0, kind, alias)


NETWORK = in_namespace(
    "podvnet-vnet-hub",
    [
        link("lo", 1, kind=""),
        link("internet", 2, "to the internet"),
        link("nic1", 1001, "NIC vm1-nic"),
        link("peer7", 1002),
    ],
)
MACHINE = in_namespace(
    "podvnet-vm-vm1", [link("eth1", 3), link("eth0", 2), link("azv1234", 9), link("azure0", 4, kind="bridge")]
)
INTERNET = in_namespace("podvnet-internet", [link("lo", 1, kind=""), link("vnet1", 1001)])


def test_every_kind_of_hop_has_a_name() -> None:
    assert [(hop.name, hop.interface, hop.aliases) for hop in NETWORK] == [
        ("hub:internet", "internet", ()),
        ("hub:nic1", "nic1", ("hub:vm1-nic", "vm1-nic")),
        ("hub:peer7", "peer7", ()),
    ]
    assert [(hop.name, hop.interface, hop.aliases) for hop in MACHINE] == [
        ("vm1:eth0", "eth0", ("vm1",)),
        ("vm1:eth1", "eth1", ()),
    ]
    assert [(hop.name, hop.interface) for hop in INTERNET] == [("internet", ""), ("internet:vnet1", "vnet1")]
    assert in_namespace("podvnet-other", [link("eth0", 2)]) == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("vm1", "vm1:eth0"),
        ("VM1:ETH1", "vm1:eth1"),
        ("vm1-nic", "hub:nic1"),
        ("Hub:vm1-nic", "hub:nic1"),
        ("hub:internet", "hub:internet"),
        ("internet", "internet"),
    ],
)
def test_a_hop_is_found_by_any_of_its_names_whatever_their_case(name: str, found: str) -> None:
    assert find(name, [*NETWORK, *MACHINE, *INTERNET]).name == found


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownHopError, match="nothing to capture at 'hub:intrenet'; is 'hub:internet' meant"):
        find("hub:intrenet", NETWORK)
    with pytest.raises(UnknownHopError, match=r"nothing to capture at 'x'$"):
        find("x", [])


def test_a_name_that_two_have_is_refused_with_both() -> None:
    other = Hop("spoke:nic2", "podvnet-vnet-spoke", "nic2", "", ("spoke:vm1-nic", "vm1-nic"))
    with pytest.raises(UnknownHopError, match="'vm1-nic' may be any of hub:nic1, spoke:nic2"):
        find("vm1-nic", [*NETWORK, other])
