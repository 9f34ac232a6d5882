"""The metrics as text, the server that gives them, and what an agent that is in no cluster does not import."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from podvnet.agent.address_watch import AddressWatch
from podvnet.agent.ledger_record import PoolCount
from podvnet.agent.metrics import Readings, render
from podvnet.agent.metrics_server import MetricsServer
from podvnet.agent.pool_growth import Prospect
from podvnet.agent.request_tally import RequestTally
from podvnet.model.exposition import CONTENT_TYPE
from podvnet.plan.address_pressure import AddressFigures


def readings(tally: RequestTally, **more: object) -> Readings:
    pools = {4: PoolCount(20, 5, 2, 0, 0), 6: PoolCount(0, 0, 0, 0, 0)}
    options = {"dropped": {"spoofed": 3}, "writes": 7, "asks": {"granted": 1}, "cluster": False} | more
    return Readings(True, pools, AddressFigures(250, 5), False, {"attached": 5}, tally, **options)  # type: ignore[arg-type]


def test_the_text_is_prometheus() -> None:
    tally = RequestTally()
    for seconds in (0.0005, 0.001, 0.02, 99.0):
        tally.note("ADD", 0, seconds)
    tally.note("ADD", 101, 5.0)
    lines = render(readings(tally)).splitlines()
    assert 'podvnet_pool_addresses{family="4",state="free"} 13' in lines
    assert 'podvnet_requests_total{command="ADD",code="101"} 1' in lines
    assert 'podvnet_request_seconds_bucket{command="ADD",le="0.001"} 2' in lines
    assert 'podvnet_request_seconds_bucket{command="ADD",le="30"} 4' in lines
    assert 'podvnet_request_seconds_bucket{command="ADD",le="+Inf"} 5' in lines
    assert 'podvnet_request_seconds_sum{command="ADD"} 104.0215' in lines
    assert 'podvnet_dropped_packets_total{reason="spoofed"} 3' in lines
    assert {"podvnet_ready 1", "podvnet_pool_writes_total 7", "podvnet_kubernetes_followed 0"} <= set(lines)
    described = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(described) == len(set(described))
    samples = {line.partition("{")[0].partition(" ")[0] for line in lines if not line.startswith("#")}
    assert {name.removesuffix(end) for name in samples for end in ("_bucket", "_sum", "_count")} >= set(described)


def test_what_an_agent_has_not_it_does_not_measure() -> None:
    text = render(readings(RequestTally(), writes=None, asks=None, cluster=None))
    assert not any(name in text for name in ("pool_writes", "podvnet_asks", "kubernetes"))


@pytest.fixture(params=["127.0.0.1", "::1"])
def served(request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    host = str(request.param)
    place = f"[{host}]" if ":" in host else host
    server = MetricsServer((host, 0), lambda: "podvnet_ready 1\n", lambda task: task())
    server.start()

    def ask(path: str) -> str:
        with urllib.request.urlopen(f"http://{place}:{server.port}{path}", timeout=10) as answer:
            assert answer.headers["Content-Type"] == CONTENT_TYPE
            return str(answer.read().decode())

    yield ask
    server.stop()
    server._thread.join(10)


def test_the_server_gives_the_text_and_nothing_else(served: Callable[[str], str]) -> None:
    assert served("/metrics") == served("/metrics?a=b") == "podvnet_ready 1\n"
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        served("/")
    refused.value.close()


def test_addresses_are_followed_as_they_come_and_go() -> None:
    watch = AddressWatch()
    watch.see(PoolCount(16, 10, 0, 0, 0), 250, Prospect(growing=True))
    assert (watch.figures.limit, watch.low) == (250, False)
    watch.see(PoolCount(16, 14, 0, 0, 0), 250, Prospect(growing=False))
    assert (watch.figures.limit, watch.low) == (16, True)
    watch.see(PoolCount(16, 12, 0, 0, 0), 0, Prospect())
    assert watch.low, "four are left, which is not yet far from two"
    watch.heard(low=True, pods=16)
    watch.see(PoolCount(16, 12, 0, 0, 0), 0, Prospect())
    assert not watch.low, "kubelet stops first"


def test_an_agent_that_is_in_no_cluster_imports_nothing_that_speaks_to_one() -> None:
    code = (
        "import sys, podvnet.agent.process; print([name for name in sys.modules if name in"
        " ('podvnet.kube.node_api', 'podvnet.agent.kubernetes', 'podvnet.agent.metrics', 'http.server', 'yaml')"
        " or name.startswith(('kubernetes_asyncio', 'aiohttp', 'azure.identity'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
