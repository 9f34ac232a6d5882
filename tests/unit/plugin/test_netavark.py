"""netavark's documents, and the requests of CNI that they mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podvnet.plugin import netavark
from podvnet.plugin.error import CniError, Code
from podvnet.plugin.request import Command, parse_request

NETWORK: dict[str, Any] = {
    "name": "vnet",
    "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
    "driver": "azure-vnet",
    "subnets": [],
    "ipv6_enabled": False,
    "internal": False,
    "dns_enabled": True,
    "options": None,
    "ipam_options": {"driver": "host-local"},
}
REQUEST: dict[str, Any] = {
    "container_id": "7" * 64,
    "container_name": "web",
    "port_mappings": None,
    "network": NETWORK,
    "network_options": {"interface_name": "eth0", "static_ips": ["10.1.1.9"], "static_mac": "aa:bb:cc:dd:aa:00"},
}


def changed(base: dict[str, Any], **values: Any) -> bytes:
    return json.dumps(base | values).encode()


def asked(verb: str, stdin: bytes) -> Any:
    environment, config = netavark.as_cni({netavark.VARIABLE: verb, "CNI_NETNS": "/run/netns/x"}, stdin)
    return parse_request(environment, config)


def test_a_network_is_kept_without_podmans_addresses_and_names() -> None:
    kept = json.loads(netavark.create(changed(NETWORK, subnets=[{"subnet": "10.1.1.0/24", "gateway": "10.1.1.1"}])))
    assert kept == NETWORK | {
        "dns_enabled": False,
        "ipam_options": {"driver": "none"},
        "options": {"subnet": "10.1.1.0/24"},
    }


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        ({"internal": True}, Code.UNSUPPORTED_FIELD, "internal"),
        ({"subnets": [{"subnet": "10.1.1.0/24"}, {"subnet": "10.1.2.0/24"}]}, Code.UNSUPPORTED_FIELD, "one subnet"),
        ({"options": {"speed": "1"}}, Code.UNSUPPORTED_FIELD, "'speed' is no option"),
        ({"options": {"mode": "overlay"}}, Code.INVALID_CONFIG, "overlay"),
        ({"options": {"mtu": "many"}}, Code.INVALID_CONFIG, "mtu"),
        ({"name": ""}, Code.INVALID_CONFIG, "name"),
    ],
)
def test_a_network_that_cannot_be_had_is_refused_when_it_is_created(
    wanted: dict[str, Any], code: Code, said: str
) -> None:
    with pytest.raises(CniError, match=said) as refused:
        netavark.create(changed(NETWORK, **wanted))
    assert refused.value.code is code


def test_setup_is_an_add_with_the_containers_wishes() -> None:
    options = {"mode": "bridge", "mtu": "1400", "non-masquerade": "198.51.100.0/24", "subnet": "10.1.1.0/24"}
    request = asked("setup", changed(REQUEST, network=NETWORK | {"options": options}))
    assert (request.command, request.container_id, request.ifname) == (Command.ADD, "7" * 64, "eth0")
    assert (request.netns_path, request.pod_name) == ("/run/netns/x", "web")
    assert [str(each) for each in request.wanted_addresses] == ["10.1.1.9"]
    assert request.wanted_mac == "aa:bb:cc:dd:aa:00"
    config = request.config
    assert (config.name, config.mode, config.mtu, config.ipam.ipv6) == ("vnet", "bridge", 1400, "none")
    assert [str(each) for each in config.non_masquerade] == ["198.51.100.0/24"]
    assert str(config.ipam.subnet) == "10.1.1.0/24"


def test_setup_asks_for_ipv6_where_the_network_has_it() -> None:
    request = asked("setup", changed(REQUEST, network=NETWORK | {"ipv6_enabled": True}))
    assert request.config.ipam.ipv6 == "auto"


def test_published_ports_are_refused_and_not_forgotten() -> None:
    ports = [{"container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 1}]
    with pytest.raises(CniError, match="ports cannot be published"):
        asked("setup", changed(REQUEST, port_mappings=ports))


def test_teardown_is_a_del_whatever_became_of_the_network() -> None:
    ports = [{"container_port": 80, "host_port": 8080}]
    request = asked("teardown", changed(REQUEST, port_mappings=ports, network=NETWORK | {"options": {"speed": "1"}}))
    assert (request.command, request.container_id, request.ifname) == (Command.DEL, "7" * 64, "eth0")


def test_another_verb_is_refused_by_name() -> None:
    with pytest.raises(CniError, match="'update' is no verb"):
        asked("update", changed(REQUEST))


def test_what_add_answers_is_a_status_block() -> None:
    result = {
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "azv1", "mac": "aa:00:00:00:00:01"},
            {"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/x"},
        ],
        "ips": [{"address": "10.1.1.9/24", "gateway": "10.1.1.1", "interface": 1}],
        "dns": {"nameservers": ["168.63.129.16"]},
    }
    assert json.loads(netavark.reply("setup", 0, json.dumps(result).encode())) == {
        "dns_search_domains": [],
        "dns_server_ips": ["168.63.129.16"],
        "interfaces": {
            "eth0": {
                "mac_address": "02:00:00:00:00:01",
                "subnets": [{"ipnet": "10.1.1.9/24", "gateway": "10.1.1.1"}],
            }
        },
    }


def test_a_refusal_has_what_is_wrong_and_what_to_do_in_one_text() -> None:
    refused = CniError(Code.POOL_EXHAUSTED, "no free address", "add one").render()
    assert json.loads(netavark.reply("setup", 1, refused)) == {"error": "no free address: add one"}


def test_teardown_says_nothing() -> None:
    assert netavark.reply("teardown", 0, b"") == b""
