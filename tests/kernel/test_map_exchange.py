"""No packet misses a chain with a map while that is exchanged for another."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from podvnet.linux import namespace, ruleset
from podvnet.linux.executor import Executor
from podvnet.model.kernel import Chain, Junction, Step
from podvnet.plan.names import TABLE
from podvnet.testing.lab import execute

LABEL = "map-exchange-test"
EXCHANGES = 60
LONG_WAY = "\t\tudp dport 1 drop\n" * 200
"""What packets pass before they come to the map: by one transaction instead of two, some of them would miss it."""
RULES = f"""
table inet {TABLE} {{
	counter missed {{ }}
	counter met {{ }}
	chain junction {{ }}
	chain come {{
		type filter hook input priority filter; policy accept;
		meta l4proto udp jump junction
		meta l4proto udp counter name missed
	}}
}}
"""
FLOOD = """
import socket
receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
receiver.bind(("127.0.0.1", 7001))
sender.connect(receiver.getsockname())
while True:
    sender.send(b"")
"""


@pytest.fixture
def place() -> Iterator[int]:
    """A namespace in which datagrams flow as fast as they can."""
    namespace.create(LABEL)
    execute("ip", "-n", LABEL, "link", "set", "lo", "up")
    with namespace.opened(LABEL) as descriptor:
        with namespace.entered(descriptor):
            ruleset.run(RULES)
            flood = subprocess.Popen([sys.executable, "-c", FLOOD])
        yield descriptor
        flood.kill()
        flood.wait()
    namespace.delete(LABEL)


def exchanged(number: int, *, add: bool) -> list[Step]:
    chosen = f"\t\tjhash udp sport mod 2 seed {number} vmap {{ 0 : accept, 1 : accept }}\n"
    chain = Chain(TABLE, f"c{number}", "\t\tcounter name met\n" + LONG_WAY + chosen)
    return [Step(add, LABEL, chain), Step(add, LABEL, Junction(TABLE, "junction", chain.name, declared=True))]


def test_no_packet_misses_a_map_that_is_exchanged(place: int) -> None:
    executor = Executor()
    executor.apply(exchanged(0, add=True))
    with namespace.entered(place):
        ruleset.run(f"reset counters table inet {TABLE}")
    for number in range(EXCHANGES):
        executor.apply([*exchanged(number, add=False), *exchanged(number + 1, add=True)])
    executor.close()
    with namespace.entered(place):
        text = ruleset.run(f"list counters table inet {TABLE}")
    missed, met = (int(each) for each in re.findall(r"packets (\d+)", text))
    assert met > EXCHANGES
    assert missed == 0
