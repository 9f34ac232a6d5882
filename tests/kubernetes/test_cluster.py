"""The cluster by itself: its nodes are ready, pods have addresses of the virtual network, names are answered."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from podvnet.testing.kubernetes import BUSYBOX, Cluster


def test_pods_of_two_nodes_reach_one_another_with_their_own_addresses(cluster: Cluster) -> None:
    addresses = {node: cluster.run(f"web-{node}", node=node) for node in cluster.nodes}
    assert all(ip_address(address) in ip_network("10.1.16.0/20") for address in addresses.values())
    for caller in cluster.nodes:
        for called in addresses.values():
            seen, _, _ = cluster.dial(f"web-{caller}", called).rpartition(":")
            assert seen == addresses[caller]


def test_the_clusters_dns_answers_for_services_for_vms_and_for_the_world(cluster: Cluster) -> None:
    cluster.run("resolver", image=BUSYBOX, args=("sleep", "3600"), port=0)
    assert "10.96.0.1" in cluster.execute("resolver", "nslookup", "kubernetes.default.svc.cluster.local")
    assert "10.1.1.4" in cluster.execute("resolver", "nslookup", "client.internal.cloudapp.net")
