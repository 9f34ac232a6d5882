"""The frontend ports of inbound NAT rules that lead to a pool: one for each address of the pool.

A port stays with its address for as long as the address is in the pool and the rule has the port; who comes gets the
lowest that is free. The choice is kept in the load balancer's document.
Source: Azure document "Inbound NAT rules": a port for each member, kept on scale-down, given on scale-up, and scale-up
is blocked when the range has no more.
"""

from __future__ import annotations

from ipaddress import ip_address

from podvnet.fabric.arm.public_ip_prefixes import version_of
from podvnet.fabric.arm.world import LOAD_BALANCERS, Document, World, addresses_of
from podvnet.model.address import Address
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import parse

_KEPT = "natPorts"
"""The member of ``_fabric``: by name of the rule in lower case, by address, the port."""

Ports = dict[str, int]


def keep_nat_ports(document: Document, previous: Document) -> None:
    """Give a settled load balancer the ports that it had before."""
    if _KEPT in previous["_fabric"]:
        document["_fabric"][_KEPT] = previous["_fabric"][_KEPT]


def give_nat_ports(world: World) -> None:
    """Bring the ports of every load balancer up to date with who is in its pools.

    Raises:
        ArmError: a rule has fewer ports than its pool has addresses.
    """
    for balancer in list(world.of_type(LOAD_BALANCERS)):
        kept = balancer["_fabric"].get(_KEPT, {})
        rules = [
            rule for rule in balancer["properties"]["inboundNatRules"] if "backendAddressPool" in rule["properties"]
        ]
        given = {
            rule["name"].lower(): _given(rule, kept.get(rule["name"].lower(), {}), _members(balancer, rule, world))
            for rule in rules
        }
        if given != kept:
            world.put(balancer | {"_fabric": balancer["_fabric"] | {_KEPT: given}})


def port_mappings(balancer: Document, pool: str, address: Address) -> list[Document]:
    """The ports that lead to an address of a pool, as the resource manager shows them.

    Args:
        balancer: the document.
        pool: the id key of the pool.
        address: of a member.
    """
    kept = balancer["_fabric"].get(_KEPT, {})
    return [
        {
            "inboundNatRuleName": rule["name"],
            "protocol": rule["properties"]["protocol"],
            "frontendPort": kept[rule["name"].lower()][str(address)],
            "backendPort": rule["properties"]["backendPort"],
        }
        for rule in balancer["properties"]["inboundNatRules"]
        if rule["properties"].get("backendAddressPool", {}).get("id", "").lower() == pool
        and str(address) in kept.get(rule["name"].lower(), {})
    ]


def _given(rule: Document, kept: Ports, members: list[str]) -> Ports:
    inner = rule["properties"]
    ports = range(inner["frontendPortRangeStart"], inner["frontendPortRangeEnd"] + 1)
    if len(members) > len(ports):
        raise ArmError(
            "InvalidRequestFormat",
            f"inbound NAT rule {rule['id']} has {len(ports)} ports, {ports[0]} to {ports[-1]}, and its backend pool"
            f" {len(members)} addresses; each needs one. Widen the range first.",
            target=rule["id"],
        )
    given = {address: kept[address] for address in members if kept.get(address) in ports}
    taken = set(given.values())
    free = (port for port in ports if port not in taken)
    return {address: given[address] if address in given else next(free) for address in members}


def _members(balancer: Document, rule: Document, world: World) -> list[str]:
    """The addresses of the pool that the rule leads to, of the frontend's IP version, in order."""
    key = rule["properties"]["backendAddressPool"]["id"].lower()
    pool = next(each for each in balancer["properties"]["backendAddressPools"] if each["id"].lower() == key)
    found = {each["properties"]["ipAddress"] for each in pool["properties"]["loadBalancerBackendAddresses"]}
    for user in world.users(key, "ipConfigurations"):
        configuration = world.find(parse(user))
        if configuration:
            found |= {str(address) for address in addresses_of(configuration)}
    version = _version(balancer, rule, world)
    return [str(each) for each in sorted(map(ip_address, found), key=int) if each.version == version]


def _version(balancer: Document, rule: Document, world: World) -> int:
    key = rule["properties"]["frontendIPConfiguration"]["id"].lower()
    frontend = next(each for each in balancer["properties"]["frontendIPConfigurations"] if each["id"].lower() == key)
    inner = frontend["properties"]
    public = inner.get("publicIPAddress", inner.get("publicIPPrefix"))
    if public:
        return version_of(world.documents[public["id"].lower()])
    return 6 if inner.get("privateIPAddressVersion") == "IPv6" else 4
