import json
from ipaddress import ip_address

import pytest

from podvnet.plugin.error import CniError, Code
from podvnet.plugin.request import Command, Program, Request, parse_request

ID = "3f813b029429b4e41a09ab33b6f6d365d2ed704017524c78d1d0dece33cdaf46"
CONFIG = {"cniVersion": "1.1.0", "name": "azure", "type": "azure-vnet"}


def env(command: str = "ADD", **variables: str | None) -> dict[str, str]:
    values: dict[str, str | None] = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": ID,
        "CNI_NETNS": "/run/netns/cni-1",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
        "PODVNET_PROGRAM": "azure-vnet",
        **variables,
    }
    return {name: value for name, value in values.items() if value is not None}


def call(environment: dict[str, str], **keys: object) -> Request:
    return parse_request(environment, json.dumps(CONFIG | keys).encode())


def refusal(environment: dict[str, str], stdin: bytes = json.dumps(CONFIG).encode()) -> CniError:
    with pytest.raises(CniError) as caught:
        parse_request(environment, stdin)
    return caught.value


def test_an_add_of_containerd() -> None:
    request = call(
        env(
            CNI_ARGS=f"IgnoreUnknown=1;K8S_POD_UID=u-1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;"
            f"K8S_POD_INFRA_CONTAINER_ID={ID}"
        )
    )
    assert request.command is Command.ADD
    assert request.program is Program.PLUGIN
    assert (request.container_id, request.netns_path, request.ifname) == (ID, "/run/netns/cni-1", "eth0")
    assert (request.netns_error, request.netns_override) == (0, False)
    assert (request.pod_namespace, request.pod_name, request.pod_uid) == ("shop", "web-0", "u-1")
    assert request.config.name == "azure"
    assert request.wanted_addresses == ()
    assert request.wanted_mac is None


@pytest.mark.parametrize("command", [None, "", "add", "UPDATE", "ADD ", "\udc80"])
def test_unknown_commands(command: str | None) -> None:
    error = refusal(env(CNI_COMMAND=command))
    assert error.code is Code.BAD_ENVIRONMENT
    assert "CNI_COMMAND" in error.msg


@pytest.mark.parametrize(
    ("command", "msg"),
    [
        ("ADD", "ADD needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"),
        ("CHECK", "CHECK needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"),
        ("DEL", "DEL needs CNI_CONTAINERID, CNI_IFNAME"),
    ],
)
@pytest.mark.parametrize("absent", [None, ""])
def test_all_that_is_missing_is_named_at_once(command: str, msg: str, absent: str | None) -> None:
    error = refusal(env(command, CNI_CONTAINERID=absent, CNI_NETNS=absent, CNI_IFNAME=absent))
    assert (error.code, error.msg) == (Code.BAD_ENVIRONMENT, msg)


@pytest.mark.parametrize("netns", [None, ""])
def test_del_needs_no_namespace(netns: str | None) -> None:
    assert call(env("DEL", CNI_NETNS=netns)).netns_path == ""


@pytest.mark.parametrize("command", ["GC", "STATUS", "VERSION"])
def test_the_rest_looks_at_no_attachment(command: str) -> None:
    # podman's VERSION, with more nonsense
    request = call(env(command, CNI_CONTAINERID="", CNI_NETNS="dummy", CNI_IFNAME="a/b", CNI_ARGS="garbage"))
    assert (request.container_id, request.netns_path, request.ifname, dict(request.args)) == ("", "", "", {})


@pytest.mark.parametrize("stdin", [b"", b"{", b"[]", b"\xff", json.dumps(CONFIG).encode()])
def test_version_works_with_any_stdin(stdin: bytes) -> None:
    assert parse_request({"CNI_COMMAND": "VERSION"}, stdin).command is Command.VERSION


@pytest.mark.parametrize("container_id", ["-a", ".a", "a/b", "a b", "ä", "a\n", "a" * 256, "\udc80", "a\0"])
def test_malformed_container_ids(container_id: str) -> None:
    error = refusal(env(CNI_CONTAINERID=container_id))
    assert error.code is Code.BAD_ENVIRONMENT
    assert error.msg.startswith("CNI_CONTAINERID ")


@pytest.mark.parametrize("ifname", [".", "..", "a" * 16, "a/b", "a:b", "a b", "eth%d", "\udc80", "a\0"])
def test_malformed_interface_names(ifname: str) -> None:
    error = refusal(env(CNI_IFNAME=ifname))
    assert error.code is Code.BAD_ENVIRONMENT
    assert error.msg.startswith("CNI_IFNAME ")


@pytest.mark.parametrize("path", ["/run/netns/\udc80", "/run/\0"])
def test_malformed_netns_paths(path: str) -> None:
    assert refusal(env(CNI_NETNS=path)).code is Code.BAD_ENVIRONMENT


def test_the_name_it_was_executed_by() -> None:
    assert call(env(PODVNET_PROGRAM=None)).program is Program.PLUGIN
    request = call(
        env(PODVNET_PROGRAM="azure-vnet-ipam"), type="bridge", isGateway=True, ipam={"type": "azure-vnet-ipam"}
    )
    assert request.program is Program.IPAM
    assert request.config.warnings == ()
    error = refusal(env(PODVNET_PROGRAM="azure-cni"))
    assert (error.code, "'azure-cni'" in error.msg) == (Code.BAD_ENVIRONMENT, True)


def test_what_the_shim_found_at_the_namespace() -> None:
    assert call(env(PODVNET_NETNS_ERRNO="2")).netns_error == 2
    assert refusal(env(PODVNET_NETNS_ERRNO="-1")).code is Code.BAD_ENVIRONMENT


@pytest.mark.parametrize(
    ("value", "override"), [("1", True), ("true", True), ("TRUE", True), ("0", False), ("", False)]
)
def test_netns_override(value: str, override: bool) -> None:
    assert call(env(CNI_NETNS_OVERRIDE=value)).netns_override is override


def test_errors_come_in_the_order_of_the_library() -> None:
    broken = b'{"cniVersion": "9.9.9", "name": "", "mode": 1'
    assert refusal(env(CNI_IFNAME=""), broken).code is Code.BAD_ENVIRONMENT
    assert refusal(env(), broken).code is Code.CANNOT_DECODE
    assert refusal(env(), broken + b"}").code is Code.INVALID_CONFIG
    named = broken.replace(b'""', b'"azure"') + b"}"
    assert refusal(env(), named).code is Code.INCOMPATIBLE_VERSION
    assert refusal(env(), named.replace(b"9.9.9", b"1.0.0")).code is Code.INVALID_CONFIG


@pytest.mark.parametrize(
    ("stdin", "version"),
    [
        (b"", "1.1.0"),
        (b'{"cniVersion": "0.3.1", ', "0.3.1"),
        (b'{"cniVersion": "9.9.9", "name": "a"}', "9.9.9"),
        (b'{"name": "a", "mode": 1}', "0.1.0"),
        (b'{"cniVersion": "", "name": "a", "prevResult": {"cniVersion": "1.0.0", "ips": 1}}', "0.1.0"),
        (b'{"cniVersion": "<script>", "name": "a"}', "1.1.0"),
    ],
)
def test_the_error_is_given_in_the_version_asked_for(stdin: bytes, version: str) -> None:
    assert refusal(env(), stdin).document()["cniVersion"] == version


def test_an_error_in_the_environment_has_a_version_as_well() -> None:
    assert refusal({}, b'{"cniVersion":"0.4.0"}').document()["cniVersion"] == "0.4.0"


@pytest.mark.parametrize(
    ("stdin", "why"),
    [
        (b"", "stdin is empty"),
        (b" \n", "stdin is empty"),
        (b"null", "stdin must be a JSON object, but null was given"),
        (b"[]", "stdin must be a JSON object, but a list was given"),
        (b'"x"', "stdin must be a JSON object, but a string was given"),
        (b"7", "stdin must be a JSON object, but a number was given"),
        (b"{", "is not a network configuration"),
        (b"{}x", "is not a network configuration"),
        (b"\xff\xfe{\x00}\x00", "byte 0 is not UTF-8"),
        (b"\xef\xbb\xbf{}", "is not a network configuration"),
        (b'{"name":"a\x00"}', "is not a network configuration"),
        (b'{"name":"a","name":"b"}', "the key 'name' is given twice"),
        (b'{"name":"a","x":{"y":1,"y":1}}', "the key 'y' is given twice"),
        (b'{"name":"a","x":NaN}', "NaN is not JSON"),
        (b'{"name":"a","x":-Infinity}', "-Infinity is not JSON"),
        (b'{"name":"a","x":"\\ud800"}', "half a surrogate pair"),
        (b'{"name":"a","\\udfff":1}', "half a surrogate pair"),
        (b'{"name":"a","x":' + b"9" * 5000 + b"}", "is not a network configuration"),
        (b'{"name":"a","x":' + b"[" * 200_000, "nested too deeply"),
        (b'{"x":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    ],
)
def test_hostile_stdin(stdin: bytes, why: str) -> None:
    error = refusal(env(), stdin)
    assert error.code is Code.CANNOT_DECODE
    assert why in error.msg
    json.loads(error.render())


def test_huge_but_legal_numbers_are_no_trouble() -> None:
    assert refusal(env(), b'{"name":"a","mtu":1e999}').msg == "mtu must be an integer, but a number was given"
    assert refusal(env(), b'{"name":"a","mtu":' + b"9" * 4000 + b"}").msg == "mtu is huge, outside 68 to 65535"


def test_a_paired_surrogate_is_a_character() -> None:
    assert "'😀'" in parse_request(env(), b'{"name":"a","\\ud83d\\ude00":1}').config.warnings[0]


@pytest.mark.parametrize("args", ["", ";", ";;IgnoreUnknown=1;", "A=", "A=b=c"])
def test_lenient_cni_args(args: str) -> None:
    assert call(env(CNI_ARGS=args)).command is Command.ADD


def test_cni_args_keep_unknown_keys_and_equals_signs() -> None:
    assert dict(call(env(CNI_ARGS="A=b=c;B=")).args) == {"A": "b=c", "B": ""}


@pytest.mark.parametrize(
    "args", ["garbage", "=x", "A=1;garbage", "IP=x", "IP=1.2.3.4.5", "MAC=x", "MAC=01:00:5e:00:00:01"]
)
def test_garbage_in_cni_args(args: str) -> None:
    error = refusal(env(CNI_ARGS=args))
    assert error.code is Code.CANNOT_DECODE
    assert error.msg.startswith("CNI_ARGS: ")
    request = call(env("DEL", CNI_ARGS=args))
    assert request.config.warnings[0].startswith("CNI_ARGS: ")


def test_addresses_asked_for_by_podman() -> None:
    request = call(env(CNI_ARGS="IP=10.0.0.9;MAC=02:00:00:00:00:0A"))
    assert request.wanted_addresses == (ip_address("10.0.0.9"),)
    assert request.wanted_mac == "02:00:00:00:00:0a"
    assert call(env(CNI_ARGS="IP=10.0.0.9/24,fd00::9")).wanted_addresses == (
        ip_address("10.0.0.9"),
        ip_address("fd00::9"),
    )


def test_the_strongest_wish_wins() -> None:
    def wanted(**keys: object) -> str:
        return str(call(env(CNI_ARGS="IP=10.0.0.2;MAC=02:00:00:00:00:02"), **keys).wanted_addresses[0])

    hint = {"args": {"cni": {"ips": ["10.0.0.3"]}}}
    ipam = {"ipam": {"ipAddress": "10.0.0.1"}}
    assert wanted(**ipam) == "10.0.0.2"
    assert wanted(**ipam, **hint) == "10.0.0.3"
    assert wanted(**ipam, **hint, runtimeConfig={"ips": ["10.0.0.4/16"]}) == "10.0.0.4"
    assert call(env(), **ipam).wanted_addresses == (ip_address("10.0.0.1"),)
    request = call(env(CNI_ARGS="MAC=02:00:00:00:00:02"), runtimeConfig={"mac": "02:00:00:00:00:03"})
    assert request.wanted_mac == "02:00:00:00:00:03"


def test_del_with_a_configuration_gone_bad_still_comes_through() -> None:
    request = call(env("DEL", CNI_NETNS=""), mode="transparent-vlan", prevResult=[1])
    assert request.command is Command.DEL
    assert len(request.config.warnings) == 2


def test_del_still_needs_a_name_and_a_version() -> None:
    assert refusal(env("DEL"), b"{}").code is Code.INVALID_CONFIG
    assert refusal(env("DEL"), b'{"name":"a","cniVersion":"9"}').code is Code.INCOMPATIBLE_VERSION


@pytest.mark.parametrize("command", ["CHECK", "GC", "STATUS"])
def test_verbs_younger_than_the_version(command: str) -> None:
    assert refusal(env(command), b'{"name":"a","cniVersion":"0.3.1"}').code is Code.INCOMPATIBLE_VERSION


def test_gc_has_its_list() -> None:
    request = call(env("GC"), **{"cni.dev/valid-attachments": [{"containerID": ID, "ifname": "eth0"}]})
    assert [(item.container_id, item.ifname) for item in request.config.valid_attachments] == [(ID, "eth0")]
