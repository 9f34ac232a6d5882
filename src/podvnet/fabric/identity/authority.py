"""The certificate authority: a key and certificate that clients are told to trust, and the server's, signed by it.

Made at first start, kept for the life of the fabric's state, never sent anywhere.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from podvnet.fabric.identity.certificate import authoritys_own, builder, pem, usage
from podvnet.model.address import MANAGEMENT_ADDRESS, MANAGEMENT_NAME

_NAMES = ("localhost", MANAGEMENT_NAME, "management.podvnet.internal", "login.podvnet.internal")
_ADDRESSES = ("127.0.0.1", "::1", str(MANAGEMENT_ADDRESS))
_SERVER_LIFETIME = dt.timedelta(days=800)


@dataclass(frozen=True, slots=True)
class Authority:
    """The files of the authority. ``certificate`` is what clients trust."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """The authority's certificate, PEM."""
        return self.directory / "ca.pem"

    @property
    def server_certificate(self) -> Path:
        """The server's certificate, PEM."""
        return self.directory / "server.pem"

    @property
    def server_key(self) -> Path:
        """The server's private key, PEM."""
        return self.directory / "server.key"


def ensure_authority(directory: Path, now: dt.datetime) -> Authority:
    """Make the authority and the server's certificate unless both are there, good for a month and for all names."""
    authority = Authority(directory)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key_file = directory / "ca.key"
    if not (key_file.exists() and authority.certificate.exists()):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = authoritys_own("podvnet fabric", key, now)
        _write(key_file, pem(key))
        _write(authority.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        authority.server_certificate.unlink(missing_ok=True)
    _ensure_server(authority, _covered(), authority.server_certificate, authority.server_key, now)
    return authority


def issue(directory: Path, names: tuple[str, ...], certificate: Path, key: Path, now: dt.datetime) -> None:
    """Write a server's certificate for host names, and its key, unless both are there and good for a month.

    Args:
        directory: of the authority, which there must be.
        names: of the server.
        certificate: where it goes.
        key: where its key goes.
        now: the time.
    """
    covered = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
    _ensure_server(Authority(directory), covered, certificate, key, now)


def _ensure_server(
    authority: Authority, covered: x509.SubjectAlternativeName, path: Path, key_path: Path, now: dt.datetime
) -> None:
    if _good(path, covered, now) and key_path.exists():
        return
    key_file = authority.directory / "ca.key"
    signer = serialization.load_pem_private_key(key_file.read_bytes(), None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        msg = f"{key_file} holds no elliptic-curve key"
        raise TypeError(msg)
    issuer = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate_of_server(key, covered, signer, issuer, now)
    _write(key_path, pem(key))
    _write(path, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _good(certificate: Path, wanted: x509.SubjectAlternativeName, now: dt.datetime) -> bool:
    if not certificate.exists():
        return False
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    covered = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found.not_valid_after_utc > now + dt.timedelta(days=30) and covered == wanted


def _certificate_of_server(
    key: ec.EllipticCurvePrivateKey,
    covered: x509.SubjectAlternativeName,
    signer: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate,
    now: dt.datetime,
) -> x509.Certificate:
    first = covered.get_values_for_type(x509.DNSName)[0]
    # A common name has at most 64 characters.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, first[:64])])
    return (
        builder(name, issuer.subject, key.public_key(), now, _SERVER_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(covered, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _covered() -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in _NAMES]
    return x509.SubjectAlternativeName([*names, *(x509.IPAddress(ip_address(each)) for each in _ADDRESSES)])


def _write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    temporary = path.with_name(f".{path.name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
