from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509

from podvnet.fabric.identity import authority
from podvnet.fabric.identity.authority import ensure_authority

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def names_of(certificate: Path) -> set[str]:
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    covered = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(each.value) for each in covered}


def test_the_server_is_good_for_the_names_clients_know_it_by(tmp_path: Path) -> None:
    made = ensure_authority(tmp_path, NOW)
    assert {"localhost", "127.0.0.1", "management.azure.com", "198.51.100.254"} <= names_of(made.server_certificate)


def test_what_is_good_is_kept(tmp_path: Path) -> None:
    before = ensure_authority(tmp_path, NOW).server_certificate.read_bytes()
    assert ensure_authority(tmp_path, NOW + dt.timedelta(days=300)).server_certificate.read_bytes() == before


@pytest.mark.parametrize(("names", "later"), [(("localhost",), 0), (authority._NAMES, 790)])
def test_a_server_that_lacks_a_name_or_is_about_to_expire_is_certified_anew_by_the_same_authority(
    names: tuple[str, ...], later: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(authority, "_NAMES", names)
        made = ensure_authority(tmp_path, NOW)
    trusted, before = made.certificate.read_bytes(), made.server_certificate.read_bytes()
    ensure_authority(tmp_path, NOW + dt.timedelta(days=later))
    assert made.server_certificate.read_bytes() != before
    assert "management.azure.com" in names_of(made.server_certificate)
    assert made.certificate.read_bytes() == trusted
