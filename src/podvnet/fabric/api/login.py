"""How clients find the cloud and log in: cloud metadata, OpenID discovery, the client-credentials token endpoint.

Sources: Azure document "OpenID Connect on the Microsoft identity platform"; the cloud-metadata shapes that Azure's own
command line and SDKs read (versions 2015-01-01, 2019-05-01, 2022-09-01); RFC 6749 section 4.4.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from podvnet.fabric.api.answers import base_url
from podvnet.fabric.identity.principals import TENANT, Principals
from podvnet.fabric.identity.tokens import LIFETIME, Signer

_TENANTS = {TENANT, "common", "organizations", "adfs"}
"""What a path may name as tenant. "adfs" is what a disconnected Azure Stack Hub is given: Microsoft's authentication
libraries ask nobody else whether an authority of that tenant is to be trusted."""


class Login:
    """The endpoints that need no token."""

    def __init__(self, principals: Principals, signer: Signer) -> None:
        self._principals = principals
        self._signer = signer

    def routes(self) -> list[Route]:
        """The routes."""
        discovery = "/.well-known/openid-configuration"
        return [
            Route("/metadata/endpoints", self._cloud, methods=["GET"]),
            Route("/common/discovery/instance", self._instance, methods=["GET"]),
            Route("/{tenant}/v2.0" + discovery, self._discovery, methods=["GET"]),
            Route("/{tenant}" + discovery, self._discovery, methods=["GET"]),
            Route("/{tenant}/discovery/v2.0/keys", self._keys, methods=["GET"]),
            Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]),
            Route("/{tenant}/oauth2/token", self._token, methods=["POST"]),
        ]

    async def _cloud(self, request: Request) -> Response:
        here = base_url(request)
        version = request.query_params.get("api-version", "2022-09-01")
        suffixes = {"storage": "core.podvnet.internal", "keyVaultDns": "vault.podvnet.internal"}
        if version <= "2015-01-01":
            return JSONResponse(
                {
                    "galleryEndpoint": here,
                    "graphEndpoint": here,
                    "portalEndpoint": here,
                    "authentication": {"loginEndpoint": here, "audiences": [here]},
                }
            )
        cloud: dict[str, Any] = {
            "name": "AzureCloud",
            "portal": here,
            "authentication": {
                "loginEndpoint": here,
                "audiences": [here, f"{here}/"],
                "tenant": TENANT,
                "identityProvider": "AAD",
            },
            "resourceManager": here,
            "graph": here,
            "graphAudience": here,
            "microsoftGraphResourceId": here,
            "gallery": here,
            "batch": here,
            "media": here,
            "sqlManagement": here,
            "vmImageAliasDoc": here,
            "activeDirectoryDataLake": here,
            "suffixes": suffixes,
        }
        return JSONResponse([cloud] if version < "2022-09-01" else cloud)

    async def _instance(self, request: Request) -> Response:
        here = base_url(request)
        host = request.url.netloc
        return JSONResponse(
            {
                "tenant_discovery_endpoint": f"{here}/{TENANT}/v2.0/.well-known/openid-configuration",
                "api-version": "1.1",
                "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
            }
        )

    async def _discovery(self, request: Request) -> Response:
        here, tenant = base_url(request), request.path_params["tenant"]
        return JSONResponse(
            {
                "issuer": self._signer.issuer,
                "authorization_endpoint": f"{here}/{tenant}/oauth2/v2.0/authorize",
                "token_endpoint": f"{here}/{tenant}/oauth2/v2.0/token",
                "jwks_uri": f"{here}/{tenant}/discovery/v2.0/keys",
                "response_types_supported": ["code", "id_token", "token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                "tenant_region_scope": None,
                "cloud_instance_name": request.url.netloc,
            }
        )

    async def _keys(self, _: Request) -> Response:
        return JSONResponse(self._signer.key_document())

    async def _token(self, request: Request) -> Response:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
        if request.path_params["tenant"] not in _TENANTS:
            return _denied("invalid_request", 90002, "Tenant not found.", 400)
        if form.get("grant_type") != "client_credentials":
            return _denied("unsupported_grant_type", 70003, "Only client_credentials is served.", 400)
        principal = self._principals.check(form.get("client_id", ""), form.get("client_secret", ""))
        if principal is None:
            return _denied("invalid_client", 7000215, "Invalid client secret or client id provided.", 401)
        # v2 asks for a scope, "AUDIENCE/.default"; v1 for a resource.
        audience = form.get("resource") or form.get("scope", "").split(" ")[0].removesuffix("/.default")
        if not audience:
            return _denied("invalid_scope", 70011, "Neither scope nor resource is given.", 400)
        now = time.time()
        token = self._signer.mint(principal, audience, now)
        v1 = {"expires_on": str(int(now) + LIFETIME), "not_before": str(int(now)), "resource": audience}
        body = {"token_type": "Bearer", "expires_in": LIFETIME, "ext_expires_in": LIFETIME, "access_token": token}
        return JSONResponse(body | (v1 if "resource" in form else {}), headers={"Cache-Control": "no-store"})


def _denied(error: str, number: int, description: str, status: int) -> Response:
    body = {"error": error, "error_description": f"AADSTS{number}: {description}", "error_codes": [number]}
    return JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store"})
