"""Who is let in: tokens, audiences, roles, and nothing beyond loopback."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential

from podvnet.fabric.identity.principals import TENANT
from podvnet.fabric.identity.tokens import load_key
from podvnet.testing.cloud import Access, Cloud
from podvnet.testing.lab import execute

HOST, PORT = "localhost", 8443
NETWORK = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.Network/"


def ask(
    access: Access, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, body: str = ""
) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
    connection = http.client.HTTPSConnection(HOST, PORT, context=ssl.create_default_context(cafile=access.ca))
    try:
        connection.request(method, path, body=body or None, headers=headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"{}"), response.headers
    finally:
        connection.close()


def groups_path(access: Access) -> str:
    return f"/subscriptions/{access.subscription}/resourcegroups?api-version=2021-04-01"


def token_for(access: Access, **changes: Any) -> str:
    """A token signed with the fabric's own key, with some claims changed."""
    now = int(time.time())
    claims = {
        "aud": access.endpoint, "iss": f"{access.endpoint}/{TENANT}/v2.0", "nbf": now, "exp": now + 600,
        "appid": access.client, "oid": "o", "tid": TENANT,
    }  # fmt: skip
    key = load_key(Path(os.environ["PODVNET_STATE"]) / "fabric" / "identity" / "token.key")
    return jwt.encode(claims | changes, key, algorithm="RS256")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"exp": 1}, "ExpiredAuthenticationToken"),
        ({"aud": "https://somewhere.else"}, "InvalidAuthenticationTokenAudience"),
        ({"iss": "https://somewhere.else"}, "InvalidAuthenticationTokenTenant"),
        ({"appid": "11111111-1111-1111-1111-111111111111"}, "InvalidAuthenticationToken"),
    ],
)
def test_a_token_is_checked_on_every_call(changes: dict[str, Any], code: str, cloud: Cloud) -> None:
    header = {"Authorization": f"Bearer {token_for(cloud.access, **changes)}"}
    status, body, headers = ask(cloud.access, groups_path(cloud.access), headers=header)
    if not code:
        assert status == 200
        return
    assert (status, body["error"]["code"]) == (401, code)
    assert headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "AuthenticationFailed"),
        ("Basic abc", "AuthenticationFailedInvalidHeader"),
        ("Bearer not.a.token", "InvalidAuthenticationToken"),
    ],
)
def test_no_token_or_no_token_at_all(header: str, code: str, cloud: Cloud) -> None:
    headers = {"Authorization": header} if header else {}
    status, body, _ = ask(cloud.access, groups_path(cloud.access), headers=headers)
    assert (status, body["error"]["code"]) == (401, code)


def test_a_token_of_another_key_or_of_none_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    claims = jwt.decode(token_for(cloud.access), options={"verify_signature": False})
    foreign = jwt.encode(claims, load_key(tmp_path / "other.key"), algorithm="RS256")
    parts = [{"alg": "none", "typ": "JWT"}, claims]
    unsigned = (
        ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts) + "."
    )
    for token in (foreign, unsigned):
        status, body, _ = ask(cloud.access, groups_path(cloud.access), headers={"Authorization": f"Bearer {token}"})
        assert (status, body["error"]["code"]) == (401, "InvalidAuthenticationToken")


def test_a_wrong_secret_gets_no_token(cloud: Cloud) -> None:
    access = cloud.access
    wrong = ClientSecretCredential(
        access.tenant, access.client, "wrong", authority=access.endpoint, disable_instance_discovery=True,
        connection_verify=access.ca,
    )  # fmt: skip
    with pytest.raises(ClientAuthenticationError, match="Invalid client secret"):
        wrong.get_token(f"{access.endpoint}/.default")
    form = urlencode({"grant_type": "password", "client_id": access.client})
    status, body, _ = ask(access, f"/{access.tenant}/oauth2/v2.0/token", method="POST", body=form)
    assert (status, body["error"]) == (400, "unsupported_grant_type")


def test_a_disconnected_clouds_tenant_logs_in_as_the_fabrics_own(cloud: Cloud) -> None:
    access = cloud.access
    status, found, _ = ask(access, "/adfs/.well-known/openid-configuration")
    assert status == 200
    place = found["token_endpoint"].removeprefix(access.endpoint)
    form = urlencode(
        {
            "grant_type": "client_credentials", "client_id": access.client, "client_secret": access.secret,
            "scope": f"{access.endpoint}/.default",
        }
    )  # fmt: skip
    status, body, _ = ask(access, place, method="POST", body=form)
    assert status == 200
    status, _, _ = ask(access, groups_path(access), headers={"Authorization": f"Bearer {body['access_token']}"})
    assert status == 200
    status, body, _ = ask(access, place.replace("adfs", "elsewhere"), method="POST", body=form)
    assert (status, body["error_codes"]) == (400, [90002])


def test_a_reader_may_read_and_nothing_else(cloud: Cloud, reader: Cloud) -> None:
    assert "rg" in [group.name for group in reader.resources.resource_groups.list()]
    for action in (
        lambda: reader.resources.resource_groups.create_or_update("no", {"location": "local"}),
        lambda: reader.network.virtual_networks.begin_delete("rg", "no").result(),
    ):
        with pytest.raises(HttpResponseError) as refused:
            action()
        assert refused.value.status_code == 403
        assert refused.value.error is not None
        assert refused.value.error.code == "AuthorizationFailed"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/subscriptions/S/resourcegroups", 400, "MissingApiVersionParameter"),
        ("/subscriptions/S/resourcegroups?api-version=2014-01-01", 400, "InvalidApiVersionParameter"),
        ("/subscriptions/S/resourcegroups?api-version=soon", 400, "InvalidApiVersionParameter"),
        ("/subscriptions/not-a-guid?api-version=2021-04-01", 400, "InvalidSubscriptionId"),
        ("/subscriptions/11111111-1111-1111-1111-111111111111?api-version=2021-04-01", 404, "SubscriptionNotFound"),
        ("/subscriptions/S/resourceGroups/none?api-version=2021-04-01", 404, "ResourceGroupNotFound"),
        ("/subscriptions/S/providers/Microsoft.Nothing?api-version=2021-04-01", 404, "InvalidResourceNamespace"),
        (NETWORK + "nothings/x?api-version=2021-04-01", 404, "InvalidResourceType"),
        (NETWORK + "virtualNetworks/x?api-version=2021-04-01", 404, "ResourceNotFound"),
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere(path: str, status: int, code: str, cloud: Cloud) -> None:
    header = {"Authorization": f"Bearer {token_for(cloud.access)}", "x-ms-correlation-request-id": "mine"}
    got, body, headers = ask(cloud.access, path.replace("/S/", f"/{cloud.access.subscription}/"), headers=header)
    assert (got, body["error"]["code"]) == (status, code)
    assert headers["x-ms-correlation-request-id"] == "mine"
    assert headers["x-ms-request-id"]


def test_only_loopback_is_listened_on(cloud: Cloud) -> None:
    listening = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                listening.append(fields[1])
    assert listening == [f"0100007F:{PORT:04X}"]


def test_files_and_sockets_are_closed_to_others(cloud: Cloud) -> None:
    state = Path(os.environ["PODVNET_STATE"]) / "fabric"
    assert (state / "identity").stat().st_mode & 0o077 == 0
    for name in ("token.key", "ca.key", "server.key", "principals.db"):
        assert (state / "identity" / name).stat().st_mode & 0o077 == 0, name
    assert (state / "fabric.db").stat().st_mode & 0o077 == 0
    assert Path("/run/podvnet/fabric/fabric.sock").stat().st_mode & 0o077 == 0
    assert cloud.access.secret not in (state / "fabric.log").read_text(encoding="utf-8")
    assert cloud.access.secret.encode() not in (state / "identity" / "principals.db").read_bytes()


def test_a_port_that_is_taken_is_named(cloud: Cloud) -> None:
    """A second fabric with directories of its own still wants the same port."""
    program = "from pathlib import Path; from podvnet.fabric.process import serve, AlreadyRunningError\n"
    program += "try: serve(Path('/run/second'), Path('/run/second-state'), (), lambda: None)\n"
    program += "except AlreadyRunningError as error: print(error)"
    done = execute(sys.executable, "-c", program)
    assert done.stdout.strip() == "127.0.0.1:8443 cannot be listened on: Address already in use"
