"""Microsoft.Network/virtualNetworks and their subnets.

Source: Azure documents "Virtual Network FAQ" (ranges that may not be used, sizes, the five reserved addresses) and
"Create, change, or delete a virtual network" (what cannot be changed while in use).
"""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import IPv4Network, ip_address, ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.resource_type import check_name, head, stable_guid
from podvnet.fabric.arm.world import SUBNETS, VIRTUAL_NETWORKS, Document, World
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
_NOT_YET = ("networkSecurityGroup", "routeTable", "natGateway", "serviceEndpoints", "delegations")


class VirtualNetworks:
    """The type."""

    full_type = VIRTUAL_NETWORKS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a virtual network with its subnets."""
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow("provisioningState", "resourceGuid", "enableDdosProtection")
        properties.refuse_unsupported("virtualNetworkPeerings")
        space = self._address_space(properties)
        previous = world.get(resource)
        options = properties.fields("dhcpOptions")
        dns = options.texts("dnsServers")
        options.refuse_unread()
        for server in dns:
            self._address(properties, server)
        subnets = [self._subnet(resource, each, space) for each in properties.each("subnets")]
        self._check_subnets(properties, subnets)
        if previous:
            self._check_in_use(previous, subnets, world)
        properties.refuse_unread()
        body.refuse_unread()
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "addressSpace": {"addressPrefixes": [str(prefix) for prefix in space]},
            "dhcpOptions": {"dnsServers": dns},
            "subnets": subnets,
            "virtualNetworkPeerings": [],
            "enableDdosProtection": False,
        }
        number = previous["_fabric"]["number"] if previous else world.free_number(VIRTUAL_NETWORKS)
        document["_fabric"] = {"number": number}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A virtual network goes only when no ip-configuration is in it."""
        subnets = resource.key + "/subnets/"
        for subnet in sorted(key for key in world.holders if key.startswith(subnets)):
            _refuse_used(parse(subnet), world, "InUseSubnetCannotBeDeleted", "deleted")

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
    def _subnet(network: ResourceId, fields: Fields, space: list[Prefix]) -> Document:
        name = fields.required("name")
        resource = network.child("subnets", name)
        check_name(name, str(resource))
        fields.allow("id", "type", "etag")
        properties = fields.fields("properties")
        properties.allow(
            "provisioningState",
            "ipConfigurations",
            "privateEndpointNetworkPolicies",
            "privateLinkServiceNetworkPolicies",
        )
        texts = properties.texts("addressPrefixes")
        one = properties.text("addressPrefix")
        prefixes = [properties.prefix(text, "addressPrefix") for text in texts or ([one] if one else [])]
        if not prefixes:
            raise properties.error("InvalidRequestFormat", "addressPrefix or addressPrefixes is required")
        if len({prefix.version for prefix in prefixes}) < len(prefixes):
            raise properties.error("NetcfgInvalidSubnet", "one prefix of each IP version at most", "addressPrefixes")
        for prefix in prefixes:
            _check_size(properties, name, prefix)
            if not any(prefix.version == part.version and prefix.subnet_of(part) for part in space):  # type: ignore[arg-type]
                raise properties.error(
                    "NetcfgInvalidSubnet",
                    f"Subnet '{name}' is not valid in virtual network '{network.name}': {prefix} is not inside"
                    f" {', '.join(map(str, space))}",
                )
        outbound = properties.flag("defaultOutboundAccess", default=True)
        properties.refuse_unsupported(*_NOT_YET)
        properties.refuse_unread()
        fields.refuse_unread()
        settled: Document = {
            "provisioningState": "Succeeded",
            "addressPrefix": str(prefixes[0]),
            "addressPrefixes": [str(prefix) for prefix in prefixes],
            "defaultOutboundAccess": outbound,
            "delegations": [],
            "privateEndpointNetworkPolicies": "Disabled",
            "privateLinkServiceNetworkPolicies": "Enabled",
        }
        del settled["addressPrefix" if len(prefixes) > 1 else "addressPrefixes"]
        return {"name": name, "id": str(resource), "type": SUBNETS, "properties": settled}

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


def prefixes_of(subnet: Document) -> tuple[Prefix, ...]:
    """The prefixes of a settled subnet document, IPv4 first."""
    properties = subnet["properties"]
    texts = properties.get("addressPrefixes") or [properties["addressPrefix"]]
    return tuple(sorted((ip_network(text) for text in texts), key=lambda prefix: prefix.version))


def intent_of(document: Document) -> VirtualNetwork:
    """The virtual network as the compilers see it."""
    properties = document["properties"]
    return VirtualNetwork(
        id=parse(document["id"]),
        number=document["_fabric"]["number"],
        prefixes=tuple(ip_network(text) for text in properties["addressSpace"]["addressPrefixes"]),
        subnets=tuple(
            Subnet(parse(each["id"]), prefixes_of(each), each["properties"]["defaultOutboundAccess"])
            for each in properties["subnets"]
        ),
        dns_servers=tuple(ip_address(text) for text in properties["dhcpOptions"]["dnsServers"]),
    )


def _check_size(properties: Fields, name: str, prefix: Prefix) -> None:
    fits = (
        limits.LARGEST_SUBNET <= prefix.prefixlen <= limits.SMALLEST_SUBNET
        if prefix.version == 4
        else prefix.prefixlen == limits.IPV6_SUBNET
    )
    if not fits:
        rule = (
            f"/{limits.LARGEST_SUBNET} to /{limits.SMALLEST_SUBNET}"
            if prefix.version == 4
            else f"exactly /{limits.IPV6_SUBNET}"
        )
        raise properties.error("NetcfgInvalidSubnet", f"Subnet '{name}': {prefix} must be {rule}", "addressPrefix")


def _refuse_used(subnet: ResourceId, world: World, code: str, verb: str) -> None:
    held = world.holders.get(subnet.key, {})
    if held:
        user = next(iter(held.values()))
        raise ArmError(
            code,
            f"Subnet {subnet.name} is in use by {user} and cannot be {verb}. In order to do so, first delete all"
            f" ip-configurations in it ({len(held)}).",
            status=HTTPStatus.BAD_REQUEST,
            target=str(subnet),
        )
