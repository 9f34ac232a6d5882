"""What is asked for a pod, in each way it can be written."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.pod_ask import NEW, PodAsk
from podvnet.plugin.document import Document
from podvnet.plugin.error import CniError
from podvnet.plugin.pod_ask import parse_ask
from podvnet.plugin.request import Request, parse_request

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network"


def request(cni_args: str = "", command: str = "ADD", **more: Any) -> Request:
    environment = {
        "CNI_COMMAND": command, "CNI_CONTAINERID": "c", "CNI_NETNS": "/n", "CNI_IFNAME": "eth0", "CNI_ARGS": cni_args,
    }  # fmt: skip
    config = {"cniVersion": "1.0.0", "name": "azure", "type": "azure-vnet"} | more
    return parse_request(environment, json.dumps(config).encode())


def test_cni_args_say_the_same_as_json() -> None:
    found = request(
        "K8S_POD_NAMESPACE=d;K8S_POD_NAME=p;AZURE_GROUPS=web, db;AZURE_PUBLIC_ADDRESS=true;AZURE_IDLE_TIMEOUT=9;"
        f"AZURE_BACKEND_POOLS=b/p;AZURE_NAT_RULES={ID}/loadBalancers/b/inboundNatRules/r;"
        "AZURE_ADDRESS=10.1.1.7;AZURE_STICKY=1;AZURE_KEEP_FOR=60"
    )
    ask = PodAsk(
        groups=("web", "db"), public=NEW, idle_timeout=9, pools=("b/p",),
        nat_rules=(f"{ID}/loadBalancers/b/inboundNatRules/r",), address=IPv4Address("10.1.1.7"), sticky=True,
        keep_for=60,
    )  # fmt: skip
    assert (found.ask, found.pod) == (ask, "d/p")
    assert request(args={"cni": {"azure": ask.values()}}).ask == ask


def test_the_runtimes_own_field_counts_more_than_args_and_these_more_than_cni_args() -> None:
    hinted = {"cni": {"azure": {"groups": ["hinted"]}}}
    both = request("AZURE_GROUPS=args", args=hinted, runtimeConfig={"azure": {"groups": ["runtime"]}})
    assert both.ask == PodAsk(groups=("runtime",))
    assert request("AZURE_GROUPS=args", args=hinted).ask == PodAsk(groups=("hinted",))
    assert request().ask is None


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("AZURE_BACKEND_POOLS=pods", "<loadBalancers>/<backendAddressPools>"),
        (f"AZURE_GROUPS={ID}/loadBalancers/b", "is of the type"),
        ("AZURE_ADDRESS=ten", "must be an IP address"),
        ("AZURE_STICKY=often", "true or false"),
        ("AZURE_IDLE_TIMEOUT=9", "publicAddress must be true"),
        ("AZURE_PUBLIC_ADDRESS=true;AZURE_IDLE_TIMEOUT=31", "outside 4 to 30"),
        ("AZURE_PUBLIC_ADDRESS=new", "must be true for a new one"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_name(args: str, words: str) -> None:
    with pytest.raises(CniError) as refusal:
        request(args)
    assert (int(refusal.value.code), "CNI_ARGS" in refusal.value.msg, words in refusal.value.msg) == (6, True, True)


def test_a_del_reads_past_an_ask_that_is_wrong() -> None:
    found = request("AZURE_STICKY=often", "DEL", args={"cni": {"azure": {"group": 7}}})
    assert found.ask is None
    assert "args.cni.azure.group" in " ".join(found.config.warnings)


NAMES = st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), max_size=3).map(tuple)
ASKS = st.builds(
    PodAsk,
    groups=st.none() | NAMES,
    public=st.none() | st.sampled_from([NEW, "ready"]),
    pools=st.none() | NAMES.map(lambda names: tuple(f"b/{each}" for each in names)),
    address=st.none() | st.ip_addresses(v=4).map(lambda each: IPv4Address(int(each))),
    sticky=st.none() | st.booleans(),
)


@given(ASKS)
def test_what_is_written_on_the_disk_is_read_again(ask: PodAsk) -> None:
    assert (parse_ask(Document(json.loads(json.dumps(ask.values())))) or PodAsk()) == ask


@given(ASKS, ASKS)
def test_an_ask_over_another_keeps_its_own(first: PodAsk, second: PodAsk) -> None:
    found = first.over(second)
    assert found.over(first) == found
    assert first.over(PodAsk()) == first
    assert found.groups == (second.groups if first.groups is None else first.groups)
