from __future__ import annotations

import datetime as dt
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from podvnet.cluster.certificates import CertificateAuthority, Identity, Subject, good_for
from podvnet.cluster.pki import CLUSTER, Pki
from podvnet.cluster.settings import ClusterSettings

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SERVER = Subject("kube-apiserver", hosts=("kubernetes", "10.1.0.4"), usages=("server",))


@pytest.fixture
def authority() -> CertificateAuthority:
    return CertificateAuthority.new("test", NOW)


def read(identity: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.certificate)


def test_a_clients_certificate_names_its_user_and_its_groups(authority: CertificateAuthority) -> None:
    made = read(authority.issue(Subject("system:node:node1", ("system:nodes",)), NOW))
    assert [each.value for each in made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["system:node:node1"]
    groups = made.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [each.value for each in groups] == ["system:nodes"]


def test_an_issued_certificate_is_signed_by_the_authority_and_goes_with_its_key(
    authority: CertificateAuthority,
) -> None:
    issued = authority.issue(SERVER, NOW)
    read(issued).verify_directly_issued_by(read(authority.own))
    key = load_pem_private_key(issued.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == read(issued).public_key()


def test_addresses_and_names_of_a_server_are_told_apart(authority: CertificateAuthority) -> None:
    found = read(authority.issue(SERVER, NOW)).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["kubernetes"]
    assert found.get_values_for_type(x509.IPAddress) == [IPv4Address("10.1.0.4")]


@pytest.mark.parametrize(
    ("subject", "when", "good"),
    [
        (SERVER, NOW, True),
        (SERVER, NOW + dt.timedelta(days=330), True),
        (SERVER, NOW + dt.timedelta(days=340), False),
        (Subject("kube-apiserver", hosts=("kubernetes", "10.1.0.5")), NOW, False),
        (Subject("kube-apiserver"), NOW, False),
        (Subject("another", hosts=SERVER.hosts), NOW, False),
    ],
    ids=["the same", "later", "it runs out", "another address", "no host", "another name"],
)
def test_a_certificate_is_good_for_its_subject_until_a_month_before_it_runs_out(
    authority: CertificateAuthority, subject: Subject, when: dt.datetime, good: bool
) -> None:
    assert good_for(authority.issue(SERVER, NOW).certificate, subject, when) is good


def test_keys_are_made_once_and_are_for_their_owner_alone(tmp_path: Path) -> None:
    first, second = Pki(tmp_path / "pki", NOW), Pki(tmp_path / "pki", NOW)
    assert first.issued("server", CLUSTER, SERVER) == second.issued("server", CLUSTER, SERVER)
    assert first.signing_key() == second.signing_key()
    assert {each.stat().st_mode & 0o777 for each in (tmp_path / "pki").iterdir()} == {0o600}
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700


def test_a_certificate_is_made_anew_when_its_server_moves(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki", NOW)
    before = pki.issued("server", CLUSTER, SERVER)
    moved = Subject("kube-apiserver", hosts=("kubernetes", "10.1.0.9"), usages=("server",))
    assert pki.issued("server", CLUSTER, moved) != before


def test_a_pair_whose_writing_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki", NOW)
    before = pki.issued("server", CLUSTER, SERVER)
    (tmp_path / "pki" / "server.crt").unlink()
    assert pki.issued("server", CLUSTER, SERVER) != before


def test_a_kubeconfig_holds_all_that_its_user_needs(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki", NOW)
    settings = ClusterSettings("hub", IPv4Address("10.1.0.4"))
    found = pki.kubeconfig_of(settings, "admin", "system:masters")
    assert found["clusters"][0]["cluster"]["server"] == "https://10.1.0.4:6443"
    assert found["current-context"] == found["contexts"][0]["name"] == "admin@hub"
    assert {"client-certificate-data", "client-key-data"} == set(found["users"][0]["user"])
