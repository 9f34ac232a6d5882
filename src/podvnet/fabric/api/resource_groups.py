"""Subscriptions, resource groups and providers: the frame that resources stand in.

Source: Azure REST reference of Microsoft.Resources (subscriptions, resourceGroups, providers).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.resource_type import check_name
from podvnet.fabric.arm.world import Document, World
from podvnet.fabric.identity.principals import TENANT
from podvnet.fabric.settlement import TYPES
from podvnet.fabric.store import Store
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import DEFAULT_SUBSCRIPTION, parse

LOCATION = "local"


class ResourceGroups:
    """The resource groups of the store, and those that files brought without saying so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._groups = store.groups()

    def get(self, subscription: str, name: str, world: World) -> Document:
        """A resource group.

        Raises:
            ArmError: ``ResourceGroupNotFound``.
        """
        # Every call asks this, and most groups were made by name: only a file's is searched for among the resources.
        found = self._groups.get(f"{subscription}/{name}".lower()) or self._all(subscription, world).get(name.lower())
        if found is None:
            raise ArmError(
                "ResourceGroupNotFound", f"Resource group '{name}' could not be found.", status=HTTPStatus.NOT_FOUND
            )
        return found

    def every(self, subscription: str, world: World) -> list[Document]:
        """All resource groups of a subscription."""
        return list(self._all(subscription, world).values())

    def put(self, subscription: str, name: str, body: object, world: World) -> tuple[bool, Document]:
        """Create or update a resource group; tell whether it is new.

        Raises:
            ArmError: it is refused.
        """
        identity = f"/subscriptions/{subscription}/resourceGroups/{name}"
        check_name(name, identity)
        fields = Fields(body, "", identity)
        fields.allow("id", "name", "type", "properties", "managedBy")
        location = fields.required("location")
        tags = {str(key): str(value) for key, value in fields.mapping("tags").items()}
        fields.refuse_unread()
        previous = self._all(subscription, world).get(name.lower())
        if previous and previous["location"] != location:
            raise ArmError(
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{location}'. The Resource group already exists in location"
                f" '{previous['location']}'.",
                status=HTTPStatus.CONFLICT,
            )
        document = _document(subscription, previous["name"] if previous else name, location, tags)
        key = f"{subscription}/{name}".lower()
        self._store.write_group(key, document)
        self._groups[key] = document
        return previous is None, document

    def tag(self, subscription: str, name: str, body: object, world: World) -> Document:
        """Set the tags of a resource group.

        Raises:
            ArmError: it is not there, or the tags are no object.
        """
        found = self.get(subscription, name, world)
        fields = Fields(body, "", found["id"])
        tags = {str(key): str(value) for key, value in fields.mapping("tags").items()}
        document = _document(subscription, found["name"], found["location"], tags)
        key = f"{subscription}/{name}".lower()
        self._store.write_group(key, document)
        self._groups[key] = document
        return document

    def remove(self, subscription: str, name: str) -> None:
        """Forget a resource group."""
        key = f"{subscription}/{name}".lower()
        self._store.remove_group(key)
        self._groups.pop(key, None)

    def _all(self, subscription: str, world: World) -> dict[str, Document]:
        found: dict[str, Document] = {}
        for document in world.documents.values():
            resource = parse(document["id"])
            if resource.subscription.lower() == subscription.lower():
                group = resource.resource_group
                found.setdefault(group.lower(), _document(subscription, group, LOCATION, {}))
        prefix = f"{subscription.lower()}/"
        return found | {key.removeprefix(prefix): each for key, each in self._groups.items() if key.startswith(prefix)}


def subscription_document(subscription: str) -> Document:
    """A subscription.

    Raises:
        ArmError: there is no other than the fabric's one.
    """
    if subscription.lower() != DEFAULT_SUBSCRIPTION:
        raise ArmError(
            "SubscriptionNotFound",
            f"The subscription '{subscription}' could not be found. This fabric has one: {DEFAULT_SUBSCRIPTION}.",
            status=HTTPStatus.NOT_FOUND,
        )
    return {
        "id": f"/subscriptions/{DEFAULT_SUBSCRIPTION}",
        "subscriptionId": DEFAULT_SUBSCRIPTION,
        "tenantId": TENANT,
        "displayName": "podvnet fabric",
        "state": "Enabled",
        "subscriptionPolicies": {"locationPlacementId": "Internal", "quotaId": "Internal", "spendingLimit": "Off"},
        "authorizationSource": "RoleBased",
    }


def provider_document(subscription: str, namespace: str) -> Document:
    """A resource provider with its types.

    Raises:
        ArmError: there is none of that name.
    """
    types: dict[str, list[str]] = {"Microsoft.Resources": ["resourceGroups", "deployments", "subscriptions"]}
    for kind in TYPES.values():
        provider, name = kind.full_type.split("/", 1)
        types.setdefault(provider, []).append(name)
    found = next((each for each in types if each.lower() == namespace.lower()), None)
    if found is None:
        raise invalid_namespace(namespace)
    return {
        "id": f"/subscriptions/{subscription}/providers/{found}",
        "namespace": found,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": [
            {"resourceType": name, "locations": [LOCATION], "apiVersions": ["2025-07-01", "2024-05-01", "2021-04-01"]}
            for name in types[found]
        ],
    }


def invalid_namespace(namespace: str) -> ArmError:
    """The error of a provider that there is not."""
    known = sorted({kind.full_type.split("/", 1)[0] for kind in TYPES.values()} | {"Microsoft.Resources"})
    return ArmError(
        "InvalidResourceNamespace",
        f"The resource namespace '{namespace}' is invalid; this fabric has {', '.join(known)}.",
        status=HTTPStatus.NOT_FOUND,
    )


def provider_documents(subscription: str) -> list[Document]:
    """All providers."""
    names = {kind.full_type.split("/", 1)[0] for kind in TYPES.values()} | {"Microsoft.Resources"}
    return [provider_document(subscription, name) for name in sorted(names)]


def _document(subscription: str, name: str, location: str, tags: dict[str, Any]) -> Document:
    document: Document = {
        "id": f"/subscriptions/{subscription}/resourceGroups/{name}",
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": location,
        "properties": {"provisioningState": "Succeeded"},
    }
    return document | ({"tags": tags} if tags else {})
