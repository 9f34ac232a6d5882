"""The certificates of a cluster: its authorities, and everybody whom they vouch for.

Who a client is, Kubernetes reads in its certificate: the common name is the user, organisations are the groups.
Source: Kubernetes document "PKI certificates and requirements".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from podvnet.fabric.identity.certificate import authoritys_own, builder, pem, usage

_ISSUED_LIFETIME = dt.timedelta(days=366)
_USAGES = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate is for.

    Attributes:
        name: the user, or the server.
        groups: of the user.
        hosts: names and addresses that a server has.
        usages: ``client``, ``server``.
    """

    name: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    usages: tuple[str, ...] = ("client",)


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A key that signs certificates, and the certificate that says so."""

    own: Identity

    @classmethod
    def new(cls, name: str, now: dt.datetime) -> Self:
        """Make one."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = authoritys_own(name, key, now)
        return cls(Identity(certificate.public_bytes(serialization.Encoding.PEM), pem(key)))

    def issue(self, subject: Subject, now: dt.datetime) -> Identity:
        """Make a key and vouch for it."""
        signer = serialization.load_pem_private_key(self.own.key, None)
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            msg = "an authority's key is an elliptic-curve key"
            raise TypeError(msg)
        issuer = x509.load_pem_x509_certificate(self.own.certificate)
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in subject.groups]
        name = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, subject.name)])
        usages = x509.ExtendedKeyUsage([_USAGES[each] for each in subject.usages])
        frame = (
            builder(name, issuer.subject, key.public_key(), now, _ISSUED_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage(signs=False), critical=True)
            .add_extension(usages, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if subject.hosts:
            frame = frame.add_extension(_alternatives(subject.hosts), critical=False)
        certificate = frame.sign(signer, hashes.SHA256())
        return Identity(certificate.public_bytes(serialization.Encoding.PEM), pem(key))


def new_signing_key() -> Identity:
    """A key that service accounts' tokens are signed with. In place of a certificate there is the public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Identity(public, pem(key))


def good_for(certificate: bytes, subject: Subject, now: dt.datetime) -> bool:
    """Tell whether a certificate is this subject's and lasts another month."""
    found = x509.load_pem_x509_certificate(certificate)
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [each.value for each in names] != [subject.name] or found.not_valid_after_utc < now + dt.timedelta(days=30):
        return False
    try:
        covered = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not subject.hosts
    return bool(subject.hosts) and covered == _alternatives(subject.hosts)


def _alternatives(hosts: Iterable[str]) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(names)
