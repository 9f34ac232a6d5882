"""Microsoft.Network/expressRouteCircuits: circuits with their private peering and authorizations.

The provider's side is ours: a circuit is provisioned while a site on premises has its service key.

Sources: Azure documents "Create and modify an ExpressRoute circuit" (states, what can change), "ExpressRoute routing
requirements" (two /30, VLAN, autonomous systems), "ExpressRoute circuits and peering", "Link a virtual network to an
ExpressRoute circuit" (authorizations).
"""

from __future__ import annotations

from http import HTTPStatus

from podvnet.fabric.arm.circuit_peering import PRIVATE_PEERING, peering_of, private_peering, settle_peering
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.public_ip_prefixes import refuse_change
from podvnet.fabric.arm.resource_type import check_name, head, stable_guid
from podvnet.fabric.arm.shared_key import made_key
from podvnet.fabric.arm.world import CIRCUITS, CONNECTIONS, ON_PREMISES_SITES, Document, World
from podvnet.model.arm_error import ArmError
from podvnet.model.gateway import Circuit
from podvnet.model.resource_id import ResourceId, parse

BANDWIDTHS = (50, 100, 200, 500, 1000, 2000, 5000, 10000)
"""Megabits a second."""
TIERS, FAMILIES = ("Standard", "Premium", "Local"), ("MeteredData", "UnlimitedData")
_AUTHORIZATIONS = 10


class ExpressRouteCircuits:
    """The type."""

    full_type = CIRCUITS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a circuit with its peerings and authorizations."""
        document = head(resource, body)
        previous = world.get(resource)
        properties = body.fields("properties")
        _refuse_features(properties)
        provider = _provider(properties)
        sku = _sku(body)
        notes = properties.text("serviceProviderNotes")
        provisioned = is_provisioned(document, world)
        peerings = [
            settle_peering(resource, each, previous, provisioned=provisioned) for each in properties.each("peerings")
        ]
        keys = [key for _, key in peerings if key]
        authorizations = [_authorization(resource, each, previous) for each in properties.each("authorizations")]
        properties.refuse_unread()
        body.refuse_unread()
        for key, parts in (("peerings", [each for each, _ in peerings]), ("authorizations", authorizations)):
            if len({each["name"].lower() for each in parts}) < len(parts):
                raise properties.error("InvalidRequestFormat", "two have one name", key)
        if len(authorizations) > _AUTHORIZATIONS:
            raise properties.error("InvalidRequestFormat", f"at most {_AUTHORIZATIONS}", "authorizations")
        if previous:
            _check_change(
                resource, previous, provider, [each for each, _ in peerings], authorizations=authorizations, world=world
            )
        number = previous["_fabric"]["number"] if previous else world.free_number(CIRCUITS)
        document["sku"] = sku
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "peerings": [each for each, _ in peerings],
            "authorizations": authorizations,
            "serviceProviderProperties": provider,
            "circuitProvisioningState": "Enabled",
            "allowClassicOperations": False,
            "gatewayManagerEtag": "",
            "serviceKey": service_key(resource),
            "serviceProviderProvisioningState": _state(provisioned=provisioned),
            "globalReachEnabled": False,
            "stag": number,
        }
        if notes:
            document["properties"]["serviceProviderNotes"] = notes
        document["_fabric"] = {"number": number, "peeringKey": keys[0] if keys else ""}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A circuit goes only when no connection leads to it and its provider has given it up."""
        users = _connections(resource, world)
        if users:
            raise ArmError(
                "ExpressRouteCircuitCannotBeDeleted",
                f"Circuit {resource} cannot be deleted because it is used by the connections {', '.join(users)}.",
                target=str(resource),
            )
        site = site_with(service_key(resource), world)
        if site:
            raise ArmError(
                "ExpressRouteCircuitCannotBeDeleted",
                f"Circuit {resource} cannot be deleted while its ServiceProviderProvisioningState is Provisioned: its"
                f" service key is used by {site['id']}.",
                target=str(resource),
            )


def service_key(circuit: ResourceId) -> str:
    """The service key of a circuit: what its owner gives the provider."""
    return stable_guid(circuit, "service key")


def site_with(key: str, world: World) -> Document | None:
    """The site whose provider connects the circuit with a service key."""
    for site in world.of_type(ON_PREMISES_SITES):
        if any(each["serviceKey"] == key for each in site["properties"]["circuits"]):
            return site
    return None


def is_provisioned(circuit: Document, world: World) -> bool:
    """Tell whether the provider connects a circuit to a site."""
    return site_with(service_key(parse(circuit["id"])), world) is not None


def authorization_with(properties: Fields, circuit: Document, key: str, connection: ResourceId, world: World) -> str:
    """The name of the authorization of a circuit that has a key, for one connection.

    Raises:
        ArmError: there is none, or another connection has it. The key is not in the message.
    """
    found = next(
        (each for each in circuit["properties"]["authorizations"] if each["properties"]["authorizationKey"] == key),
        None,
    )
    if found is None:
        what = f"is not the key of an authorization of {circuit['id']}"
        raise properties.error("InvalidRequestFormat", what, "authorizationKey")
    other = _user_of(circuit, found["name"], world)
    if other and other["id"].lower() != connection.key:
        what = f"is that of {found['id']}, which {other['id']} uses"
        raise properties.error("InvalidRequestFormat", what, "authorizationKey")
    return str(found["name"])


def follow_circuits(world: World) -> list[Document]:
    """Bring the states of all circuits up to date with what the sites have; the circuits."""
    circuits = list(world.of_type(CIRCUITS))
    for place, circuit in enumerate(circuits):
        state = _state(provisioned=is_provisioned(circuit, world))
        if circuit["properties"]["serviceProviderProvisioningState"] != state:
            properties = circuit["properties"] | {"serviceProviderProvisioningState": state}
            circuits[place] = circuit | {"properties": properties}
            world.put(circuits[place])
    return circuits


def live_authorizations(circuit: Document, world: World) -> None:
    """Complete the authorizations of a document that is about to be shown by the connections that have them."""
    for each in circuit["properties"]["authorizations"]:
        user = _user_of(circuit, each["name"], world)
        each["properties"]["authorizationUseStatus"] = "InUse" if user else "Available"
        if user:
            each["properties"]["connectionResourceUri"] = user["id"]


def intent_of(document: Document) -> Circuit:
    """The circuit as the compilers see it: without a peering while nothing can pass."""
    properties, own = document["properties"], document["_fabric"]
    found = private_peering(document)
    provisioned = properties["serviceProviderProvisioningState"] == _state(provisioned=True)
    peering = None
    if found and provisioned and found["properties"]["state"] == "Enabled":
        peering = peering_of(found, own["peeringKey"])
    premium = document["sku"]["tier"] == "Premium"
    return Circuit(parse(document["id"]), own["number"], properties["serviceKey"], peering, premium)


def _state(*, provisioned: bool) -> str:
    return "Provisioned" if provisioned else "NotProvisioned"


def _connections(circuit: ResourceId, world: World) -> list[str]:
    return world.users(circuit.key, "connections")


def _user_of(circuit: Document, authorization: str, world: World) -> Document | None:
    """The connection that has an authorization."""
    for each in world.of_type(CONNECTIONS):
        peer = each["properties"].get("peer", {}).get("id", "")
        if peer.lower() == circuit["id"].lower() and each["_fabric"].get("authorization") == authorization:
            return each
    return None


def _refuse_features(properties: Fields) -> None:
    """Refuse what circuits of Azure can have and those of this fabric do not."""
    properties.allow(
        "provisioningState", "resourceGuid", "circuitProvisioningState", "serviceProviderProvisioningState",
        "serviceKey", "gatewayManagerEtag", "stag", "authorizationStatus", "resiliencyLevel",
    )  # fmt: skip
    properties.refuse_unsupported(
        "expressRoutePort", "expressRouteLag", "bandwidthInGbps", "authorizationKey", "activationKey",
        "partnerAccountId",
    )  # fmt: skip
    for key in ("allowClassicOperations", "globalReachEnabled", "allowGlobalReach", "enableDirectPortRateLimit"):
        properties.only(key, False)


def _provider(properties: Fields) -> Document:
    fields = properties.fields("serviceProviderProperties")
    found: Document = {key: fields.required(key) for key in ("serviceProviderName", "peeringLocation")}
    bandwidth = fields.integer("bandwidthInMbps")
    if bandwidth not in BANDWIDTHS:
        what = f"must be one of {', '.join(map(str, BANDWIDTHS))}, not {bandwidth}"
        raise fields.error("InvalidRequestFormat", what, "bandwidthInMbps")
    fields.refuse_unread()
    return found | {"bandwidthInMbps": bandwidth}


def _sku(body: Fields) -> Document:
    fields = body.fields("sku")
    tier = fields.choice("tier", "Standard", *TIERS)
    family = fields.choice("family", "MeteredData", *FAMILIES)
    name = fields.text("name", f"{tier}_{family}")
    fields.refuse_unread()
    if name.lower() != f"{tier}_{family}".lower():
        raise fields.error("InvalidRequestFormat", f"must be {tier}_{family} by its tier and family", "name")
    return {"name": f"{tier}_{family}", "tier": tier, "family": family}


def _authorization(circuit: ResourceId, fields: Fields, previous: Document | None) -> Document:
    name = fields.required("name")
    resource = circuit.child("authorizations", name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    properties = fields.fields("properties")
    properties.allow("provisioningState", "authorizationKey", "authorizationUseStatus", "connectionResourceUri")
    properties.refuse_unread()
    fields.refuse_unread()
    kept = previous["properties"]["authorizations"] if previous else []
    known = next((each for each in kept if each["name"].lower() == name.lower()), None)
    return {
        "name": name,
        "id": str(resource),
        "type": f"{CIRCUITS}/authorizations",
        "properties": {
            "provisioningState": "Succeeded",
            "authorizationKey": known["properties"]["authorizationKey"] if known else made_key(),
            "authorizationUseStatus": "Available",
        },
    }


def _check_change(
    resource: ResourceId,
    previous: Document,
    provider: Document,
    peerings: list[Document],
    *,
    authorizations: list[Document],
    world: World,
) -> None:
    """Refuse what would take from connections what they go by, or cannot change."""
    old = previous["properties"]["serviceProviderProperties"]
    for key in ("serviceProviderName", "peeringLocation"):
        refuse_change(resource, key, old[key].lower(), provider[key].lower())
    if provider["bandwidthInMbps"] < old["bandwidthInMbps"]:
        what = f"from {old['bandwidthInMbps']} to {provider['bandwidthInMbps']}"
        raise _conflict(resource, "PropertyChangeNotAllowed", f"The bandwidth of a circuit cannot be reduced: {what}.")
    users = _connections(resource, world)
    if users and private_peering(previous) and not peerings:
        what = f"{PRIVATE_PEERING} of {resource} cannot be deleted because it is used by {', '.join(users)}."
        raise _conflict(resource, "ExpressRouteCircuitPeeringCannotBeDeleted", what)
    left = {each["name"].lower() for each in authorizations}
    for each in previous["properties"]["authorizations"]:
        user = _user_of(previous, each["name"], world)
        if user and each["name"].lower() not in left:
            what = f"Authorization {each['id']} cannot be deleted because it is used by {user['id']}."
            raise _conflict(resource, "ExpressRouteCircuitAuthorizationCannotBeDeleted", what)


def _conflict(resource: ResourceId, code: str, what: str) -> ArmError:
    return ArmError(code, what, status=HTTPStatus.CONFLICT, target=str(resource))
