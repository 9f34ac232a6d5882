"""All certificates of one cluster, kept in a directory: made once, made anew when they run out or hosts change."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

from podvnet.cluster.certificates import CertificateAuthority, Identity, Subject, good_for, new_signing_key
from podvnet.cluster.kubeconfig import kubeconfig
from podvnet.cluster.settings import ClusterSettings

MASTERS = "system:masters"
"""The group that may do everything, whatever the rules say."""
ADMIN = "admin"
CLUSTER, ETCD, FRONT_PROXY = "ca", "etcd-ca", "front-proxy-ca"
"""The authorities: of clients and servers of the API, of those of etcd, of who speaks for others."""
_SIGNING = "service-accounts"


class Pki:
    """The keys of a cluster.

    Args:
        directory: for root alone.
        now: the time.
    """

    def __init__(self, directory: Path, now: dt.datetime) -> None:
        self._directory = directory
        self._now = now
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def authority(self, name: str) -> CertificateAuthority:
        """One of the authorities."""
        found = self._read(name)
        if found is None:
            found = CertificateAuthority.new(f"podvnet {name}", self._now).own
            self._write(name, found)
        return CertificateAuthority(found)

    def signing_key(self) -> Identity:
        """What service accounts' tokens are signed with."""
        found = self._read(_SIGNING)
        if found is None:
            found = new_signing_key()
            self._write(_SIGNING, found)
        return found

    def issued(self, name: str, authority: str, subject: Subject) -> Identity:
        """A certificate by an authority; ``name`` is its files'."""
        signer = self.authority(authority)
        found = self._read(name)
        if found is None or not good_for(found.certificate, subject, self._now):
            found = signer.issue(subject, self._now)
            self._write(name, found)
        return found

    def kubeconfig_of(self, settings: ClusterSettings, user: str, *groups: str) -> dict[str, Any]:
        """A kubeconfig for a user."""
        identity = self.issued(user.replace(":", "-"), CLUSTER, Subject(user, groups))
        authority = self.authority(CLUSTER).own.certificate
        return kubeconfig(settings.name, settings.server, authority, user, identity)

    def _read(self, name: str) -> Identity | None:
        certificate, key = (self._directory / f"{name}{suffix}" for suffix in (".crt", ".key"))
        if not (certificate.exists() and key.exists()):
            return None
        return Identity(certificate.read_bytes(), key.read_bytes())

    def _write(self, name: str, identity: Identity) -> None:
        """The certificate last: with it, the pair is there."""
        certificate = self._directory / f"{name}.crt"
        certificate.unlink(missing_ok=True)
        _write(self._directory / f"{name}.key", identity.key)
        _write(certificate, identity.certificate)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.rename(path)
