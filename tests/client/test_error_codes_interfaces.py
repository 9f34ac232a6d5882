"""Error codes of NICs, VMs, network security groups and application security groups, each got through the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import Row, located, part, reference, refusal_of

GROUP = "error-interfaces"
SIDES = ("source", "destination")


def config(cloud: Cloud, subnet: str = "v/subnets/s", name: str = "c", **more: Any) -> Any:
    network, _, path = subnet.partition("/")
    return part(name, subnet=reference(cloud, GROUP, f"virtualNetworks/{network}/{path}"), **more)


def static(cloud: Cloud, address: str) -> Any:
    return config(cloud, privateIPAllocationMethod="Static", privateIPAddress=address)


def put(cloud: Cloud, *configurations: Any, name: str = "new", location: str = "local") -> Any:
    body = located(location, ipConfigurations=list(configurations))
    return cloud.network.network_interfaces.begin_create_or_update(GROUP, name, body)


def machine(cloud: Cloud, *nics: str, location: str = "local") -> Any:
    listed = [
        {**reference(cloud, GROUP, f"networkInterfaces/{nic}"), "properties": {"primary": position == 0}}
        for position, nic in enumerate(nics)
    ]
    body = located(location, networkProfile={"networkInterfaces": listed})
    return cloud.compute.virtual_machines.begin_create_or_update(GROUP, nics[0] if nics else "none", body)


def rule(cloud: Cloud, groups: tuple[str, ...] = (), **more: Any) -> Any:
    sides: dict[str, Any] = {}
    for side in SIDES:
        named = [reference(cloud, GROUP, f"applicationSecurityGroups/{group}") for group in groups]
        sides |= {f"{side}ApplicationSecurityGroups": named} if groups else {f"{side}AddressPrefix": "*"}
        sides[f"{side}PortRange"] = "*"
    base = {"priority": 200, "direction": "Inbound", "access": "Allow", "protocol": "Tcp"}
    body: Any = {"properties": base | sides | more}
    return cloud.network.security_rules.begin_create_or_update(GROUP, "nsg", "new", body)


def public(cloud: Cloud) -> dict[str, str]:
    body = located(_sku="Standard", publicIPAllocationMethod="Static")
    cloud.network.public_ip_addresses.begin_create_or_update(GROUP, "own", body).result()
    return reference(cloud, GROUP, "publicIPAddresses/own")


@pytest.fixture(scope="module", autouse=True)
def stage(cloud: Cloud) -> Iterator[None]:
    """v has the subnets s, tiny (3 addresses, taken) and service (delegated); w is another network.

    NICs: ``on`` is on a VM of that name, ``free`` on none, both in s; ``away`` is in w. The group near has free, the
    group far has away.
    """
    network = cloud.network
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    delegation = [part("d", serviceName="Microsoft.ContainerInstance/containerGroups")]
    subnets = [
        part("s", addressPrefix="10.0.0.0/24"),
        part("tiny", addressPrefix="10.0.1.0/29"),
        part("service", addressPrefix="10.0.2.0/24", delegations=delegation),
    ]
    for name, prefix, parts in (("v", "10.0.0.0/16", subnets), ("w", "10.1.0.0/16", [])):
        listed = parts or [part("s", addressPrefix="10.1.0.0/24")]
        body = located(addressSpace={"addressPrefixes": [prefix]}, subnets=listed)
        network.virtual_networks.begin_create_or_update(GROUP, name, body).result()
    for name in ("near", "far", *(f"g{n}" for n in range(11))):
        network.application_security_groups.begin_create_or_update(GROUP, name, located()).result()
    member: Any = {"applicationSecurityGroups": [reference(cloud, GROUP, "applicationSecurityGroups/near")]}
    put(cloud, config(cloud, **member), name="free").result()
    member = {"applicationSecurityGroups": [reference(cloud, GROUP, "applicationSecurityGroups/far")]}
    put(cloud, config(cloud, "w/subnets/s", **member), name="away").result()
    put(cloud, config(cloud), name="on").result()
    full = [config(cloud, "v/subnets/tiny", f"c{n}", primary=n == 0) for n in range(3)]
    put(cloud, *full, name="full").result()
    machine(cloud, "on").result()
    web = part(
        "web", priority=100, direction="Inbound", access="Allow", protocol="*",
        **{f"{side}{what}": "*" for side in SIDES for what in ("AddressPrefix", "PortRange")},
    )  # fmt: skip
    group = network.network_security_groups.begin_create_or_update(GROUP, "nsg", located(securityRules=[web])).result()
    body = located(ipConfigurations=[config(cloud)], networkSecurityGroup={"id": group.id})
    network.network_interfaces.begin_create_or_update(GROUP, "guarded", body).result()
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


ROWS = [
    Row("SubnetIsFull", 400, "no free address", lambda c: put(c, config(c, "v/subnets/tiny"))),
    Row("PrivateIPAddressInUse", 400, "another NIC's address", lambda c: put(c, static(c, "10.0.0.4"))),
    Row("PrivateIPAddressInReservedRange", 400, "the gateway's address", lambda c: put(c, static(c, "10.0.0.1"))),
    Row("PrivateIPAddressInReservedRange", 400, "the last address", lambda c: put(c, static(c, "10.0.0.255"))),
    Row("PrivateIPAddressNotInSubnet", 400, "an address outside", lambda c: put(c, static(c, "10.9.0.4"))),
    Row(
        "IpConfigurationsOnSameNicCannotUseDifferentSubnets", 400, "two subnets",
        lambda c: put(c, config(c, primary=True), config(c, "v/subnets/tiny", "d")),
    ),
    Row(
        "ResourceNotPermittedOnDelegatedSubnet", 400, "a delegated subnet",
        lambda c: put(c, config(c, "v/subnets/service")),
    ),
    Row("InvalidResourceReference", 400, "no such subnet", lambda c: put(c, config(c, "v/subnets/none"))),
    Row("InvalidResourceReference", 400, "a network elsewhere", lambda c: put(c, config(c), location="westeurope")),
    Row(
        "InvalidResourceLocation", 409, "a NIC that moves",
        lambda c: put(c, config(c), name="free", location="westus"),
    ),
    Row("InvalidRequestFormat", 400, "no ip-configuration", put),
    Row(
        "PublicIPReferencedByMultipleIPConfigs", 400, "one public address twice",
        lambda c: put(
            c, config(c, primary=True, publicIPAddress=public(c)), config(c, name="d", publicIPAddress=public(c))
        ),
    ),
    Row("NicInUse", 400, "a NIC that is on a VM", lambda c: c.network.network_interfaces.begin_delete(GROUP, "on")),
    Row("NicInUse", 400, "a NIC of another VM", lambda c: machine(c, "free", "on")),
    Row("SubnetsNotInSameVnet", 400, "a VM in two networks", lambda c: machine(c, "free", "away")),
    Row("InvalidResourceReference", 400, "a VM elsewhere", lambda c: machine(c, "free", location="westeurope")),
    Row("InvalidResourceReference", 400, "no such NIC", lambda c: machine(c, "none")),
    Row("InvalidParameter", 400, "a VM without NICs", machine),
    Row("SecurityRuleConflict", 400, "a priority twice", lambda c: rule(c, priority=100)),
    Row("SecurityRuleInvalidPriority", 400, "a priority too low", lambda c: rule(c, priority=99)),
    Row("SecurityRuleInvalidPriority", 400, "a priority too high", lambda c: rule(c, priority=4097)),
    Row("SecurityRuleInvalidAddressPrefix", 400, "an unknown tag", lambda c: rule(c, sourceAddressPrefix="Intranet")),
    Row("SecurityRuleInvalidPortRange", 400, "a list of ports", lambda c: rule(c, destinationPortRange="80,443")),
    Row("SecurityRuleInvalidPortRange", 400, "a port too high", lambda c: rule(c, destinationPortRange="65536")),
    Row(
        "SecurityRuleInvalidAccessType", 400, "platform traffic that is allowed",
        lambda c: rule(c, direction="Outbound", destinationAddressPrefix="AzurePlatformDNS"),
    ),
    Row(
        "AllApplicationSecurityGroupsInSecurityRuleMustBeFromSameVnet", 400, "groups of two networks",
        lambda c: rule(c, ("near", "far")),
    ),
    Row(
        "NumberOfApplicationSecurityGroupsReferencedInSecurityRuleLimitReached", 400, "eleven groups",
        lambda c: rule(c, tuple(f"g{n}" for n in range(11))),
    ),
    Row(
        "InUseNetworkSecurityGroupCannotBeDeleted", 400, "a group with a NIC",
        lambda c: c.network.network_security_groups.begin_delete(GROUP, "nsg"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.code}-{row.what}" for row in ROWS])
def test_an_error_code_of_interfaces(row: Row, cloud: Cloud) -> None:
    assert refusal_of(row.act, cloud) == (row.code, row.status)
