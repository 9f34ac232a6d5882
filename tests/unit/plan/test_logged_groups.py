from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from podvnet.model.address import Mac
from podvnet.model.flow_log import FlowLog
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface, VirtualNetwork
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.model.subnet import Subnet
from podvnet.plan.logged_groups import logged_groups

SCOPE = Scope()


def group(name: str) -> ResourceId:
    return make(SCOPE, "Microsoft.Network/networkSecurityGroups", name)


HUB = make(SCOPE, "Microsoft.Network/virtualNetworks", "hub")
FRONT, BACK = HUB.child("subnets", "front"), HUB.child("subnets", "back")
NETWORK = VirtualNetwork(
    HUB,
    1,
    (ip_network("10.0.0.0/16"),),
    (
        Subnet(FRONT, (ip_network("10.0.0.0/24"),), security_group=group("front")),
        Subnet(BACK, (ip_network("10.0.1.0/24"),)),
    ),
)


def nic(number: int, subnet: ResourceId, of: str = "") -> NetworkInterface:
    return NetworkInterface(
        make(SCOPE, "Microsoft.Network/networkInterfaces", f"nic{number}"),
        number,
        Mac(f"00:0d:3a:00:00:0{number}"),
        HUB,
        subnet,
        (IpConfiguration("primary", ip_address(f"10.0.0.{number}"), primary=True),),
        security_group=group(of) if of else None,
    )


NICS = [nic(1, FRONT, "one"), nic(2, FRONT), nic(3, BACK, "three"), nic(4, BACK)]
INTENT = Intent(virtual_networks={HUB.key: NETWORK}, nics={each.id.key: each for each in NICS})


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (HUB, {"front", "one", "three"}),
        (FRONT, {"front", "one"}),
        (BACK, {"three"}),
        (NICS[1].id, {"front"}),
        (NICS[3].id, set()),
        (group("one"), {"one"}),
        (group("unused"), set()),
    ],
)
def test_the_groups_that_decide_about_what_is_logged(target: ResourceId, names: set[str]) -> None:
    identity = make(SCOPE, "Microsoft.Network/networkWatchers/flowLogs", "w", "log")
    account = make(SCOPE, "Microsoft.Storage/storageAccounts", "logs")
    log = FlowLog(identity, target, account)
    intent = replace(INTENT, flow_logs={identity.key: log})
    assert logged_groups(intent) == {group(name) for name in names}


def test_without_a_log_no_group_logs() -> None:
    assert logged_groups(INTENT) == frozenset()
