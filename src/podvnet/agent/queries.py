"""The agent's own API: what may be asked on its socket beside the verbs of CNI.

========  =====================================================  ======================================================
query     stdin                                                  answer
========  =====================================================  ======================================================
status                                                           how the agent stands
metrics                                                          what it measures: Prometheus' text, no JSON
asks                                                             what is asked for pods: see ``PodGrants.report``
ask       ``{"pod": "namespace/name", "ifname": "eth0",          the same for this pod, once it is noted on disk
          "ask": {…}}``
release   ``{"pod": "namespace/name", "ifname": "eth0"}``        the same for this pod
========  =====================================================  ======================================================

Other answers are JSON; a refusal is the error object of CNI. Only root may open the socket.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from podvnet.agent.pod_grants import PodGrants
from podvnet.model.pod_ask import PodAsk
from podvnet.plugin.document import Document, decode
from podvnet.plugin.error import CniError, Code, quoted
from podvnet.plugin.pod_ask import parse_ask

_IFNAME = "eth0"


class Queries:
    """For the agent's one thread.

    Args:
        report: says how the agent stands, as JSON.
        metrics: says what it measures.
        grants: None when the agent asks nothing of the resource manager.
    """

    def __init__(self, report: Callable[[], bytes], metrics: Callable[[], str], grants: PodGrants | None) -> None:
        self._report = report
        self._metrics = metrics
        self._grants = grants

    def answer(self, query: str, stdin: bytes) -> bytes:
        """Answer one query.

        Raises:
            CniError: it is not understood, or refused.
        """
        if query == "status":
            return self._report()
        if query == "metrics":
            return self._metrics().encode()
        if query not in {"asks", "ask", "release"}:
            raise CniError(
                Code.BAD_ENVIRONMENT, f"{quoted(query)} is no query", "ask status, metrics, asks, ask or release"
            )
        if self._grants is None:
            raise CniError(
                Code.UNSUPPORTED_FIELD,
                "this VM's agent asks nothing of the resource manager for pods",
                "run the agent with --pool-source arm",
            )
        if query == "asks":
            return _rendered(self._grants.report())
        document = Document(decode(stdin))
        pod, ifname = document.text("pod"), document.text("ifname") or _IFNAME
        if not pod.rpartition("/")[2]:
            raise CniError(Code.INVALID_CONFIG, f"pod {quoted(pod)} is no name", "write it namespace/name")
        if query == "ask":
            self._ask(pod, ifname, parse_ask(document.child("ask")))
        elif not self._grants.reservations.give_up(pod, ifname):
            raise CniError(
                Code.UNKNOWN_CONTAINER, f"nothing is asked for {ifname} of {pod}", "`podvnet pod asks` lists what is"
            )
        return _rendered([each for each in self._grants.report() if (each["pod"], each["ifname"]) == (pod, ifname)])

    def _ask(self, pod: str, ifname: str, ask: PodAsk | None) -> None:
        if ask is None or self._grants is None:
            raise CniError(Code.INVALID_CONFIG, f"nothing is asked for {pod}", "say what: groups, an address, …")
        self._grants.reservations.reserve(pod, ifname, ask)


def _rendered(found: list[dict[str, Any]]) -> bytes:
    return json.dumps(found).encode()
