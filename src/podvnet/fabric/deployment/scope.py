"""Where a deployment goes, and what the template may know about that place.

Source: Azure documents "Resource functions for ARM templates" (resourceGroup, subscription, tenant) and "Deployment
functions" (environment).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from podvnet.fabric.deployment.json_value import Document
from podvnet.model.resource_id import DEFAULT_SUBSCRIPTION

DEPLOYMENTS = "Microsoft.Resources/deployments"
RESOURCE_GROUPS = "Microsoft.Resources/resourceGroups"

PUBLIC_CLOUD: Mapping[str, Any] = MappingProxyType(
    {
        "name": "AzureCloud",
        "gallery": "https://gallery.azure.com/",
        "graph": "https://graph.windows.net/",
        "portal": "https://portal.azure.com",
        "graphAudience": "https://graph.windows.net/",
        "activeDirectoryDataLake": "https://datalake.azure.net/",
        "batch": "https://batch.core.windows.net/",
        "media": "https://rest.media.azure.net",
        "sqlManagement": "https://management.core.windows.net:8443/",
        "vmImageAliasDoc": "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/master/arm-compute/quickstart-templates/aliases.json",
        "resourceManager": "https://management.azure.com/",
        "authentication": {
            "loginEndpoint": "https://login.microsoftonline.com/",
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "suffixes": {
            "acrLoginServer": ".azurecr.io",
            "azureDatalakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            "azureDatalakeStoreFileSystem": "azuredatalakestore.net",
            "azureFrontDoorEndpointSuffix": "azurefd.net",
            "keyvaultDns": ".vault.azure.net",
            "sqlServerHostname": ".database.windows.net",
            "storage": "core.windows.net",
        },
    }
)


@dataclass(frozen=True, slots=True)
class DeploymentScope:
    """The place of one deployment.

    Attributes:
        subscription: the subscription's id.
        resource_group: its name; empty for a deployment to the subscription itself.
        location: of the resource group, or of a subscription's deployment record.
        tags: of the resource group.
        deployment: the deployment's name.
        mode: ``Incremental`` or ``Complete``.
        group_locations: of the resource groups that nested deployments may go to, by name in lower case.
    """

    subscription: str = DEFAULT_SUBSCRIPTION
    resource_group: str = ""
    location: str = "local"
    tags: Mapping[str, str] = field(default_factory=dict)
    deployment: str = "deployment"
    mode: str = "Incremental"
    tenant: str = "00000000-0000-0000-0000-000000000000"
    display_name: str = "local"
    environment: Mapping[str, Any] = field(default_factory=lambda: PUBLIC_CLOUD)
    group_locations: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The id that ids of resources here start with."""
        group = f"/resourceGroups/{self.resource_group}" if self.resource_group else ""
        return f"/subscriptions/{self.subscription}{group}"

    @property
    def deployment_id(self) -> str:
        """The id of the deployment itself."""
        return f"{self.root}/providers/{DEPLOYMENTS}/{self.deployment}"

    def resource_id(self, full_type: str, name: str) -> str:
        """The id of a resource here; ``name`` has a part for each part of the type."""
        if full_type.lower() == RESOURCE_GROUPS.lower():
            return f"/subscriptions/{self.subscription}/resourceGroups/{name}"
        return f"{self.root}/providers/{interleave(full_type, name.split('/'))}"

    def nested(
        self, name: str, subscription: str = "", resource_group: str = "", location: str = ""
    ) -> DeploymentScope:
        """The scope of a deployment inside this one.

        Empty values are this one's; a subscription without a group is a deployment to the subscription.
        """
        group = resource_group or ("" if subscription else self.resource_group)
        moved = bool(subscription) and subscription.lower() != self.subscription.lower()
        same = not moved and group.lower() == self.resource_group.lower()
        place = self.location if same else self.group_locations.get(group.lower(), location or self.location)
        return replace(
            self,
            subscription=subscription or self.subscription,
            resource_group=group,
            location=place,
            tags=self.tags if same else {},
            deployment=name,
            mode="Incremental",
        )

    def group_document(self) -> Document:
        """What ``resourceGroup()`` returns."""
        return {
            "id": self.root,
            "name": self.resource_group,
            "type": RESOURCE_GROUPS,
            "location": self.location,
            "tags": dict(self.tags),
            "properties": {"provisioningState": "Succeeded"},
        }

    def subscription_document(self) -> Document:
        """What ``subscription()`` returns."""
        return {
            "id": f"/subscriptions/{self.subscription}",
            "subscriptionId": self.subscription,
            "tenantId": self.tenant,
            "displayName": self.display_name,
        }


def interleave(full_type: str, names: list[str]) -> str:
    """``Namespace/type/name/type/name``; the numbers of parts must agree."""
    namespace, *kinds = full_type.split("/")
    return "/".join((namespace, *(part for pair in zip(kinds, names, strict=True) for part in pair)))
