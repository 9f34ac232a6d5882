"""netavark's driver azure-vnet, called as netavark 1.6 and newer call it. Debian 12 has 1.4, which has no plug-ins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.runtime.probe import seen_as
from podvnet.testing.cni import Answer, Runtime, Sandbox
from podvnet.testing.site import OPTIONS
from podvnet.testing.stage import Stage

DRIVER = "/usr/local/libexec/netavark/azure-vnet"
WANTED: dict[str, Any] = {
    "name": "vnet",
    "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
    "driver": "azure-vnet",
    "network_interface": "",
    "subnets": [],
    "ipv6_enabled": True,
    "internal": False,
    "dns_enabled": True,
    "options": {},
    "ipam_options": {},
}


class Driver:
    """The executable, in a VM."""

    def __init__(self, vm: Runtime) -> None:
        self.vm = vm

    def call(self, *words: str, stdin: Any = None) -> Answer:
        done = self.vm.lab.execute_inside(self.vm.vm, [DRIVER, *words], {}, json.dumps(stdin).encode())
        return Answer(done.returncode, done.stdout, done.stderr.decode())

    def request(self, pod: Sandbox, **options: Any) -> dict[str, Any]:
        network = self.call("create", stdin=WANTED).result
        wishes = {"interface_name": "eth0", "static_ips": None, "static_mac": None, "aliases": []} | options
        ports = wishes.pop("port_mappings", None)
        return {
            "container_id": pod.container,
            "container_name": "web",
            "port_mappings": ports,
            "network": network,
            "network_options": wishes,
        }


@pytest.fixture
def driver(fabric: Stage) -> Iterator[Driver]:
    fabric.lab.install("vm1", *OPTIONS, "--netavark")
    with Runtime(fabric.lab, "vm1") as vm:
        yield Driver(vm)
        assert vm.held() == {}


def test_a_container_is_set_up_reached_and_torn_down(driver: Driver, fabric: Stage) -> None:
    pod = driver.vm.sandbox()
    request = driver.request(pod)
    status = driver.call("setup", pod.path, stdin=request).result
    interface = status["interfaces"]["eth0"]
    address, address6 = (each["ipnet"].partition("/")[0] for each in interface["subnets"])
    assert interface["subnets"][0] == {"ipnet": f"{address}/24", "gateway": "10.1.1.1"}
    assert status["dns_server_ips"] == ["168.63.129.16"]
    assert driver.vm.held() == {address: pod.container, address6: pod.container}
    fabric.lab.servers.listen(pod.descriptor, address)
    assert seen_as(fabric.lab.vm("vm2"), address) == "10.1.2.4"
    fabric.lab.servers.forget(address)
    for _ in range(2):
        assert driver.call("teardown", pod.path, stdin=request).silent
    driver.vm.unmake(pod)


def test_a_container_has_the_address_and_mac_it_asks_for(driver: Driver) -> None:
    pod = driver.vm.sandbox()
    request = driver.request(pod, static_ips=["10.1.1.77"], static_mac="02:00:00:00:00:77")
    interface = driver.call("setup", pod.path, stdin=request).result["interfaces"]["eth0"]
    assert interface["mac_address"] == "02:00:00:00:00:77"
    assert interface["subnets"][0]["ipnet"] == "10.1.1.77/24"
    assert driver.call("teardown", pod.path, stdin=request).silent
    driver.vm.unmake(pod)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"static_ips": ["10.1.2.9"]}, "10.1.2.9 is not an address of this VM's pool"),
        ({"port_mappings": [{"container_port": 80, "host_port": 8080}]}, "ports cannot be published"),
        ({"interface_name": ""}, "CNI_IFNAME"),
    ],
)
def test_what_cannot_be_had_is_refused_in_netavarks_words(driver: Driver, options: Any, said: str) -> None:
    pod = driver.vm.sandbox()
    answer = driver.call("setup", pod.path, stdin=driver.request(pod, **options))
    assert answer.code == 1
    assert said in json.loads(answer.stdout)["error"]
    driver.vm.unmake(pod)


def test_it_tells_its_version(driver: Driver) -> None:
    assert driver.call("info").result["api_version"] == "1.0.0"
