"""Access tokens: signed JWTs, checked on every call.

Source: Azure documents "Access tokens in the Microsoft identity platform" (claims) and "OpenID Connect" (key document);
the refusals are the resource manager's.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from podvnet.fabric.identity.principals import TENANT, Principal
from podvnet.model.arm_error import ArmError

LIFETIME = 3600
"""Seconds a token is good for."""
_ALGORITHM = "RS256"
_KEY_ID = "podvnet-1"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs and checks tokens of one issuer, e.g. ``https://localhost:8443/TENANT/v2.0``."""

    key: rsa.RSAPrivateKey
    issuer: str

    def mint(self, principal: Principal, audience: str, now: float) -> str:
        """A token for a principal and an audience; ``now`` in seconds since the epoch."""
        claims = {
            "aud": audience,
            "iss": self.issuer,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + LIFETIME,
            "appid": principal.client,
            "azp": principal.client,
            "oid": principal.object,
            "sub": principal.object,
            "tid": TENANT,
            "idtyp": "app",
            "ver": "1.0",
        }
        return jwt.encode(claims, self.key, algorithm=_ALGORITHM, headers={"kid": _KEY_ID})

    def client_of(self, authorization: str | None, audiences: Sequence[str], now: float) -> str:
        """The client id a token was minted for.

        Args:
            authorization: the header of a request.
            audiences: those the resource manager answers to.
            now: seconds since the epoch.

        Raises:
            ArmError: 401 with the code that says what is wrong with the token.
        """
        if not authorization:
            raise _refused("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and not token.strip():
            raise _refused(
                "AuthenticationFailedMissingToken",
                "Authentication failed. The 'Authorization' header is missing the access token.",
            )
        if scheme.lower() != "bearer":
            raise _refused(
                "AuthenticationFailedInvalidHeader",
                "Authentication failed. The 'Authorization' header is provided in an invalid format.",
            )
        try:
            # The times are checked below, against the clock that was given.
            claims = jwt.decode(
                token,
                self.key.public_key(),
                algorithms=[_ALGORITHM],
                options={
                    "verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False,
                    "require": ["exp", "nbf", "aud", "iss", "appid"],
                },
            )  # fmt: skip
        except jwt.InvalidTokenError as error:
            raise _refused("InvalidAuthenticationToken", f"The access token is invalid: {error}.") from None
        _check_claims(claims, self.issuer, audiences, now)
        return str(claims["appid"])

    def key_document(self) -> dict[str, Any]:
        """The key set that checks tokens (the ``jwks_uri`` of OpenID discovery)."""
        numbers = self.key.public_key().public_numbers()
        return {
            "keys": [
                {
                    "kty": "RSA",
                    "use": "sig",
                    "kid": _KEY_ID,
                    "alg": _ALGORITHM,
                    "n": _number(numbers.n),
                    "e": _number(numbers.e),
                }
            ]
        }


def load_key(path: Path) -> rsa.RSAPrivateKey:
    """The signing key; made when there is none."""
    if not path.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        temporary = path.with_name(f".{path.name}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        temporary.rename(path)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        msg = f"{path} holds no RSA key"
        raise TypeError(msg)
    return key


def _check_claims(claims: dict[str, Any], issuer: str, audiences: Sequence[str], now: float) -> None:
    if claims["exp"] <= now:
        raise _refused("ExpiredAuthenticationToken", "The access token expiry is in the past.")
    if claims["nbf"] > now + 300:
        raise _refused("InvalidAuthenticationToken", "The access token is not valid yet.")
    if claims["iss"] != issuer:
        raise _refused(
            "InvalidAuthenticationTokenTenant", f"The access token is from the wrong issuer {claims['iss']!r}."
        )
    if claims["aud"].rstrip("/") not in {audience.rstrip("/") for audience in audiences}:
        raise _refused(
            "InvalidAuthenticationTokenAudience",
            f"The access token has been obtained for wrong audience or resource {claims['aud']!r}."
            f" It should match one of the allowed audiences {', '.join(audiences)}.",
        )


def _refused(code: str, message: str) -> ArmError:
    return ArmError(code, message, status=HTTPStatus.UNAUTHORIZED)


def _number(value: int) -> str:
    packed = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
