from ipaddress import ip_address, ip_network

import pytest

from podvnet.model.attachment import Mode
from podvnet.plugin.document import Document
from podvnet.plugin.error import CniError, Code
from podvnet.plugin.network_config import (
    Attachment,
    Environment,
    IpamConfig,
    Ipv6,
    NetworkConfig,
    interface_name_fault,
    parse_network_config,
)
from podvnet.plugin.runtime_config import Bandwidth, PortMapping

Keys = dict[str, object]


def read(
    keys: Keys | None = None, *, verb: str = "ADD", ipam_only: bool = False, lenient: bool = False, **more: object
) -> NetworkConfig:
    values: Keys = {"cniVersion": "1.1.0", "name": "azure", "type": "azure-vnet", **(keys or {}), **more}
    return parse_network_config(Document(values, lenient=lenient), verb=verb, ipam_only=ipam_only)


def refusal(keys: Keys | None = None, *, verb: str = "ADD", **more: object) -> CniError:
    with pytest.raises(CniError) as caught:
        read({**(keys or {}), **more}, verb=verb)
    return caught.value


def test_the_shortest_configuration_gets_every_default() -> None:
    assert read() == NetworkConfig(
        name="azure", cni_version="1.1.0", type="azure-vnet", mode=Mode.TRANSPARENT, bridge="azure0", ipam=IpamConfig()
    )


def test_the_originals_linux_conflist_needs_no_warning() -> None:
    config = read(
        cniVersion="0.3.0",
        mode="transparent",
        ipsToRouteViaHost=["169.254.20.10"],
        ipam={"type": "azure-vnet-ipam"},
        capabilities={"portMappings": True},
    )
    assert config.warnings == ()
    assert config.ips_to_route_via_host == (ip_address("169.254.20.10"),)


def test_every_honoured_key() -> None:
    config = read(
        mode="tunnel",
        master="eth1",
        bridge="br0",
        mtu=1400,
        ipMasq=True,
        ipam={
            "type": "azure-vnet-ipam",
            "environment": "fileIpam",
            "subnet": "10.1.0.0/24",
            "ipAddress": "10.1.0.9",
            "ipv6": "required",
        },
        dns={"nameservers": ["168.63.129.16"], "domain": "a.b", "search": ["c"], "options": ["ndots:5"]},
        nonMasquerade=["192.168.0.0/16", "fd00::/8"],
        vnetCidrs="10.0.0.0/8, 172.16.0.0/12",
        ipsToRouteViaHost=["169.254.20.10"],
    )
    assert (config.mode, config.master, config.bridge, config.mtu, config.ip_masq) == (
        Mode.TUNNEL,
        "eth1",
        "br0",
        1400,
        True,
    )
    assert config.ipam == IpamConfig(
        "azure-vnet-ipam", Environment.FILE, ip_network("10.1.0.0/24"), ip_address("10.1.0.9"), Ipv6.REQUIRED
    )
    assert (config.dns.nameservers, config.dns.domain) == (("168.63.129.16",), "a.b")
    assert (config.dns.search, config.dns.options) == (("c",), ("ndots:5",))
    assert config.non_masquerade == (ip_network("192.168.0.0/16"), ip_network("fd00::/8"))
    assert config.vnet_cidrs == (ip_network("10.0.0.0/8"), ip_network("172.16.0.0/12"))
    assert config.warnings == ()


def test_vnet_cidrs_may_be_a_list_and_host_bits_are_cleared_with_a_warning() -> None:
    config = read(vnetCidrs=["10.1.2.3/8"], nonMasquerade=["2001:DB8:0::/32"])
    assert config.vnet_cidrs == (ip_network("10.0.0.0/8"),)
    assert config.warnings == ("vnetCidrs: 10.1.2.3/8 is read as 10.0.0.0/8",)


@pytest.mark.parametrize("name", ["azure", "a", "9.net_x-y", "A" * 255])
def test_good_names(name: str) -> None:
    assert read(name=name).name == name


@pytest.mark.parametrize("name", [None, "", "-a", ".a", "a/b", "a b", "a\n", "ä", "a" * 256, 7, ["a"]])
def test_bad_names(name: object) -> None:
    assert refusal(name=name).code is Code.INVALID_CONFIG


@pytest.mark.parametrize("stated", [None, ""])
def test_no_version_means_the_oldest(stated: object) -> None:
    assert read(cniVersion=stated).cni_version == "0.1.0"


def test_an_unknown_version_is_refused_with_the_list() -> None:
    error = refusal(cniVersion="1.2.0")
    assert (error.code, error.msg) == (Code.INCOMPATIBLE_VERSION, "cniVersion '1.2.0' is not supported")
    assert "0.4.0, 1.0.0, 1.1.0" in error.details
    assert refusal(cniVersion=1).code is Code.INVALID_CONFIG


@pytest.mark.parametrize(
    ("verb", "version", "remedy"),
    [("CHECK", "0.3.1", "0.4.0"), ("CHECK", "", "0.4.0"), ("GC", "1.0.0", "1.1.0"), ("STATUS", "0.4.0", "1.1.0")],
)
def test_a_verb_younger_than_the_version(verb: str, version: str, remedy: str) -> None:
    error = refusal(verb=verb, cniVersion=version)
    assert error.code is Code.INCOMPATIBLE_VERSION
    assert error.msg == f"{verb} does not exist in cniVersion {version or '0.1.0'}"
    assert remedy in error.details


@pytest.mark.parametrize(
    ("keys", "msg"),
    [
        ({"multiTenancy": True}, "multiTenancy true is not supported"),
        ({"enableSnatOnHost": True}, "enableSnatOnHost true is not supported"),
        ({"mode": "transparent-vlan"}, "mode 'transparent-vlan' is not supported"),
        ({"executionMode": "v4swift"}, "executionMode 'v4swift' is not supported"),
        ({"executionMode": "baremetal"}, "executionMode 'baremetal' is not supported"),
        ({"ipv6Mode": "ipv6nat"}, "ipv6Mode 'ipv6nat' is not supported"),
        ({"ipam": {"environment": "ipv6NodeIpam"}}, "ipam.environment 'ipv6NodeIpam' is not supported"),
        (
            {"ipam": {"type": "azure-cns"}},
            "ipam.type 'azure-cns' is not supported: azure-vnet gives addresses of the virtual network",
        ),
        (
            {"ipam": {"type": "host-local"}},
            "ipam.type 'host-local' is not supported: azure-vnet gives addresses of the virtual network",
        ),
    ],
)
def test_what_we_do_not_do_is_refused_by_key_and_value(keys: Keys, msg: str) -> None:
    error = refusal(keys)
    assert (error.code, error.msg) == (Code.UNSUPPORTED_FIELD, msg)
    assert error.details
    assert error.cni_version == "1.1.0"


@pytest.mark.parametrize(
    ("keys", "msg"),
    [
        ({"mode": "l3"}, "mode 'l3' is not supported"),
        ({"executionMode": "fast"}, "executionMode 'fast' is unknown; leave it out"),
        ({"ipv6Mode": "x"}, "ipv6Mode 'x' is unknown; leave it out"),
        ({"ipam": {"environment": "aws"}}, "ipam.environment 'aws' is not supported"),
        ({"ipam": {"ipv6": "yes"}}, "ipam.ipv6 'yes' is not supported"),
        ({"mtu": 67}, "mtu is 67, outside 68 to 65535"),
        ({"mtu": 1 << 70}, "mtu is huge, outside 68 to 65535"),
        (
            {"master": "much-too-long-name"},
            "master 'much-too-long-name' is no interface name: it is longer than 15 bytes",
        ),
        (
            {"nonMasquerade": ["10.0.0.0"]},
            "nonMasquerade must be a network such as 10.0.0.0/16, but '10.0.0.0' was given",
        ),
        ({"ipsToRouteViaHost": ["x"]}, "ipsToRouteViaHost must be an IP address, but 'x' was given"),
        ({"ipam": {"ipAddress": "fe80::1%eth0"}}, "ipam.ipAddress must be an IP address, but 'fe80::1%eth0' was given"),
    ],
)
def test_values_out_of_range(keys: Keys, msg: str) -> None:
    error = refusal(keys)
    assert (error.code, error.msg) == (Code.INVALID_CONFIG, msg)


@pytest.mark.parametrize(
    ("keys", "msg"),
    [
        ({"type": 1}, "type must be a string, but a number was given"),
        ({"mode": ["bridge"]}, "mode must be a string, but a list was given"),
        ({"master": {}}, "master must be a string, but an object was given"),
        ({"mtu": "1500"}, "mtu must be an integer, but a string was given"),
        ({"mtu": 1500.0}, "mtu must be an integer, but a number was given"),
        ({"mtu": True}, "mtu must be an integer, but true or false was given"),
        ({"ipMasq": "yes"}, "ipMasq must be true or false, but a string was given"),
        ({"ipam": "azure-vnet-ipam"}, "ipam must be an object, but a string was given"),
        ({"ipam": {"type": 5}}, "ipam.type must be a string, but a number was given"),
        ({"ipam": {"subnet": 5}}, "ipam.subnet must be a string, but a number was given"),
        ({"ipam": {"queryInterval": 10}}, "ipam.queryInterval must be a string, but a number was given"),
        ({"dns": {"search": "a"}}, "dns.search must be a list, but a string was given"),
        ({"dns": {"nameservers": [1]}}, "dns.nameservers must be a list of strings, but a number was given"),
        ({"vnetCidrs": 10}, "vnetCidrs must be a list, but a number was given"),
        ({"multiTenancy": "true"}, "multiTenancy must be true or false, but a string was given"),
        ({"logLevel": 3}, "logLevel must be a string, but a number was given"),
        ({"AdditionalArgs": [1]}, "AdditionalArgs must be a list of objects, but a number was given"),
        ({"runtimeConfig": []}, "runtimeConfig must be an object, but a list was given"),
        ({"runtimeConfig": {"mac": 1}}, "runtimeConfig.mac must be a string, but a number was given"),
        ({"args": {"cni": {"ips": "1"}}}, "args.cni.ips must be an IP address, but '1' was given"),
        ({"prevResult": "x"}, "prevResult must be an object, but a string was given"),
        ({"cni.dev/attachments": {}}, "cni.dev/attachments must be a list, but an object was given"),
    ],
)
def test_wrong_types_name_key_expected_and_got(keys: Keys, msg: str) -> None:
    error = refusal(keys)
    assert (error.code, error.msg) == (Code.INVALID_CONFIG, msg)


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"logLevel": "debug"}, "logLevel"),
        ({"logTarget": "stdout"}, "logTarget"),
        ({"env": "test"}, "env"),
        ({"cnsurl": "http://x"}, "cnsurl"),
        ({"serviceCidrs": "10.96.0.0/12"}, "serviceCidrs"),
        ({"infraVnetAddressSpace": "10.0.0.0/8"}, "infraVnetAddressSpace"),
        ({"podNamespaceForDualNetwork": ["a"]}, "podNamespaceForDualNetwork"),
        ({"enableExactMatchForPodName": True}, "enableExactMatchForPodName"),
        ({"disableIPTableLock": True}, "disableIPTableLock"),
        ({"disableHairpinOnHostInterface": True}, "disableHairpinOnHostInterface"),
        ({"disableAsyncDelete": True}, "disableAsyncDelete"),
        ({"adapterName": "Ethernet"}, "adapterName"),
        ({"windowsSettings": {"enableLoopbackDSR": True}}, "windowsSettings"),
        ({"AdditionalArgs": [{"Name": "EndpointPolicy"}]}, "AdditionalArgs"),
        ({"ipam": {"queryInterval": "10"}}, "ipam.queryInterval"),
        ({"ipam": {"addressSpace": "local"}}, "ipam.addressSpace"),
        ({"ipam": {"mode": "overlay"}}, "ipam.mode"),
        ({"ipam": {"rangeStart": "10.0.0.4"}}, "ipam.rangeStart"),
        ({"nonMasquerades": []}, "nonMasquerades"),
        ({"runtimeConfig": {"deviceID": "0000:00"}}, "runtimeConfig.deviceID"),
    ],
)
def test_keys_without_effect_are_named(keys: Keys, place: str) -> None:
    (warning,) = read(keys).warnings
    assert warning.startswith(f"no effect: '{place}' (")


def test_unknown_keys_share_one_warning() -> None:
    (warning,) = read({f"key{number:02}": 1 for number in range(12)}).warnings
    assert "'key00', 'key01'" in warning
    assert "and 2 more" in warning


@pytest.mark.parametrize(
    "keys",
    [
        {"multiTenancy": False, "enableSnatOnHost": False, "executionMode": "default", "ipv6Mode": ""},
        {"infraVnetAddressSpace": "", "podNamespaceForDualNetwork": [], "enableExactMatchForPodName": False},
        {"ipam": None, "dns": None, "runtimeConfig": None, "args": None, "prevResult": None, "mode": None, "mtu": None},
        {"ipam": {"environment": ""}, "mode": "", "bridge": "", "master": "", "novelty": None},
        {"cni.dev/new-key": {"a": 1}},
    ],
)
def test_empty_and_null_ask_for_nothing(keys: Keys) -> None:
    assert read(keys) == read()


@pytest.mark.parametrize("environment", list(Environment))
def test_address_sources(environment: Environment) -> None:
    assert read(ipam={"environment": environment.value}).ipam.environment is environment


def test_keys_count_in_any_capitalisation_and_the_exact_one_wins() -> None:
    assert read(Mode="bridge").mode is Mode.BRIDGE
    assert read(Mode="bridge").warnings == ()
    assert read(Mode="bridge", mode="tunnel").mode is Mode.TUNNEL
    assert "'Mode'" in read(Mode="bridge", mode="tunnel").warnings[0]


def test_runtime_config_as_containerd_writes_it() -> None:
    config = read(
        runtimeConfig={
            "portMappings": [
                {"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""},
                {"HostPort": 53, "ContainerPort": 53, "Protocol": "UDP", "HostIP": "10.0.0.4"},
                {"HostPort": 0, "ContainerPort": 81, "Protocol": "tcp", "HostIP": ""},
            ],
            "bandwidth": {"IngressRate": 1000000, "IngressBurst": 4294967295, "EgressRate": 0, "EgressBurst": 0},
            "dns": {"Servers": ["10.0.0.10"], "Searches": None, "Options": None},
            "io.kubernetes.cri.pod-annotations": {"azure/subnet": "web"},
        }
    )
    runtime = config.runtime_config
    assert runtime.port_mappings == (PortMapping(8080, 80), PortMapping(53, 53, "udp", ip_address("10.0.0.4")))
    assert runtime.bandwidth == Bandwidth(ingress_rate=1000000, ingress_burst=4294967295)
    assert (runtime.dns.nameservers, runtime.dns.search) == (("10.0.0.10",), ())
    assert runtime.annotations == {"azure/subnet": "web"}
    assert config.warnings == ()


def test_runtime_config_as_the_conventions_have_it() -> None:
    config = read(
        runtimeConfig={
            "portMappings": [{"hostPort": 1, "containerPort": 2}],
            "ips": ["10.0.0.9/16", "fd00::9"],
            "mac": "02-00-00-00-00-0A",
        },
        args={"cni": {"ips": ["10.0.0.10"], "labels": [{"key": "a", "value": "b"}]}},
    )
    assert config.runtime_config.port_mappings == (PortMapping(1, 2),)
    assert config.runtime_config.ips == (ip_address("10.0.0.9"), ip_address("fd00::9"))
    assert config.runtime_config.mac == "02:00:00:00:00:0a"
    assert config.runtime_config.hinted_ips == (ip_address("10.0.0.10"),)


@pytest.mark.parametrize(
    "runtime",
    [
        {"portMappings": [{"hostPort": 70000, "containerPort": 1}]},
        {"portMappings": [{"hostPort": 1}]},
        {"portMappings": [{"hostPort": 1, "containerPort": 1, "protocol": "icmp"}]},
        {"bandwidth": {"ingressRate": -1}},
        {"mac": "01:00:5e:00:00:01"},
        {"mac": "00:00:00:00:00:00"},
        {"mac": "nonsense"},
        {"ips": ["10.0.0.300"]},
        {"io.kubernetes.cri.pod-annotations": {"a": 1}},
    ],
)
def test_bad_runtime_config(runtime: dict[str, object]) -> None:
    error = refusal(runtimeConfig=runtime)
    assert error.code is Code.INVALID_CONFIG
    assert error.msg.startswith("runtimeConfig.")


def test_prev_result_is_read_and_a_bad_one_is_code_6() -> None:
    config = read(prevResult={"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.4/16"}]})
    assert config.prev_result is not None
    assert str(config.prev_result.ips[0].address) == "10.0.0.4/16"
    error = refusal(prevResult={"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.4"}]})
    assert error.code is Code.CANNOT_DECODE
    assert error.msg.startswith("prevResult.ips[0].address must be an address with prefix length")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, set()),
        ({"cni.dev/valid-attachments": None}, set()),
        ({"cni.dev/valid-attachments": None, "cni.dev/attachments": None}, set()),
        ({"cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}]}, {Attachment("a", "eth0")}),
        ({"cni.dev/attachments": [{"containerID": "b", "ifname": "eth1"}]}, {Attachment("b", "eth1")}),
        (
            {"cni.dev/valid-attachments": [], "cni.dev/attachments": [{"containerID": "b", "ifname": "eth1"}]},
            set(),
        ),
    ],
)
def test_valid_attachments(keys: Keys, expected: set[Attachment]) -> None:
    assert read(keys, verb="GC").valid_attachments == expected


@pytest.mark.parametrize("item", [{}, {"containerID": "a"}, {"ifname": "eth0"}, {"containerID": 1, "ifname": "x"}, "a"])
def test_a_malformed_attachment_is_refused_lest_gc_removes_it(item: object) -> None:
    assert refusal({"cni.dev/valid-attachments": [item]}, verb="GC").code is Code.INVALID_CONFIG


def test_as_delegate_only_ipam_is_ours() -> None:
    config = read(
        ipam_only=True,
        type="bridge",
        bridge="cni0",
        mtu="x",
        multiTenancy=True,
        isGateway=True,
        ipam={"type": "azure-vnet-ipam", "subnet": "10.0.0.0/24", "novelty": 1},
        args={"cni": {"ips": ["10.0.0.7"]}},
    )
    assert (config.type, config.bridge, config.mtu) == ("bridge", "azure0", None)
    assert config.ipam.subnet == ip_network("10.0.0.0/24")
    assert config.runtime_config.hinted_ips == (ip_address("10.0.0.7"),)
    assert config.warnings == ("no effect: 'ipam.novelty' (not a key of azure-vnet-ipam)",)


def test_del_goes_on_with_defaults_whatever_the_configuration_has_become() -> None:
    config = read(
        {"cni.dev/valid-attachments": [{}]},
        verb="DEL",
        lenient=True,
        mode="transparent-vlan",
        multiTenancy=True,
        mtu="x",
        master="a/b",
        ipam={"type": "azure-cns", "subnet": "?"},
        prevResult={"ips": 3},
        runtimeConfig={"portMappings": [{}, 1], "mac": "x"},
    )
    assert (config.mode, config.mtu, config.master) == (Mode.TRANSPARENT, None, "")
    assert config.prev_result is None
    assert config.valid_attachments == frozenset()
    assert len(config.warnings) == 11
    assert "multiTenancy true is not supported; passed over" in config.warnings


@pytest.mark.parametrize("name", ["eth0", "a" * 15, "net1.5", "ü"])
def test_interface_names(name: str) -> None:
    assert not interface_name_fault(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a" * 16, "ü" * 8, "a/b", "a:b", "a b", "a\tb", "a\u2003b", "eth%d", "\0"]
)
def test_no_interface_names(name: str) -> None:
    assert interface_name_fault(name)
