"""Pods ask of the virtual network by annotations: a real API server, a real agent, and a resource manager that obeys.

The API knows pods that nobody runs; a test attaches them by calling the plug-in as containerd would, with the names and
the UID of kubelet in ``CNI_ARGS``. What a pod has is read in the resource manager's documents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import Answer, Json, Runtime, Sandbox, address_of, configuration, eventually
from podvnet.testing.lab import PODVNET, laboratory
from podvnet.testing.nodeless_api import KUBECONFIG, NodelessApi

FILE = Path(__file__).parents[1] / "kernel" / "pod-asks.yaml"
GROUP = "podvnet"
UNKNOWN = "11111111-2222-3333-4444-555555555555"
ADDRESS = "10.1.1.4"
OPTIONS = ("--pool-source", "arm", "--rest", "0", "--pool-interval", "1")
IN_CLUSTER = (*OPTIONS, "--kubeconfig", str(KUBECONFIG), "--node-name", "vm1")
KINDS = ("application-security-groups", "public-ip", "fixed-ip", "egress", "backend-pools", "inbound-nat-rules")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with laboratory(FILE) as lab:
        yield cloud_for(lab, access_for())


@pytest.fixture(scope="module")
def agent(cloud: Cloud) -> Iterator[Runtime]:
    with Runtime(cloud.lab, "vm1", hands=8) as runtime:
        runtime.lab.install("vm1")
        runtime.end_agent()
        yield runtime
        runtime.clear()
        runtime.end_agent()


@pytest.fixture(scope="module")
def api(agent: Runtime) -> Iterator[NodelessApi]:
    """An API whose namespace ``shop`` may ask for everything, ``default`` for nothing; and an agent that asks it."""
    with NodelessApi(agent, ADDRESS, "vm1") as server:
        server.namespace("shop", *KINDS)
        agent.start_agent(*IN_CLUSTER)
        assert eventually(lambda: len(agent.ledger("SELECT 1 FROM addresses WHERE listed")) == 16)
        yield server


@pytest.fixture
def vm(agent: Runtime, api: NodelessApi, cloud: Cloud) -> Iterator[Runtime]:
    yield agent
    agent.clear()
    assert eventually(lambda: publics(cloud) == {} and members(cloud) == {}), (publics(cloud), members(cloud))


def args(name: str, uid: str, namespace: str = "shop") -> str:
    return f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_UID={uid}"


def members(cloud: Cloud) -> dict[str, list[str]]:
    """By private address, the groups of ip-configurations that have others than the VM's own."""
    found = {}
    for each in cloud.network.network_interfaces.get(GROUP, "vm1-nic").ip_configurations or ():
        groups = sorted(str(group.id).rpartition("/")[2] for group in each.application_security_groups or ())
        if groups != ["vms"] or each.public_ip_address:
            found[str(each.private_ip_address)] = groups
    return found


def publics(cloud: Cloud) -> dict[str, str]:
    """The public addresses that were made for pods, by the pod's name."""
    every = cloud.network.public_ip_addresses.list(GROUP)
    return {
        (each.tags or {})["podvnet-pod"]: str(each.ip_address) for each in every if each.name not in {"front", "ready"}
    }


def status(vm: Runtime) -> Json:
    """How the agent stands with the API."""
    found: Json = json.loads(vm.run(*PODVNET, "status", "--json"))["kubernetes"]
    return found


def knows_all(vm: Runtime, api: NodelessApi) -> bool:
    """Whether the agent knows the pods there are; those of tests before are still there."""
    return int(status(vm)["pods"]) == len(api.get("/api/v1/pods")["items"])


def mine(api: NodelessApi, name: str, uid: str) -> list[Json]:
    """The Events about one pod of a name."""
    return [each for each in api.events(name, "shop") if each["involvedObject"]["uid"] == uid]


def untranslated(vm: Runtime) -> list[str]:
    """The pods whose packets leave with their own addresses."""
    listed = json.loads(vm.run("nft", "-j", "list", "set", "inet", "podvnet", "public4"))["nftables"]
    return [address for each in listed for address in each.get("set", {}).get("elem", [])]


def attach(
    vm: Runtime, name: str, uid: str, namespace: str = "shop", config: Json | None = None
) -> tuple[Sandbox, Answer]:
    pod = vm.sandbox()
    return pod, vm.call("ADD", pod, config, args=args(name, uid, namespace))


def attached(vm: Runtime, name: str, uid: str) -> str:
    """The address of a pod that is attached as soon as the API lets its node see what it has just been allowed to."""
    answers: list[Answer] = []

    def succeeds() -> bool:
        answers[:] = [attach(vm, name, uid)[1]]
        return answers[0].code == 0

    assert eventually(succeeds), answers
    return address_of(answers[0].result)


def test_a_pod_has_what_its_annotations_ask_for_before_it_starts_and_says_so(
    vm: Runtime, api: NodelessApi, cloud: Cloud
) -> None:
    uid = api.pod("web", "shop", public_ip="new", application_security_groups="web, db")
    pod, answer = attach(vm, "web", uid)
    address = address_of(answer.result)
    assert members(cloud) == {address: ["db", "web"]}
    public = publics(cloud)["shop/web"]
    expected = {"address": address, "publicAddress": public, "applicationSecurityGroups": ["web", "db"]}
    assert eventually(lambda: api.granted("web", "shop") == expected), api.granted("web", "shop")
    told = [(each["reason"], each["type"], each["involvedObject"]["uid"]) for each in api.events("web", "shop")]
    assert told == [("NetworkGranted", "Normal", uid)]
    assert f"public address {public}" in api.described("pod", "web", "shop")
    assert vm.call("DEL", pod, args=args("web", uid)).silent
    assert eventually(lambda: publics(cloud) == {} and members(cloud) == {})


def test_pods_that_ask_for_nothing_are_attached_without_a_question_to_the_api(vm: Runtime, api: NodelessApi) -> None:
    assert eventually(lambda: knows_all(vm, api))
    known = api.pod("known", "shop")
    assert eventually(lambda: knows_all(vm, api))
    api.end()
    try:
        assert attach(vm, "known", known)[1].result["ips"], "the watch has seen it"
        handed_over = configuration(
            runtimeConfig={"io.kubernetes.cri.pod-annotations": {"kubernetes.io/config.source": "api"}}
        )
        assert attach(vm, "handed-over", UNKNOWN, config=handed_over)[1].result["ips"], "the runtime has said so"
        assert attach(vm, "static", "0123456789abcdef0123456789abcdef")[1].result["ips"], "the API has no say in it"
        assert vm.add(vm.sandbox())["ips"], "of no pod"
        refused = attach(vm, "unknown", UNKNOWN)[1].error
        assert refused["code"] == 11
        assert "what shop/unknown asks for by annotations is not known yet" in refused["msg"]
        assert "the Kubernetes API at https://10.1.1.4:6443 does not answer" in refused["msg"]
    finally:
        api.start()
    assert eventually(lambda: status(vm)["obstacle"] == "", timeout=60)
    api.unmake("known", "shop")


def test_a_pod_of_the_same_name_gets_nothing_of_anothers_asks(vm: Runtime, api: NodelessApi, cloud: Cloud) -> None:
    first = api.pod("same", "shop", public_ip="new")
    refused = attach(vm, "same", UNKNOWN)[1].error
    assert (refused["code"], f"another pod of that name (UID {first})" in refused["msg"]) == (11, True)
    assert (publics(cloud), members(cloud)) == ({}, {})
    api.unmake("same", "shop")
    assert eventually(lambda: knows_all(vm, api))
    second = api.pod("same", "shop")
    assert eventually(lambda: knows_all(vm, api))
    old = attach(vm, "same", first)[1].error
    assert (old["code"], f"another pod of that name (UID {second})" in old["msg"]) == (11, True)
    assert attach(vm, "same", second)[1].result["ips"]
    assert (publics(cloud), api.granted("same", "shop")) == ({}, {})


def test_a_namespace_that_may_not_ask_gets_nothing_and_is_told_how_it_may(
    vm: Runtime, api: NodelessApi, cloud: Cloud
) -> None:
    uid = api.pod("greedy", public_ip="new")
    refused = attach(vm, "greedy", uid, "default")[1].error
    assert (refused["code"], "pods of the namespace default may not ask for that" in refused["msg"]) == (104, True)
    assert publics(cloud) == {}
    assert eventually(lambda: [each["reason"] for each in api.events("greedy")] == ["NetworkAskRefused"])
    remedy = "kubectl label namespace default allow.podvnet.io/public-ip=true"
    assert remedy in api.events("greedy")[0]["message"]
    attach(vm, "greedy", uid, "default")
    assert eventually(lambda: [each["count"] for each in api.events("greedy")] == [2]), "the same again is counted"
    api.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"allow.podvnet.io/public-ip": "true"}}})
    pod, answer = attach(vm, "greedy", uid, "default")
    assert list(publics(cloud)) == ["default/greedy"], answer
    api.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"allow.podvnet.io/public-ip": None}}})
    assert vm.call("CHECK", pod, args=args("greedy", uid, "default")).silent, "what it has it has"


def test_groups_can_be_narrowed_for_a_namespace(vm: Runtime, api: NodelessApi, cloud: Cloud) -> None:
    api.namespace("tenant", "application-security-groups")
    limit = {"metadata": {"annotations": {"allow.podvnet.io/application-security-groups": "web"}}}
    api.patch("/api/v1/namespaces/tenant", limit)
    trespasser = api.pod("trespasser", "tenant", application_security_groups="web,db")
    refused = attach(vm, "trespasser", trespasser, "tenant")[1].error
    assert (refused["code"], "may not ask for db" in refused["msg"]) == (104, True)
    modest = api.pod("modest", "tenant", application_security_groups="web")
    assert members(cloud) == {}
    address = address_of(attach(vm, "modest", modest, "tenant")[1].result)
    assert members(cloud) == {address: ["web"]}


@pytest.mark.parametrize(
    ("annotations", "refusal"),
    [
        ({"public_ip": "new", "public_ip_idle_timeout": "99"}, (7, "public-ip-idle-timeout is 99, outside 4 to 30")),
        ({"publik_ip": "new"}, (7, "'podvnet.io/publik-ip' is none that is known")),
        ({"application_security_groups": "nobody"}, (104, "nobody")),
        ({"fixed_ip": "10.9.9.9"}, (7, "is not in the NIC's subnet 10.1.1.0/24")),
        ({"fixed_ip": "10.1.1.200"}, (104, "PrivateIPAddressInUse")),
    ],
)
def test_what_cannot_be_had_is_refused_with_its_reason_to_kubelet_and_to_the_pod(
    vm: Runtime, api: NodelessApi, cloud: Cloud, annotations: dict[str, str], refusal: tuple[int, str]
) -> None:
    code, words = refusal
    uid = api.pod("wrong", "shop", **annotations)
    refused = attach(vm, "wrong", uid)[1].error
    assert (refused["code"], words in refused["msg"]) == (code, True), refused
    assert eventually(lambda: [words in each["message"] for each in mine(api, "wrong", uid)] == [True])
    assert (publics(cloud), members(cloud)) == ({}, {})
    api.unmake("wrong", "shop")


def test_pods_of_a_stateful_set_have_the_addresses_at_their_ordinals_and_keep_them_as_long_as_they_say(
    vm: Runtime, api: NodelessApi
) -> None:
    listed = "10.1.1.71, 10.1.1.72"
    for name, address in (("db-0", "10.1.1.71"), ("db-1", "10.1.1.72")):
        uid = api.pod(name, "shop", owner="db", fixed_ip=listed)
        assert address_of(attach(vm, name, uid)[1].result) == address
    third = attach(vm, "db-2", api.pod("db-2", "shop", owner="db", fixed_ip=listed))[1].error
    assert "lists 2 addresses, and none for the pod's ordinal 2" in third["msg"]

    uid = api.pod("queue-0", "shop", owner="queue", fixed_ip="sticky", fixed_ip_keep_for="600")
    pod, answer = attach(vm, "queue-0", uid)
    address = address_of(answer.result)
    assert vm.call("DEL", pod, args=args("queue-0", uid)).silent
    api.unmake("queue-0", "shop")
    again = api.pod("queue-0", "shop", owner="queue", fixed_ip="sticky", fixed_ip_keep_for="0")
    assert eventually(lambda: attach(vm, "queue-0", again)[1].code == 0), "once nothing of the pod before is on it"
    assert [each for each in vm.held() if each == address] == [address]


def test_a_pod_leaves_as_itself_when_it_asks_to(vm: Runtime, api: NodelessApi) -> None:
    uid = api.pod("itself", "shop", egress="pod")
    address = address_of(attach(vm, "itself", uid)[1].result)
    assert untranslated(vm) == [address]
    assert eventually(lambda: api.granted("itself", "shop") == {"address": address, "egress": "pod"})


def test_what_a_pod_has_goes_with_it_when_the_agent_was_away(vm: Runtime, api: NodelessApi, cloud: Cloud) -> None:
    uid = api.pod("away", "shop", public_ip="new", application_security_groups="web")
    pod, answer = attach(vm, "away", uid)
    assert answer.code == 0
    vm.end_agent()
    api.unmake("away", "shop")
    refused = vm.call("DEL", pod, args=args("away", uid)).error
    assert refused["code"] == 11, "the shim says so; kubelet asks again"
    vm.unmake(pod)
    assert publics(cloud) != {}
    vm.start_agent(*IN_CLUSTER)
    assert eventually(lambda: publics(cloud) == {} and members(cloud) == {}), "its namespace is gone, and so is it"


def test_with_kubelets_own_credentials_a_label_of_the_namespace_is_all_that_cannot_be_read(
    vm: Runtime, api: NodelessApi
) -> None:
    vm.end_agent()
    api.use_kubelets_credentials()
    vm.start_agent(*IN_CLUSTER)
    try:
        assert eventually(lambda: status(vm)["obstacle"] == "")
        assert attached(vm, "plain", api.pod("plain", "shop"))
        uid = api.pod("asking", "shop", egress="pod")
        refused = attach(vm, "asking", uid)[1].error
        assert (refused["code"], "cannot get resource" in refused["msg"]) == (11, True), refused
        api.let_kubelets_read_namespaces()
        address = attached(vm, "asking", uid)
        assert eventually(lambda: api.granted("asking", "shop") == {"address": address, "egress": "pod"})
    finally:
        vm.end_agent()
        api.use_agents_credentials()
        vm.start_agent(*IN_CLUSTER)
