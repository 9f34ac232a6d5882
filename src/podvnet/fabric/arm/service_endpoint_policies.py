"""Microsoft.Network/serviceEndpointPolicies: the accounts that a subnet may reach by its service endpoint.

Definitions name accounts, resource groups or subscriptions; what they name need not be there. Only Storage has
policies.
Source: Azure document "Virtual network service endpoint policies for Azure Storage"; Azure REST reference "Service
Endpoint Policies" and "Service Endpoint Policy Definitions".
"""

from __future__ import annotations

import re

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import refuse_use
from podvnet.fabric.arm.resource_type import check_name, head, stable_guid
from podvnet.fabric.arm.world import ENDPOINT_POLICIES, Document, World
from podvnet.model.endpoint_policy import EndpointPolicy
from podvnet.model.resource_id import ResourceId, parse
from podvnet.model.service import ServiceKind

KIND = "serviceEndpointPolicyDefinitions"
_NAMED = re.compile(
    r"/subscriptions/[^/]+(/resourceGroups/[^/]+(/providers/Microsoft\.Storage/storageAccounts/[a-z0-9]{3,24})?)?",
    re.IGNORECASE,
)
_LONGEST_DESCRIPTION = 140


class ServiceEndpointPolicies:
    """The type."""

    full_type = ENDPOINT_POLICIES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:  # noqa: ARG002 - it refers to nothing
        """Check and complete a policy with its definitions."""
        document = head(resource, body)
        body.allow("kind")
        properties = body.fields("properties")
        properties.allow("provisioningState", "resourceGuid", "subnets")
        properties.refuse_unsupported("serviceAlias", "contextualServiceEndpointPolicies")
        definitions = [_settled(resource, each) for each in properties.each(KIND)]
        names = [each["name"].lower() for each in definitions]
        if len(set(names)) < len(names):
            raise properties.error("InvalidRequestFormat", "two have one name", KIND)
        properties.refuse_unread()
        body.refuse_unread()
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            KIND: definitions,
        }
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A policy goes only when no subnet has it."""
        code = "ServiceEndpointPolicyCannotBeDeletedIfReferencedBySubnet"
        refuse_use(resource, world, code, "Service endpoint policy")


def intent_of(document: Document) -> EndpointPolicy:
    """The policy as the compilers see it."""
    definitions = document["properties"][KIND]
    named = (each.lower() for found in definitions for each in found["properties"]["serviceResources"])
    return EndpointPolicy(parse(document["id"]), tuple(dict.fromkeys(named)))


def _settled(policy: ResourceId, fields: Fields) -> Document:
    name = fields.required("name")
    resource = policy.child(KIND, name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    properties = fields.fields("properties")
    properties.allow("provisioningState")
    description = properties.text("description")
    if len(description) > _LONGEST_DESCRIPTION:
        what = f"must have at most {_LONGEST_DESCRIPTION} characters"
        raise properties.error("InvalidRequestFormat", what, "description")
    service = properties.required("service")
    if service != ServiceKind.STORAGE:
        what = f"only {ServiceKind.STORAGE} has endpoint policies here, not {service!r}"
        raise properties.error("UnsupportedProperty", what, "service")
    named = [each.rstrip("/") for each in properties.texts("serviceResources")]
    if not named:
        raise properties.error("InvalidRequestFormat", "at least one is required", "serviceResources")
    for each in named:
        if not _NAMED.fullmatch(each):
            what = f"{each!r} is the id of no storage account, resource group or subscription"
            raise properties.error("InvalidRequestFormat", what, "serviceResources")
    properties.refuse_unread()
    fields.refuse_unread()
    settled: Document = {"provisioningState": "Succeeded", "service": service, "serviceResources": named}
    if description:
        settled["description"] = description
    return {"name": name, "id": str(resource), "type": resource.type, "properties": settled}
