"""The agent is killed at each of its touches between ADD and the Event: what a pod asked for is had and told, or gone.

As in ``tests/kernel/test_pod_ask_crashes.py``, with the API server among what is touched.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from podvnet.agent import nic_writer, process
from podvnet.agent.grant_store import GrantStore
from podvnet.agent.ledger import Ledger
from podvnet.agent.pool_growth import GrowthSettings
from podvnet.agent.source import Source, SourceKind
from podvnet.azure.resource_manager import ResourceManager
from podvnet.kube.node_api import NodeApi
from podvnet.plan.pool_target import PoolPolicy
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import Runtime, eventually
from podvnet.testing.doomed import Doomed, Touch
from podvnet.testing.lab import laboratory
from podvnet.testing.nodeless_api import KUBECONFIG, NodelessApi

FILE = Path(__file__).parents[1] / "kernel" / "pod-asks.yaml"
GROUP = "podvnet"
SECONDS = 120.0
TOUCHES = (
    *(Touch(NodeApi, name) for name in ("post", "patch")),
    Touch(NodeApi, "get", after=False),
    Touch(GrantStore, "put", after=False),
    Touch(GrantStore, "forget"),
    *(Touch(ResourceManager, name) for name in ("put", "delete")),
    *(Touch(Ledger, name, after=False) for name in ("begin", "leave", "release")),
    Touch(Ledger, "publish"),
)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with laboratory(FILE) as lab:
        yield cloud_for(lab, access_for())


@pytest.fixture(scope="module")
def vm(cloud: Cloud) -> Iterator[Runtime]:
    with Runtime(cloud.lab, "vm1", hands=8) as runtime:
        runtime.lab.install("vm1")
        runtime.end_agent()
        yield runtime


@pytest.fixture(scope="module")
def api(vm: Runtime) -> Iterator[NodelessApi]:
    with NodelessApi(vm, "10.1.1.4", "vm1") as server:
        server.namespace("shop", "public-ip", "application-security-groups")
        yield server


@pytest.fixture(scope="module")
def agent(vm: Runtime, api: NodelessApi) -> Iterator[Doomed]:
    doomed = Doomed(run_agent, TOUCHES, vm.do)
    doomed.start()
    assert eventually(lambda: len(vm.ledger("SELECT 1 FROM addresses WHERE listed")) == 16)
    yield doomed
    doomed.let_live()
    vm.clear()
    doomed.end()


def run_agent(ready: Callable[[], None]) -> None:
    process._notify_ready = ready
    nic_writer._FIRST_WAIT = 0.2
    growth = GrowthSettings(PoolPolicy(), ca=Path("/etc/podvnet/ca.pem"))
    source = Source(SourceKind.ARM)
    process.run(
        process.Settings(source=source, growth=growth, rest=0.0, interval=0.5, kubeconfig=KUBECONFIG, node_name="vm1")
    )


def traces(cloud: Cloud) -> list[str]:
    """What the resource manager has for pods."""
    publics = [each.name for each in cloud.network.public_ip_addresses.list(GROUP)]
    found = [f"public {name}" for name in publics if name not in {"front", "ready"}]
    for each in cloud.network.network_interfaces.get(GROUP, "vm1-nic").ip_configurations or ():
        groups = [str(group.id).rpartition("/")[2] for group in each.application_security_groups or ()]
        if groups != ["vms"] or each.public_ip_address:
            found.append(f"{each.private_ip_address} in {groups}")
    return found


def told(api: NodelessApi, uid: str) -> list[str]:
    return [each["reason"] for each in api.events("web", "shop") if each["involvedObject"]["uid"] == uid]


def refused(api: NodelessApi, uid: str) -> bool:
    return told(api, uid) == ["NetworkAskRefused"]


def test_what_a_pod_was_given_is_told_once_wherever_the_agent_is_killed(
    vm: Runtime, api: NodelessApi, cloud: Cloud, agent: Doomed
) -> None:
    for point in itertools.count():
        uid = api.pod("web", "shop", public_ip="new", application_security_groups="web")
        args = f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID={uid}"
        pod = vm.sandbox()
        agent.doom(point)
        answer = vm.call("ADD", pod, args=args)
        if answer.code == 0:
            has = f"{json.loads(answer.stdout)['ips'][0]['address'].partition('/')[0]} in ['web']"
            assert eventually(lambda: agent.ended() or api.granted("web", "shop") != {}, SECONDS)
        through = not agent.ended()
        agent.let_live()
        if answer.code == 0:
            assert eventually(lambda: api.granted("web", "shop") != {}, SECONDS), (point, traces(cloud))
            assert told(api, uid) == ["NetworkGranted"]
            assert has in traces(cloud)
            assert len(traces(cloud)) == 2
        assert vm.call("DEL", pod, args=args).silent
        vm.unmake(pod)
        api.unmake("web", "shop")
        assert eventually(lambda: traces(cloud) == [], SECONDS), (point, traces(cloud))
        assert eventually(lambda: vm.ledger("SELECT 1 FROM attachments") == [])
        if through:
            assert point >= 12, "the API is asked and told, the disk and the resource manager written more often"
            return


def test_a_refusal_is_told_when_the_agent_was_killed_at_telling_it(
    vm: Runtime, api: NodelessApi, agent: Doomed
) -> None:
    for point in itertools.count():
        uid = api.pod("web", "shop", egress="pod")
        args = f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID={uid}"
        agent.doom(point)
        first = vm.call("ADD", vm.sandbox(), args=args).error["code"]
        was_refused = partial(refused, api, uid)
        assert eventually(lambda it=was_refused: agent.ended() or it(), SECONDS)  # type: ignore[misc]
        through = not agent.ended()
        agent.let_live()
        again = vm.call("ADD", vm.sandbox(), args=args).error["code"]
        assert (first in {11, 104}, again) == (True, 104), "kubelet asks again, and it is told again"
        assert eventually(was_refused, SECONDS)
        api.unmake("web", "shop")
        vm.clear()
        if through:
            assert point >= 2
            return
