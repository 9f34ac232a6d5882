"""Malformed calls: one error object with the right code on stdout, an exit code, and no trace anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from podvnet.testing.cni import Json, Runtime, Sandbox, configuration

NEWEST = "1.1.0"


@pytest.fixture(scope="module")
def vm(runtimes: dict[str, Runtime]) -> Iterator[Runtime]:
    """A VM with one pod, which must not notice anything."""
    runtime = runtimes["vm1"]
    runtime.add(runtime.sandbox())
    yield runtime
    runtime.clear()


@pytest.fixture(scope="module")
def pod(vm: Runtime) -> Sandbox:
    return vm.sandbox()


def refused(vm: Runtime, variables: dict[str, str], stdin: bytes | Json, code: int, *words: str) -> Json:
    """Make a call that must be refused with a code and these words, and leave no trace."""
    text = stdin if isinstance(stdin, bytes) else json.dumps(stdin).encode()
    before = vm.state()
    answer = vm.execute(variables, text)
    error = answer.error
    assert error["code"] == code, error
    said = f"{error['msg']} {error.get('details', '')}"
    assert [word for word in words if word not in said] == []
    assert answer.stderr == ""
    assert vm.state() == before
    return error


def without(variables: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name not in names}


# -- the environment


@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
@pytest.mark.parametrize(
    "names",
    [
        ("CNI_CONTAINERID",),
        ("CNI_NETNS",),
        ("CNI_IFNAME",),
        ("CNI_CONTAINERID", "CNI_IFNAME"),
        ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("how", ["unset", "empty"])
def test_missing_variables_are_all_named(
    vm: Runtime, pod: Sandbox, verb: str, names: tuple[str, ...], how: str
) -> None:
    variables = without(vm.environment(verb, pod), *names)
    if how == "empty":
        variables |= dict.fromkeys(names, "")
    refused(vm, variables, configuration(), 4, *names)


def test_del_needs_container_and_interface(vm: Runtime, pod: Sandbox) -> None:
    variables = without(vm.environment("DEL", pod), "CNI_CONTAINERID", "CNI_IFNAME")
    refused(vm, variables, configuration(), 4, "CNI_CONTAINERID", "CNI_IFNAME")


@pytest.mark.parametrize("command", ["add", "Del", "NOP", "ADD ", "ADD\n", "version", "%s", "ADD;DEL"])
def test_unknown_commands(vm: Runtime, pod: Sandbox, command: str) -> None:
    refused(vm, vm.environment(command, pod), configuration(), 4, "CNI_COMMAND", "ADD, DEL, CHECK, GC, STATUS, VERSION")


def test_without_a_command_it_tells_a_person_what_it_is(vm: Runtime) -> None:
    answer = vm.execute({}, b"")
    assert (answer.code, answer.stdout) == (0, b"")
    assert "azure-vnet: CNI plug-in of podvnet" in answer.stderr
    assert NEWEST in answer.stderr


CONTAINERS = [
    "../../etc/passwd", "a/b", ".hidden", "-rf", "a b", "a\nb", "a%n", "käse", "\udcff", "a" * 256, "a;b", "$(id)",
]  # fmt: skip


@pytest.mark.parametrize("container", CONTAINERS, ids=ascii)
def test_hostile_container_ids(vm: Runtime, pod: Sandbox, container: str) -> None:
    refused(vm, vm.environment("ADD", pod) | {"CNI_CONTAINERID": container}, configuration(), 4, "CNI_CONTAINERID")


INTERFACES = [
    ".", "..", "../eth0", "a/b", "a:b", "a b", "a\tb", "a\nb", "eth%d", "%s", "a" * 16, "ä" * 8, "a\u2003b", "\udcff",
]  # fmt: skip


@pytest.mark.parametrize("ifname", INTERFACES, ids=ascii)
def test_hostile_interface_names(vm: Runtime, pod: Sandbox, ifname: str) -> None:
    refused(vm, vm.environment("ADD", pod) | {"CNI_IFNAME": ifname}, configuration(), 4, "CNI_IFNAME")


NAMESPACES = [
    "/run/netns/there-is-none", "/etc/hostname", "/etc", "/dev/null", "/proc/self/ns/mnt", "/run/podvnet/agent.sock",
    "relative/path", "/run/netns/../../etc/hostname", "/run/netns/a\nb", "/run/netns/käse", "/run/netns/%n%s",
    "/" + "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
@pytest.mark.parametrize("path", NAMESPACES, ids=lambda path: ascii(path)[:40])
def test_what_is_no_network_namespace(vm: Runtime, pod: Sandbox, verb: str, path: str) -> None:
    code = 3 if verb == "CHECK" else 8  # what is not attached is not looked at
    refused(vm, vm.environment(verb, pod) | {"CNI_NETNS": path}, configuration(), code)


def test_the_vms_own_namespace_is_refused_unless_overridden(vm: Runtime, pod: Sandbox) -> None:
    own = vm.environment("ADD", pod) | {"CNI_NETNS": "/proc/self/ns/net"}
    refused(vm, own, configuration(), 8, "own network namespace", "CNI_NETNS_OVERRIDE")


def test_a_fifo_is_refused_without_waiting_for_a_writer(vm: Runtime, pod: Sandbox) -> None:
    vm.run("mkfifo", "/run/a-fifo")
    refused(vm, vm.environment("ADD", pod) | {"CNI_NETNS": "/run/a-fifo"}, configuration(), 8)


@pytest.mark.parametrize(
    "args",
    ["IP=nonsense", "IP=10.1.1.300", "MAC=nonsense", "MAC=ff:ff:ff:ff:ff:ff", "novalue", "=x", "K=\udcff"],
    ids=ascii,
)
def test_malformed_arguments(vm: Runtime, pod: Sandbox, args: str) -> None:
    refused(vm, vm.environment("ADD", pod, args=args), configuration(), 6, "CNI_ARGS")


def test_more_environment_than_a_configuration_could_hold(vm: Runtime, pod: Sandbox) -> None:
    large = {f"CNI_EXTRA_{number}": "x" * 100_000 for number in range(6)}
    refused(vm, vm.environment("ADD", pod) | large, configuration(), 4)


# -- stdin

VALID = json.dumps(configuration()).encode()
BROKEN = {
    "empty": b"",
    "blank": b" \n\t ",
    "words": b"this is no JSON",
    "cut short": VALID[:-1],
    "two documents": VALID + VALID,
    "rubbish behind": VALID + b"x",
    "a list": b"[" + VALID + b"]",
    "a string": b'"name"',
    "null": b"null",
    "not UTF-8": VALID.replace(b"azure", b"az\xffre", 1),
    "a NUL": VALID + b"\0",
    "a key twice": VALID[:-1] + b',"name":"other"}',
    "not a number": VALID[:-1] + b',"mtu":NaN}',
    "half a surrogate pair": VALID[:-1] + rb',"logLevel":"\ud800"}',
    "a number of thousands of digits": VALID[:-1] + b',"mtu":' + b"9" * 5000 + b"}",
    "deep lists": VALID[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 60_000 + b"1" + b"}" * 60_000,
    "one MiB": VALID[:-1] + b',"x":"' + b"y" * (1 << 20) + b'"}',
    "one MiB of blanks": b" " * (1 << 20),
}


@pytest.mark.parametrize("verb", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_configuration_cannot_be_decoded(vm: Runtime, pod: Sandbox, verb: str, what: str) -> None:
    error = refused(vm, vm.environment(verb, pod), BROKEN[what], 6, "stdin")
    assert error["cniVersion"] == NEWEST


NAMES: list[object] = ["", None, 7, [], "../../etc", "a/b", "a\nb", ".", "-x", "käse", "a" * 256]


@pytest.mark.parametrize("verb", ["ADD", "DEL", "GC"])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_malformed_network_names(vm: Runtime, pod: Sandbox, verb: str, name: object) -> None:
    refused(vm, vm.environment(verb, pod), configuration() | {"name": name}, 7, "name")


@pytest.mark.parametrize(
    ("verb", "version", "code"),
    [
        ("ADD", "9.9.9", 1),
        ("ADD", "1.0", 1),
        ("ADD", "1.1.0 ", 1),
        ("DEL", "0.0.1", 1),
        ("ADD", 1.1, 7),
        ("CHECK", "0.3.1", 1),
        ("GC", "1.0.0", 1),
        ("STATUS", "1.0.0", 1),
    ],
)
def test_versions_that_cannot_be_served(vm: Runtime, pod: Sandbox, verb: str, version: object, code: int) -> None:
    refused(vm, vm.environment(verb, pod), configuration() | {"cniVersion": version}, code, "cniVersion")


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        ({"multiTenancy": True}, 2, "multiTenancy true"),
        ({"enableSnatOnHost": True}, 2, "enableSnatOnHost true"),
        ({"mode": "transparent-vlan"}, 2, "mode 'transparent-vlan'"),
        ({"executionMode": "v4swift"}, 2, "executionMode 'v4swift'"),
        ({"ipv6Mode": "ipv6nat"}, 2, "ipv6Mode 'ipv6nat'"),
        ({"ipam": {"type": "host-local"}}, 2, "ipam.type 'host-local'"),
        ({"mode": "teleport"}, 7, "mode 'teleport'"),
        ({"mode": 7}, 7, "mode must be a string"),
        ({"mtu": 5}, 7, "mtu"),
        ({"mtu": "1500"}, 7, "mtu must be an integer"),
        ({"multiTenancy": "true"}, 7, "multiTenancy must be true or false"),
        ({"master": "eth7"}, 7, "master 'eth7'"),
        ({"mode": "bridge", "bridge": "../br"}, 7, "bridge"),
        ({"ipam": {"type": "azure-vnet-ipam", "subnet": "192.0.2.0/24"}}, 7, "ipam.subnet 192.0.2.0/24"),
        ({"ipam": "azure-vnet-ipam"}, 7, "ipam must be an object"),
        ({"nonMasquerade": ["everywhere"]}, 7, "nonMasquerade"),
        ({"runtimeConfig": {"mac": "01:00:5e:00:00:01"}}, 7, "runtimeConfig.mac"),
        ({"prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "nowhere"}]}}, 6, "prevResult.ips[0].address"),
        ({"prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "192.0.2.1/32", "interface": 3}]}}, 6, "interface"),
        ({"prevResult": []}, 7, "prevResult"),
        ({"prevResult": {"cniVersion": "3.0.0"}}, 1, "prevResult"),
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
def test_configurations_that_cannot_be_served(vm: Runtime, pod: Sandbox, keys: Json, code: int, words: str) -> None:
    error = refused(vm, vm.environment("ADD", pod), configuration(version="1.0.0") | keys, code, words)
    assert error["cniVersion"] == "1.0.0"
