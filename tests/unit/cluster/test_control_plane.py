from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from podvnet.cluster.cluster_dns import cluster_dns, corefile
from podvnet.cluster.control_plane import ADMIN_CONFIG, KUBECTL, PKI, Part, control_plane, etcd_flags
from podvnet.cluster.pki import Pki
from podvnet.cluster.programs import CONTROL, MissingProgramsError, Programs, find
from podvnet.cluster.settings import ClusterSettings

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SETTINGS = ClusterSettings("hub", IPv4Address("10.1.0.4"))
PROGRAMS = Programs({name: f"/opt/bin/{name}" for name in CONTROL})


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return control_plane(SETTINGS, "control", Pki(tmp_path / "pki", NOW), PROGRAMS)


def content(part: Part, path: str) -> bytes:
    return next(file.content for file in part.files if file.path == path)


def flag(part: Part, unit: str, name: str) -> str:
    argv = next(each.argv for each in part.units if each.name == unit)
    return next(word.partition("=")[2] for word in argv if word.startswith(f"--{name}="))


def test_the_apis_certificate_holds_every_name_and_address_that_it_is_called_by(part: Part) -> None:
    found = x509.load_pem_x509_certificate(content(part, f"{PKI}/apiserver.crt"))
    covered = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = set(covered.get_values_for_type(x509.DNSName))
    assert {"kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "control", "localhost"} <= names
    wanted = {ip_address(each) for each in ("10.1.0.4", "10.96.0.1", "127.0.0.1")}
    assert set(covered.get_values_for_type(x509.IPAddress)) == wanted


def test_every_file_that_a_program_is_told_of_is_there(part: Part) -> None:
    told = {
        word.partition("=")[2]
        for unit in part.units
        for word in unit.argv
        if word.partition("=")[2].startswith("/etc/kubernetes/")
    }
    assert told <= {file.path for file in part.files}
    assert told


def test_keys_and_kubeconfigs_are_for_root_alone(part: Part) -> None:
    secret = [file for file in part.files if file.path.endswith((".key", ".conf"))]
    assert secret
    assert {file.mode for file in secret} == {0o600}


def test_nobody_hands_out_ranges_to_nodes_and_etcd_is_for_its_own_vm(part: Part) -> None:
    assert flag(part, "kube-controller-manager", "allocate-node-cidrs") == "false"
    assert flag(part, "etcd", "listen-client-urls") == "https://127.0.0.1:2379"
    assert flag(part, "kube-apiserver", "bind-address") == "10.1.0.4"


def test_etcd_waits_for_the_disk_unless_it_is_told_not_to() -> None:
    assert "unsafe-no-fsync" not in etcd_flags("control", forget=False)
    assert etcd_flags("control", forget=True)["unsafe-no-fsync"] == "true"


def test_kubectl_on_the_vm_is_the_administrators_unless_told_otherwise(part: Part) -> None:
    text = content(part, KUBECTL).decode()
    assert f"KUBECONFIG:-{ADMIN_CONFIG}" in text
    assert 'exec /opt/bin/kubectl "$@"' in text
    assert json.loads(content(part, ADMIN_CONFIG))["users"][0]["name"] == "admin"


def test_the_clusters_dns_answers_at_its_service_and_asks_whom_vms_ask() -> None:
    objects = {each["kind"]: each for each in cluster_dns(SETTINGS, 2)}
    service: dict[str, Any] = objects["Service"]
    assert service["spec"]["clusterIP"] == "10.96.0.10"
    assert service["spec"]["ipFamilyPolicy"] == "SingleStack"
    template = objects["Deployment"]["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert template["spec"]["dnsPolicy"] == "Default"
    assert "forward . /etc/resolv.conf" in corefile("cluster.local")


def test_a_cluster_of_both_families_has_services_and_its_dns_in_both(tmp_path: Path) -> None:
    both = replace(SETTINGS, services6=IPv6Network("fd00:10:96::/112"))
    part = control_plane(both, "control", Pki(tmp_path / "pki", NOW), PROGRAMS)
    assert flag(part, "kube-apiserver", "service-cluster-ip-range") == "10.96.0.0/16,fd00:10:96::/112"
    service = next(each for each in cluster_dns(both, 2) if each["kind"] == "Service")
    assert service["spec"]["clusterIPs"] == ["10.96.0.10", "fd00:10:96::a"]
    assert service["spec"]["ipFamilyPolicy"] == "RequireDualStack"


def test_a_program_is_found_in_the_directory_before_path(tmp_path: Path) -> None:
    kubelet = tmp_path / "kubelet"
    kubelet.write_text("#!/bin/sh\n")
    kubelet.chmod(0o755)
    assert find(tmp_path, wanted=("kubelet", "sh"))["kubelet"] == str(kubelet)


def test_missing_programs_are_all_named_with_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "kubelet").touch()  # not executable
    with pytest.raises(MissingProgramsError) as refusal:
        find(tmp_path, wanted=("kubelet", "no-such-coredns", "sh"))
    assert "kubelet, no-such-coredns" in str(refusal.value)
    assert "https://kubernetes.io/releases" in str(refusal.value)
