from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

import pytest

from podvnet.cluster import record
from podvnet.cluster.settings import (
    SERVICE_RANGES,
    SERVICE_RANGES6,
    ClusterSettings,
    Images,
    PodMode,
    ProxyMode,
    SettingsError,
    service_range,
    service_range6,
)


@pytest.mark.parametrize(
    ("network", "chosen"),
    [
        (["10.1.0.0/16"], "10.96.0.0/16"),
        (["10.0.0.0/8"], "172.20.0.0/16"),
        (["10.1.0.0/16", "10.96.128.0/24", "172.16.0.0/12", "fd00::/48"], "192.168.128.0/17"),
    ],
)
def test_services_get_a_range_that_the_virtual_network_has_not(network: list[str], chosen: str) -> None:
    assert service_range([ip_network(each) for each in network]) == IPv4Network(chosen)


@pytest.mark.parametrize(
    ("network", "chosen"),
    [
        (["10.96.0.0/16", "fd00:1::/48"], "fd00:10:96::/112"),
        (["fd00:10::/32"], "fd00:172:20::/112"),
    ],
)
def test_of_ipv6_likewise(network: list[str], chosen: str) -> None:
    assert service_range6([ip_network(each) for each in network]) == IPv6Network(chosen)
    with pytest.raises(SettingsError, match=r"fd00:172:20::/112.*--service-range"):
        service_range6([*map(ip_network, network), *SERVICE_RANGES6])
    with pytest.raises(SettingsError, match="the virtual network has"):
        service_range6([ip_network(each) for each in network], IPv6Network(network[-1]))


def test_a_range_of_the_virtual_network_is_refused_with_what_it_meets() -> None:
    with pytest.raises(SettingsError, match=r"10\.1\.16\.0/20.*10\.1\.0\.0/16"):
        service_range([ip_network("10.1.0.0/16")], IPv4Network("10.1.16.0/20"))


def test_a_network_that_holds_every_range_is_told_which_option_helps() -> None:
    with pytest.raises(SettingsError, match="--service-range"):
        service_range(list(SERVICE_RANGES))


def test_the_apis_service_is_the_first_address_and_dns_the_tenth() -> None:
    settings = ClusterSettings("hub", IPv4Address("10.1.0.4"), IPv4Network("172.20.0.0/16"))
    assert (str(settings.api_service), str(settings.dns_service)) == ("172.20.0.1", "172.20.0.10")


def test_a_cluster_of_both_families_has_services_and_subnets_of_both_and_ipv4_first() -> None:
    subnets = [ip_network(each) for each in ("fd00:1::/64", "10.1.1.0/24", "10.1.2.0/24", "fd00:2::/64")]
    one = ClusterSettings("hub", IPv4Address("10.1.0.4"))
    both = ClusterSettings("hub", IPv4Address("10.1.0.4"), services6=SERVICE_RANGES6[0])
    assert one.service_ranges == SERVICE_RANGES[:1]
    assert both.service_ranges == (SERVICE_RANGES[0], SERVICE_RANGES6[0])
    assert both.dns_services == (ip_address("10.96.0.10"), ip_address("fd00:10:96::a"))
    assert one.spoken(subnets) == (subnets[1],)
    assert both.spoken(subnets) == (subnets[1], subnets[0])


def test_a_record_is_read_as_it_was_written_and_forgotten_with_its_keys(tmp_path: Path) -> None:
    settings = ClusterSettings(
        "hub",
        IPv4Address("10.1.0.4"),
        IPv4Network("172.20.0.0/16"),
        "example",
        ProxyMode.NFTABLES,
        PodMode.BRIDGE,
        Images("pause:1", "dns:1"),
        forget=True,
        services6=IPv6Network("fd00:10:96::/112"),
    )
    written = record.Record(settings, "control", ("node1", "node2"), 50, brought_up=True)
    folder = tmp_path / "cluster"
    written.save(folder)
    assert record.load(folder) == written
    four = record.Record(ClusterSettings("hub", IPv4Address("10.1.0.4")), "control", ("node1",))
    four.save(folder)
    assert record.load(folder) == four
    (folder / record.PKI).mkdir()
    (folder / record.PKI / "ca.key").touch()
    record.forget(folder)
    assert not folder.exists()
    assert record.load(folder) is None
