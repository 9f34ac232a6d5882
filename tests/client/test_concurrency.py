"""Many clients writing to one network at once: nothing lost, no failure that is not an answer."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from azure.core.exceptions import HttpResponseError

from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.contention import contend

CLIENTS = 32
ROUNDS = 4
SECONDS = 8


def test_no_update_is_lost_and_the_kernel_agrees(cloud: Cloud) -> None:
    """Every client counts up a tag, with If-Match, until it has got through a number of times."""
    networks = cloud.network.virtual_networks
    space: Any = {"addressSpace": {"addressPrefixes": ["10.70.0.0/16"]}}
    first: Any = {"location": "local", "tags": {"n": "0"}, "properties": space}
    networks.begin_create_or_update("rg", "counted", first).result()
    outcomes: Counter[int] = Counter()

    def count_up(_: int) -> None:
        own = cloud_for(cloud.lab, access_for()).network.virtual_networks
        done = 0
        while done < ROUNDS:
            now = own.get("rg", "counted")
            tags = {"n": str(int((now.tags or {})["n"]) + 1)}
            body: Any = {"location": "local", "tags": tags, "properties": space}
            try:
                own.begin_create_or_update("rg", "counted", body, headers={"If-Match": now.etag}).result()
                done += 1
                outcomes[200] += 1
            except HttpResponseError as refused:
                outcomes[refused.status_code or 0] += 1

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(count_up, range(CLIENTS)))
    assert set(outcomes) <= {200, 412}
    assert outcomes[412] > 0, "nobody got in anybody's way: the test shows nothing"
    assert (networks.get("rg", "counted").tags or {})["n"] == str(CLIENTS * ROUNDS)
    networks.begin_delete("rg", "counted").result()


def test_clients_that_add_subnets_at_once_all_get_theirs(cloud: Cloud) -> None:
    space: Any = {"location": "local", "properties": {"addressSpace": {"addressPrefixes": ["10.71.0.0/16"]}}}
    cloud.network.virtual_networks.begin_create_or_update("rg", "shared", space).result()

    def add(number: int) -> str:
        body: Any = {"properties": {"addressPrefix": f"10.71.{number}.0/24"}}
        subnets = cloud.network.subnets
        # Azure has one write to a network at a time and tells the others to come again; the SDK does so thrice.
        made = subnets.begin_create_or_update("rg", "shared", f"s{number}", body, retry_status=CLIENTS)
        return made.result().name or ""

    with ThreadPoolExecutor(CLIENTS) as pool:
        names = set(pool.map(add, range(CLIENTS)))
    assert {each.name for each in cloud.network.subnets.list("rg", "shared")} == names
    assert len(names) == CLIENTS
    cloud.network.virtual_networks.begin_delete("rg", "shared").result()


def test_mixed_writes_are_all_there_after_and_the_kernel_holds_what_the_store_says(cloud: Cloud) -> None:
    """The long form of this is `make soak`."""
    account = contend(cloud, CLIENTS, SECONDS)
    assert account.wrong == []
    assert {"nic", "subnet", "rule", "count_network", "contest"} <= set(account.written)
