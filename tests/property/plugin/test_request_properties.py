import json

from hypothesis import given, settings
from hypothesis import strategies as st

from podvnet.plugin.error import CniError
from podvnet.plugin.frame import decode_request, encode_request
from podvnet.plugin.request import Command, Program, Request, parse_request

ENV_KEYS = (
    "CNI_COMMAND",
    "CNI_CONTAINERID",
    "CNI_NETNS",
    "CNI_IFNAME",
    "CNI_ARGS",
    "CNI_NETNS_OVERRIDE",
    "PODVNET_PROGRAM",
    "PODVNET_NETNS_ERRNO",
)
CONFIG_KEYS = (
    "name",
    "cniVersion",
    "type",
    "mode",
    "master",
    "bridge",
    "mtu",
    "ipMasq",
    "ipam",
    "dns",
    "nonMasquerade",
    "vnetCidrs",
    "ipsToRouteViaHost",
    "prevResult",
    "runtimeConfig",
    "args",
    "cni",
    "cni.dev/valid-attachments",
    "cni.dev/attachments",
    "multiTenancy",
    "AdditionalArgs",
    "windowsSettings",
    "environment",
    "subnet",
    "ipAddress",
    "portMappings",
    "HostPort",
    "containerPort",
    "ips",
    "mac",
    "interfaces",
    "routes",
    "dst",
    "gw",
    "address",
    "interface",
    "ip4",
    "ip",
    "io.kubernetes.cri.pod-annotations",
)
TEXTS = st.sampled_from(
    ["", "azure", "1.0.0", "0.2.0", "10.0.0.4/16", "10.0.0.1", "fd00::/8", "fe80::1%x/64", "bridge", "azure-vnet-ipam"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(CONFIG_KEYS) | st.text(max_size=8), inner, max_size=8)
    ),
    max_leaves=25,
)
CONFIGS = st.dictionaries(st.sampled_from(CONFIG_KEYS) | st.text(max_size=8), JSON, max_size=12)
# Surrogates too: that is how bytes outside UTF-8 arrive from an environment.
ANY_TEXT = st.text(st.characters(), max_size=20)
ENVIRONMENTS = st.dictionaries(st.sampled_from(ENV_KEYS) | ANY_TEXT, ANY_TEXT, max_size=10)
GOOD = {
    "CNI_CONTAINERID": "a" * 64,
    "CNI_NETNS": "/run/netns/a",
    "CNI_IFNAME": "eth0",
}


def outcome(environment: dict[str, str], stdin: bytes) -> Request | CniError:
    try:
        return parse_request(environment, stdin)
    except CniError as error:
        refused = error
    rendered = json.loads(refused.render())
    assert rendered["code"] == refused.code
    assert rendered["msg"]
    return refused


@given(ENVIRONMENTS, st.binary(max_size=200))
def test_nothing_but_a_cni_error_comes_of_any_input(environment: dict[str, str], stdin: bytes) -> None:
    outcome(environment, stdin)


@given(st.sampled_from(Command), st.binary(max_size=200))
def test_any_stdin_behind_a_good_environment(command: Command, stdin: bytes) -> None:
    outcome(GOOD | {"CNI_COMMAND": command.value}, stdin)


@settings(max_examples=500)
@given(st.sampled_from(Command), st.sampled_from(Program), CONFIGS, ANY_TEXT)
def test_any_json_behind_a_good_environment(
    command: Command, program: Program, config: dict[str, object], args: str
) -> None:
    environment = GOOD | {"CNI_COMMAND": command.value, "PODVNET_PROGRAM": program.value, "CNI_ARGS": args}
    result = outcome(environment, json.dumps({"name": "azure", "cniVersion": "1.1.0"} | config).encode())
    if isinstance(result, Request):
        assert result.wanted_addresses is not None
        assert result.wanted_mac is None or len(result.wanted_mac) == 17


@given(CONFIGS)
def test_del_fails_for_nothing_but_name_and_version(config: dict[str, object]) -> None:
    stdin = json.dumps(config | {"name": "azure", "cniVersion": "1.1.0"}).encode()
    result = outcome(GOOD | {"CNI_COMMAND": "DEL", "CNI_ARGS": "garbage"}, stdin)
    # Half a surrogate pair in a key or value is bad JSON, not a bad configuration.
    assert isinstance(result, Request) or "surrogate" in result.msg or "NaN" in result.msg or "Infinity" in result.msg


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0="), min_size=1, max_size=8).map("CNI_".__add__),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    ),
    st.binary(max_size=200),
)
def test_frames_survive(environment: dict[str, str], stdin: bytes) -> None:
    assert decode_request(encode_request(environment, stdin)[4:]) == (environment, stdin)


@given(st.binary(max_size=100))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        environment, stdin = decode_request(body)
    except CniError:
        return
    assert body.endswith(stdin)
    assert all(environment)
