"""The real Azure SDK's clients of a fabric. Needs the SDK's packages, which the lock of the tests has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from podvnet.testing.lab import Lab, podvnet


@dataclass(frozen=True)
class Access:
    """How a principal reaches the fabric."""

    endpoint: str
    tenant: str
    subscription: str
    client: str
    secret: str
    ca: str

    def credential(self) -> ClientSecretCredential:
        """What the SDK logs in with."""
        return ClientSecretCredential(
            self.tenant,
            self.client,
            self.secret,
            authority=self.endpoint,
            disable_instance_discovery=True,
            connection_verify=self.ca,
        )

    def options(self) -> dict[str, Any]:
        """What every client of the SDK is made with."""
        return {
            "base_url": self.endpoint,
            "credential_scopes": [f"{self.endpoint}/.default"],
            "connection_verify": self.ca,
        }


@dataclass(frozen=True)
class Cloud:
    """A fabric and the SDK's clients of it."""

    lab: Lab
    access: Access
    network: NetworkManagementClient
    compute: ComputeManagementClient
    resources: ResourceManagementClient


def access_for(*options: str) -> Access:
    """A new principal of the running fabric; options are those of ``podvnet env``."""
    found = json.loads(podvnet("env", "--json", *options).stdout)
    return Access(**{name: found[name] for name in Access.__dataclass_fields__})


def cloud_for(lab: Lab, access: Access) -> Cloud:
    """The SDK's clients, logged in as a principal."""
    credential, subscription, options = access.credential(), access.subscription, access.options()
    return Cloud(
        lab,
        access,
        NetworkManagementClient(credential, subscription, **options),
        ComputeManagementClient(credential, subscription, **options),
        ResourceManagementClient(credential, subscription, **options),
    )
