"""Peerings of virtual networks, which are children of each of the two.

A peering is one way; traffic flows when both sides have one. The states: the first side is *Initiated*; with the second
both are *Connected*; when one goes the other is *Disconnected* for good, and both must be made anew. Only direct peers
count: who is peered with one's peer is no peer.
Source: Azure documents "Create, change, or delete a virtual network peering", "Virtual network peering".
"""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.gateway_subnet import gateways_in
from podvnet.fabric.arm.resource_type import check_name, stable_guid
from podvnet.fabric.arm.world import PEERINGS, VIRTUAL_NETWORKS, Document, World
from podvnet.model import limits
from podvnet.model.address import Prefix, disjoint
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId, Scope, parse
from podvnet.model.routing import Peering

_FLAGS = {
    "allowVirtualNetworkAccess": True,
    "allowForwardedTraffic": False,
    "allowGatewayTransit": False,
    "useRemoteGateways": False,
    "doNotVerifyRemoteGateways": False,
}


def settle_peerings(network: ResourceId, properties: Fields, space: list[Prefix], world: World) -> list[Document]:
    """Check and complete the peerings of one virtual network, whose address space is to be ``space``.

    Raises:
        ArmError: one is refused.
    """
    previous = world.get(network)
    known = (
        {each["name"].lower(): each for each in previous["properties"]["virtualNetworkPeerings"]} if previous else {}
    )
    peerings = [_peering(network, each, known, world) for each in properties.each("virtualNetworkPeerings")]
    _check_list(properties, peerings)
    _check_spaces(network, properties, space, peerings, world)
    return peerings


def pair_peerings(world: World) -> None:
    """Bring the states of all peerings up to date with what the other sides have."""
    for network in list(world.of_type(VIRTUAL_NETWORKS)):
        peerings = network["properties"]["virtualNetworkPeerings"]
        paired = [_paired(network, each, world) for each in peerings]
        if paired != peerings:
            world.put(network | {"properties": network["properties"] | {"virtualNetworkPeerings": paired}})


def connected(peerings: list[Document]) -> tuple[Peering, ...]:
    """The peerings that carry packets, as the compilers see them."""
    return tuple(
        Peering(
            id=parse(each["id"]),
            remote=parse(each["properties"]["remoteVirtualNetwork"]["id"]),
            prefixes=tuple(ip_network(text) for text in each["properties"]["remoteAddressSpace"]["addressPrefixes"]),
            access=each["properties"]["allowVirtualNetworkAccess"],
            forwarded=each["properties"]["allowForwardedTraffic"],
            allows_transit=each["properties"]["allowGatewayTransit"],
            uses_remote_gateways=each["properties"]["useRemoteGateways"],
        )
        for each in peerings
        if each["properties"]["peeringState"] == "Connected"
    )


def live_view(network: Document, world: World) -> None:
    """Complete the peerings of a document that is about to be shown by what the remote networks are now."""
    for peering in network["properties"]["virtualNetworkPeerings"]:
        properties = peering["properties"]
        remote = world.documents.get(properties["remoteVirtualNetwork"]["id"].lower())
        if remote is None:
            continue
        current = remote["properties"]["addressSpace"]["addressPrefixes"]
        other = _counterpart(network["id"], remote)
        here = network["properties"]["addressSpace"]["addressPrefixes"]
        local_knows = properties["remoteAddressSpace"]["addressPrefixes"] == current
        remote_knows = other is None or other["properties"]["remoteAddressSpace"]["addressPrefixes"] == here
        properties["remoteVirtualNetworkAddressSpace"] = {"addressPrefixes": list(current)}
        properties["peeringSyncLevel"] = {
            (True, True): "FullyInSync",
            (True, False): "RemoteNotInSync",
            (False, True): "LocalNotInSync",
            (False, False): "LocalAndRemoteNotInSync",
        }[local_knows, remote_knows]


def _peering(network: ResourceId, fields: Fields, known: dict[str, Document], world: World) -> Document:
    name = fields.required("name")
    resource = network.child("virtualNetworkPeerings", name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    properties = fields.fields("properties")
    properties.allow(
        "provisioningState", "resourceGuid", "peeringState", "peeringSyncLevel", "remoteVirtualNetworkAddressSpace",
        "remoteBgpCommunities", "remoteVirtualNetworkEncryption",
    )  # fmt: skip
    properties.only("peerCompleteVnets", True)
    properties.only("enableOnlyIPv6Peering", False)
    properties.refuse_unsupported(
        "localSubnetNames", "remoteSubnetNames", "localAddressSpace", "localVirtualNetworkAddressSpace"
    )
    scope = Scope(network.subscription, network.resource_group)
    remote_id = properties.reference("remoteVirtualNetwork", scope, VIRTUAL_NETWORKS)
    flags = {key: properties.flag(key, default=default) for key, default in _FLAGS.items()}
    told = properties.fields("remoteAddressSpace").texts("addressPrefixes")
    properties.refuse_unread()
    fields.refuse_unread()
    if remote_id == network:
        raise properties.error("InvalidRequestFormat", "a virtual network cannot be peered with itself")
    previous = known.get(name.lower())
    if previous and previous["properties"]["remoteVirtualNetwork"]["id"].lower() != remote_id.key:
        raise ArmError(
            "PropertyChangeNotAllowed",
            f"Changing property 'remoteVirtualNetwork' is not allowed: a peering's remote virtual network cannot be"
            f" changed. Delete {resource} and create another peering.",
            status=HTTPStatus.CONFLICT,
            target=str(resource),
        )
    remote = world.get(remote_id)
    if remote is None and not (previous and previous["properties"]["peeringState"] == "Disconnected"):
        raise properties.error(
            "InvalidResourceReference",
            f"Resource {remote_id} referenced by resource {resource} was not found",
            "remoteVirtualNetwork.id",
        )
    _check_transit(properties, network, resource, remote, flags=flags, world=world)
    state = previous["properties"]["peeringState"] if previous else _first_state(properties, network, remote)
    return {
        "name": name,
        "id": str(resource),
        "type": PEERINGS,
        "properties": {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "peeringState": state,
            "remoteVirtualNetwork": {"id": remote["id"] if remote else str(remote_id)},
            "peerCompleteVnets": True,
            "remoteAddressSpace": {"addressPrefixes": _known_space(previous, remote, told)},
        }
        | flags,
    }


def _check_transit(
    properties: Fields,
    network: ResourceId,
    peering: ResourceId,
    remote: Document | None,
    *,
    flags: dict[str, bool],
    world: World,
) -> None:
    """Refuse a use of remote gateways that the other side does not allow, or that there is nothing to use of.

    Source: Azure document "Configure VPN gateway transit for virtual network peering".
    """
    other = _counterpart(str(network), remote) if remote else None
    theirs = other["properties"] if other else {}
    if theirs.get("useRemoteGateways") and not flags["allowGatewayTransit"]:
        raise properties.error(
            "InvalidRequestFormat",
            f"Peering {peering} cannot have AllowGatewayTransit flag set to false, because corresponding remote peering"
            " has UseRemoteGateways flag set to true",
            "allowGatewayTransit",
        )
    if not flags["useRemoteGateways"]:
        return
    reason = ""
    if gateways_in(network, world):
        reason = f"because virtual network {network} has a gateway of its own"
    elif other and not theirs["allowGatewayTransit"]:
        reason = "because corresponding remote peering has AllowGatewayTransit flag set to false"
    if reason:
        what = f"Peering {peering} cannot have UseRemoteGateways flag set to true, {reason}"
        raise properties.error("InvalidRequestFormat", what, "useRemoteGateways")
    if remote and not flags["doNotVerifyRemoteGateways"] and not gateways_in(parse(remote["id"]), world):
        raise properties.error(
            "RemoteVnetHasNoGateways",
            f"Peering {peering} cannot have UseRemoteGateways flag set to true because remote virtual network"
            f" {remote['id']} referenced by the peering does not have any gateways",
            "useRemoteGateways",
        )


def _known_space(previous: Document | None, remote: Document | None, told: list[str]) -> list[str]:
    """The remote address space as this side knows it: as it was when the peering was made or last synchronised."""
    current = list(remote["properties"]["addressSpace"]["addressPrefixes"]) if remote else []
    if previous is None or (remote and told == current):
        return current
    return list(previous["properties"]["remoteAddressSpace"]["addressPrefixes"])


def _first_state(properties: Fields, network: ResourceId, remote: Document | None) -> str:
    other = _counterpart(str(network), remote) if remote else None
    if other is None:
        return "Initiated"
    if other["properties"]["peeringState"] == "Disconnected":
        raise properties.error(
            "RemotePeeringIsDisconnected",
            f"Cannot create or update peering because remote peering {other['id']} referencing parent virtual network"
            f" {network} is in Disconnected state. Update or re-create the remote peering to get it back to Initiated"
            " state. Peering gets Disconnected when remote vnet or remote peering is deleted and re-created",
        )
    return "Connected"


def _counterpart(network: str, remote: Document) -> Document | None:
    """The peering of a remote network that leads back to a network."""
    return next(
        (
            each
            for each in remote["properties"]["virtualNetworkPeerings"]
            if each["properties"]["remoteVirtualNetwork"]["id"].lower() == network.lower()
        ),
        None,
    )


def _paired(network: Document, peering: Document, world: World) -> Document:
    properties = peering["properties"]
    remote = world.documents.get(properties["remoteVirtualNetwork"]["id"].lower())
    other = _counterpart(network["id"], remote) if remote else None
    state = properties["peeringState"]
    if state == "Initiated" and remote is None:
        state = "Disconnected"
    elif state == "Initiated" and other and other["properties"]["peeringState"] != "Disconnected":
        state = "Connected"
    elif state == "Connected" and (other is None or other["properties"]["peeringState"] == "Disconnected"):
        state = "Disconnected"
    if state == properties["peeringState"]:
        return peering
    return peering | {"properties": properties | {"peeringState": state}}


def _check_list(properties: Fields, peerings: list[Document]) -> None:
    if len(peerings) > limits.PEERINGS_PER_VIRTUAL_NETWORK:
        raise properties.error(
            "VirtualNetworkPeeringCountLimitReached",
            f"at most {limits.PEERINGS_PER_VIRTUAL_NETWORK}",
            "virtualNetworkPeerings",
        )
    used = [each["id"] for each in peerings if each["properties"]["useRemoteGateways"]]
    if len(used) > 1:
        what = f"one peering at most can have UseRemoteGateways flag set to true, not {used[0]} and {used[1]}"
        raise properties.error("InvalidRequestFormat", what, "virtualNetworkPeerings")
    names: set[str] = set()
    remotes: dict[str, str] = {}
    for each in peerings:
        if each["name"].lower() in names:
            raise properties.error(
                "InvalidRequestFormat", f"two peerings are called {each['name']!r}", "virtualNetworkPeerings"
            )
        names.add(each["name"].lower())
        remote = each["properties"]["remoteVirtualNetwork"]["id"]
        if remote.lower() in remotes:
            raise properties.error(
                "AnotherPeeringAlreadyReferencesRemoteVnet",
                f"Peering {each['id']} cannot be created: another peering {remotes[remote.lower()]} already references"
                f" remote virtual network {remote}",
                "virtualNetworkPeerings",
            )
        remotes[remote.lower()] = each["id"]


def _check_spaces(
    network: ResourceId, properties: Fields, space: list[Prefix], peerings: list[Document], world: World
) -> None:
    """No two networks that are peered, or peered with the same one, may overlap."""
    remotes = _remotes(peerings)
    towards = {
        user.rsplit("/virtualnetworkpeerings/", 1)[0]
        for user in world.referrers.get(network.key, {})
        if "/virtualnetworkpeerings/" in user
    }
    for key in sorted(remotes | towards):
        remote = world.documents.get(key)
        if remote is None or (key not in remotes and network.key not in _remotes_of(remote)):
            continue
        clash = _clash(space, remote)
        if clash:
            raise properties.error(
                "VnetAddressSpacesOverlap",
                f"Cannot create or update peering: virtual network {network} ({clash[0]}) and remote virtual network"
                f" {remote['id']} ({clash[1]}) have overlapping address spaces",
                "addressSpace",
            )
        for other in sorted(_remotes_of(remote) - {network.key}):
            _refuse_indirect(network, properties, space, world.documents.get(other), remote)
    owners = [
        (prefix, world.documents[key]) for key in sorted(remotes) if key in world.documents
        for prefix in _space(world.documents[key])
    ]  # fmt: skip
    pair = disjoint([prefix for prefix, _ in owners])
    if pair:
        one, two = (owner["id"] for prefix, owner in owners if prefix in pair)
        raise properties.error(
            "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet",
            f"Cannot create or update peering: the address spaces of remote virtual networks {one} and {two}, which"
            f" virtual network {network} is peered with both, overlap ({pair[0]} and {pair[1]})",
            "virtualNetworkPeerings",
        )


def _refuse_indirect(
    network: ResourceId, properties: Fields, space: list[Prefix], other: Document | None, remote: Document
) -> None:
    clash = _clash(space, other) if other else None
    if other and clash:
        raise properties.error(
            "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet",
            f"Cannot create or update peering: the address space of virtual network {network} ({clash[0]}) overlaps"
            f" {other['id']} ({clash[1]}), which is already peered with {remote['id']}",
            "virtualNetworkPeerings",
        )


def _remotes(peerings: list[Document]) -> set[str]:
    """Id keys of the networks that peerings lead to, those that carry nothing any more left out."""
    return {
        each["properties"]["remoteVirtualNetwork"]["id"].lower()
        for each in peerings
        if each["properties"]["peeringState"] != "Disconnected"
    }


def _remotes_of(network: Document) -> set[str]:
    return _remotes(network["properties"]["virtualNetworkPeerings"])


def _space(network: Document) -> list[Prefix]:
    return [ip_network(text) for text in network["properties"]["addressSpace"]["addressPrefixes"]]


def _clash(space: list[Prefix], other: Document) -> tuple[Prefix, Prefix] | None:
    theirs = _space(other)
    return next(
        ((one, two) for one in space for two in theirs if one.version == two.version and one.overlaps(two)),
        None,
    )
