"""What the Node is to say of its addresses, as patches and Events; and as whom a node speaks to the API."""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from podvnet.azure.error import SourceError
from podvnet.cluster.certificates import CertificateAuthority, Subject
from podvnet.kube import node_access
from podvnet.kube.node_access import IN_CLUSTER, read_access
from podvnet.kube.node_truth import CONDITION, RESOURCE, patch_of
from podvnet.plan.address_pressure import AddressFigures

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Json = dict[str, Any]


def node(*, pods: str = "110", addresses: str = "", low: str = "", message: str = "", age: int = 0) -> Json:
    capacity = {"pods": pods} | ({RESOURCE: addresses} if addresses else {})
    beat = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": CONDITION, "status": low, "message": message, "lastHeartbeatTime": beat}
    conditions = [{"type": "Ready", "status": "True"}, *([condition] if low else [])]
    return {"metadata": {"name": "node1"}, "status": {"capacity": capacity, "conditions": conditions}}


def settled(figures: AddressFigures, **options: Any) -> Json:
    """A Node that says already what it is to say."""
    patch, _ = patch_of(node(), figures, "", NOW)
    assert patch is not None
    condition = patch["status"]["conditions"][0]
    return node(addresses=str(figures.limit), low=condition["status"], message=condition["message"], **options)


def test_a_new_node_is_told_its_capacity_and_that_all_is_well_without_an_event() -> None:
    patch, event = patch_of(node(), AddressFigures(100, 0), "", NOW)
    assert patch is not None
    assert patch["status"]["capacity"] == patch["status"]["allocatable"] == {RESOURCE: "100"}
    (condition,) = patch["status"]["conditions"]
    assert (condition["status"], condition["lastTransitionTime"]) == ("False", "2026-01-02T03:04:05Z")
    assert event is None


def test_what_is_said_already_is_not_said_again_until_it_is_old() -> None:
    figures = AddressFigures(100, 40)
    assert patch_of(settled(figures), figures, "", NOW) == (None, None)
    assert patch_of(settled(figures), AddressFigures(100, 41), "", NOW) == (None, None), "a pod more is no news"
    patch, event = patch_of(settled(figures, age=400), figures, "", NOW)
    assert patch is not None
    assert (set(patch["status"]), event) == ({"conditions"}, None)
    assert "lastTransitionTime" not in patch["status"]["conditions"][0]


@pytest.mark.parametrize(
    ("before", "held", "after", "reason"),
    [
        ("False", 89, "False", ""), ("False", 90, "True", "PodAddressesLow"), ("True", 85, "True", ""),
        ("True", 79, "False", "PodAddressesEnough"), ("", 95, "True", "PodAddressesLow"),
    ],
)  # fmt: skip
def test_an_event_is_of_a_turn_which_has_a_distance(before: str, held: int, after: str, reason: str) -> None:
    patch, event = patch_of(node(low=before), AddressFigures(100, held), "the subnet is full", NOW)
    assert patch is not None
    assert patch["status"]["conditions"][0]["status"] == after
    assert (event.reason if event else "") == reason
    if reason == "PodAddressesLow":
        assert event is not None
        assert event.warning
        assert "the subnet is full" in event.message
        document = event.document("node1", NOW)
        assert (document["involvedObject"]["uid"], document["metadata"]["namespace"]) == ("node1", "default")


@pytest.mark.parametrize("pods", ["99", "100"])
def test_a_kubelet_that_stops_first_is_never_short(pods: str) -> None:
    patch, event = patch_of(node(pods=pods), AddressFigures(100, 99), "", NOW)
    assert patch is not None
    assert (patch["status"]["conditions"][0]["status"], event) == ("False", None)


def kubeconfig(folder: Path, **user: Any) -> Path:
    cluster = {"server": "https://10.0.0.1:6443/"}
    path = folder / "config"
    document = {
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": cluster | user.pop("cluster", {})}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_token_beside_the_kubeconfig_is_read_anew_every_time(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n", encoding="ascii")
    access = read_access(kubeconfig(tmp_path, tokenFile="token"))
    assert (access.endpoint, access.headers()) == (("10.0.0.1", 6443), {"Authorization": "Bearer first"})
    token.write_text("second\n", encoding="ascii")
    assert access.headers() == {"Authorization": "Bearer second"}
    token.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        access.headers()


def test_a_client_certificate_in_the_kubeconfig_never_touches_the_disk(tmp_path: Path) -> None:
    authority = CertificateAuthority.new("test", NOW)
    client = authority.issue(Subject("agent"), NOW)
    encoded = {
        "client-certificate-data": b64encode(client.certificate).decode(),
        "client-key-data": b64encode(client.key).decode(),
        "cluster": {"certificate-authority-data": b64encode(authority.own.certificate).decode()},
    }
    access = read_access(kubeconfig(tmp_path, **encoded))
    context = access.context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert [each["subject"] for each in context.get_ca_certs()] == [((("commonName", "test"),),)]
    assert list(tmp_path.iterdir()) == [tmp_path / "config"]


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"exec": {"command": "login"}}, "made by a program"),
        ({"cluster": {"insecure-skip-tls-verify": True}}, "is not followed"),
        ({"client-certificate-data": "%"}, "is not base64"),
    ],
)
def test_what_a_node_does_not_do_is_refused(tmp_path: Path, user: Json, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        read_access(kubeconfig(tmp_path, **user))


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing"):
        read_access(tmp_path / "nothing")


def test_a_pods_service_account_is_used_in_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_access, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SourceError, match="in no pod of Kubernetes"):
        read_access(IN_CLUSTER)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "token").write_text("t", encoding="ascii")
    access = read_access(IN_CLUSTER)
    assert (access.endpoint, access.headers()) == (("fd00::1", 443), {"Authorization": "Bearer t"})
