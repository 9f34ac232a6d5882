"""Microsoft.Network/virtualNetworks and their subnets.

Source: Azure documents "Virtual Network FAQ" (ranges that may not be used, sizes, the five reserved addresses) and
"Create, change, or delete a virtual network" (what cannot be changed while in use).
"""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import IPv4Network, ip_address, ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.internal_names import domain_suffix
from podvnet.fabric.arm.linked import Linker, linked
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.subnets import check_gateways, prefixes_of, settle_subnet
from podvnet.fabric.arm.virtual_network_peerings import connected, settle_peerings
from podvnet.fabric.arm.world import VIRTUAL_NETWORKS, Document, World
from podvnet.model import limits
from podvnet.model.address import Prefix, disjoint
from podvnet.model.arm_error import ArmError
from podvnet.model.intent import VirtualNetwork
from podvnet.model.resource_id import ResourceId, parse
from podvnet.model.subnet import Subnet

_FORBIDDEN = tuple(
    IPv4Network(text)
    for text in ("224.0.0.0/4", "255.255.255.255/32", "127.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32")
)
_FLOW_TIMEOUT = (4, 30)
_PRIVATE_SINCE = "2025-07-01"
"""The first api-version whose new subnets have no default outbound access unless they say so.

Source: Azure document "Default outbound access in Azure".
"""


class VirtualNetworks:
    """The type."""

    full_type = VIRTUAL_NETWORKS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a virtual network with its subnets."""
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow("provisioningState", "resourceGuid", "defaultPublicNatGateway")
        properties.only("enableDdosProtection", False)
        properties.only("enableVmProtection", False)
        properties.only("privateEndpointVNetPolicies", "Disabled")
        properties.refuse_unsupported("ddosProtectionPlan", "bgpCommunities", "encryption", "ipAllocations")
        flow_timeout = properties.number("flowTimeoutInMinutes", _FLOW_TIMEOUT[0], *_FLOW_TIMEOUT)
        space = self._address_space(properties)
        previous = world.get(resource)
        options = properties.fields("dhcpOptions")
        dns = options.texts("dnsServers")
        options.refuse_unread()
        if len(dns) > limits.DNS_SERVERS_PER_VIRTUAL_NETWORK:
            most = f"at most {limits.DNS_SERVERS_PER_VIRTUAL_NETWORK}, not {len(dns)}"
            raise options.error("DnsServersPerVirtualNetworkLimitReached", most, "dnsServers")
        for server in dns:
            self._address(properties, server)
        linker = Linker(resource, document["location"], world)
        if previous:
            _check_prefixes(properties, previous, space)
        version = body.text("apiVersion")
        subnets = [
            settle_subnet(resource, each, space, linker, _outbound_unsaid(each, version, previous))
            for each in properties.each("subnets")
        ]
        self._check_subnets(properties, subnets)
        check_gateways(resource, properties, subnets, world)
        if previous:
            self._check_in_use(previous, subnets, world)
        peerings = settle_peerings(resource, properties, space, world)
        properties.refuse_unread()
        body.refuse_unread()
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "addressSpace": {"addressPrefixes": [str(prefix) for prefix in space]},
            "subnets": subnets,
            "virtualNetworkPeerings": peerings,
            "enableDdosProtection": False,
            "privateEndpointVNetPolicies": "Disabled",
        }
        if properties.has("dhcpOptions"):
            document["properties"]["dhcpOptions"] = {"dnsServers": dns}
        if properties.has("flowTimeoutInMinutes"):
            document["properties"]["flowTimeoutInMinutes"] = flow_timeout
        number = previous["_fabric"]["number"] if previous else world.free_number(VIRTUAL_NETWORKS)
        document["_fabric"] = {"number": number}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A virtual network goes only when no ip-configuration is in it and no backend pool is of it."""
        subnets = resource.key + "/subnets/"
        for subnet in sorted(key for key in world.referrers if key.startswith(subnets)):
            _refuse_used(parse(subnet), world, "InUseSubnetCannotBeDeleted", "deleted")
        pools = world.users(resource.key, "backendAddressPools", "loadBalancerBackendAddresses")
        if pools:
            raise ArmError(
                "InUseVirtualNetworkCannotBeDeleted",
                f"Virtual network {resource} is in use by {pools[0]} and cannot be deleted.",
                target=str(resource),
            )

    @staticmethod
    def _address_space(properties: Fields) -> list[Prefix]:
        space_fields = properties.fields("addressSpace")
        texts = space_fields.texts("addressPrefixes")
        if not texts:
            raise space_fields.error("InvalidRequestFormat", "at least one prefix is required", "addressPrefixes")
        space = [space_fields.prefix(text, f"addressPrefixes[{i}]") for i, text in enumerate(texts)]
        for prefix in space:
            taken = next((bad for bad in _FORBIDDEN if prefix.version == 4 and prefix.overlaps(bad)), None)
            if taken:
                raise space_fields.error(
                    "NetcfgInvalidVirtualNetworkSite", f"{prefix} overlaps {taken}, which Azure keeps for itself"
                )
        clash = disjoint(space)
        if clash:
            raise space_fields.error("NetcfgInvalidVirtualNetworkSite", f"{clash[0]} and {clash[1]} overlap")
        space_fields.refuse_unread()
        return space

    @staticmethod
    def _address(properties: Fields, text: str) -> None:
        try:
            ip_address(text)
        except ValueError:
            raise properties.error(
                "InvalidRequestFormat", f"{text!r} is no address", "dhcpOptions.dnsServers"
            ) from None

    @staticmethod
    def _check_subnets(properties: Fields, subnets: list[Document]) -> None:
        if len(subnets) > limits.SUBNETS_PER_VIRTUAL_NETWORK:
            raise properties.error(
                "SubnetCountLimitReached", f"at most {limits.SUBNETS_PER_VIRTUAL_NETWORK}", "subnets"
            )
        lowered = [subnet["name"].lower() for subnet in subnets]
        twice = next((name for name in lowered if lowered.count(name) > 1), None)
        if twice:
            raise properties.error("InvalidRequestFormat", f"two subnets are called {twice!r}", "subnets")
        owners = [(prefix, subnet["name"]) for subnet in subnets for prefix in prefixes_of(subnet)]
        clash = disjoint([prefix for prefix, _ in owners])
        if clash:
            (one, first), (other, second) = (pair for pair in owners if pair[0] in clash)
            raise properties.error(
                "NetcfgSubnetRangesOverlap",
                f"Subnet '{second}' ({other}) is not valid because its IP address range overlaps with that of subnet"
                f" '{first}' ({one})",
                "subnets",
            )

    @staticmethod
    def _check_in_use(previous: Document, subnets: list[Document], world: World) -> None:
        now = {subnet["id"].lower(): subnet for subnet in subnets}
        for old in previous["properties"]["subnets"]:
            new = now.get(old["id"].lower())
            if new is None:
                _refuse_used(parse(old["id"]), world, "InUseSubnetCannotBeDeleted", "deleted")
            elif set(prefixes_of(new)) != set(prefixes_of(old)):
                _refuse_used(parse(old["id"]), world, "InUseSubnetCannotBeUpdated", "given other prefixes")
            elif new["properties"]["delegations"] and not old["properties"]["delegations"]:
                _refuse_used(parse(old["id"]), world, "InUseSubnetCannotBeUpdated", "delegated")


def intent_of(document: Document) -> VirtualNetwork:
    """The virtual network as the compilers see it."""
    properties = document["properties"]
    return VirtualNetwork(
        id=parse(document["id"]),
        number=document["_fabric"]["number"],
        prefixes=tuple(ip_network(text) for text in properties["addressSpace"]["addressPrefixes"]),
        subnets=tuple(
            Subnet(
                parse(each["id"]),
                prefixes_of(each),
                each["properties"].get("defaultOutboundAccess", True),
                linked(each["properties"], "networkSecurityGroup"),
                linked(each["properties"], "routeTable"),
                tuple(endpoint["service"] for endpoint in each["properties"].get("serviceEndpoints", [])),
                linked(each["properties"], "natGateway"),
                tuple(parse(policy["id"]) for policy in each["properties"].get("serviceEndpointPolicies", [])),
                each["properties"]["privateEndpointNetworkPolicies"] in {"Enabled", "NetworkSecurityGroupEnabled"},
                each["properties"]["privateEndpointNetworkPolicies"] in {"Enabled", "RouteTableEnabled"},
            )
            for each in properties["subnets"]
        ),
        dns_servers=tuple(ip_address(text) for text in properties.get("dhcpOptions", {}).get("dnsServers", [])),
        peerings=connected(properties["virtualNetworkPeerings"]),
        flow_timeout=60 * properties["flowTimeoutInMinutes"]
        if "flowTimeoutInMinutes" in properties
        else limits.FLOW_TIMEOUT,
        domain_suffix=domain_suffix(parse(document["id"])),
    )


def _outbound_unsaid(subnet: Fields, version: str, previous: Document | None) -> bool | None:
    """What the ``defaultOutboundAccess`` of a subnet is that says nothing of it; None for on, and not shown.

    Args:
        subnet: as it is wanted.
        version: the api-version it is written in; empty in a file that names none, which is as the older ones.
        previous: the virtual network as it is kept. What is there stays as it is.
    """
    if version < _PRIVATE_SINCE:
        return None
    name = subnet.text("name").lower()
    for each in previous["properties"]["subnets"] if previous else ():
        if each["name"].lower() == name:
            kept: bool | None = each["properties"].get("defaultOutboundAccess")
            return kept
    return False


def _check_prefixes(properties: Fields, previous: Document, space: list[Prefix]) -> None:
    """Refuse to take a prefix away from under subnets that stay as they are."""
    kept = {subnet.text("name").lower(): subnet.fields("properties") for subnet in properties.each("subnets")}
    for old in previous["properties"]["subnets"]:
        wanted = kept.get(old["name"].lower())
        for prefix in prefixes_of(old):
            if wanted and str(prefix) in (wanted.text("addressPrefix"), *wanted.texts("addressPrefixes")):
                _check_covered(properties, old["name"], prefix, space)


def _check_covered(properties: Fields, subnet: str, prefix: Prefix, space: list[Prefix]) -> None:
    if not any(prefix.version == part.version and prefix.subnet_of(part) for part in space):  # type: ignore[arg-type]
        raise properties.error(
            "InUsePrefixCannotBeDeleted",
            f"the prefix around {prefix} has active allocations and cannot be deleted: subnet '{subnet}' is in it",
            "addressSpace.addressPrefixes",
        )


def _refuse_used(subnet: ResourceId, world: World, code: str, verb: str) -> None:
    users = world.users(subnet.key)
    if users:
        raise ArmError(
            code,
            f"Subnet {subnet.name} is in use by {users[0]} and cannot be {verb}. In order to do so, first delete all"
            f" ip-configurations in it ({len(users)}).",
            status=HTTPStatus.BAD_REQUEST,
            target=str(subnet),
        )
