"""Ends the established flows that a change takes away the ground of. All others go on."""

from __future__ import annotations

from functools import partial

import structlog

from podvnet.fabric.dataplane.interface import Dataplane
from podvnet.model.flow import Flow
from podvnet.model.intent import Intent
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names
from podvnet.plan.ended_flows import flushed_networks, refused
from podvnet.plan.evaluate import Evaluator
from podvnet.plan.rerouted_flows import is_rerouted, rerouted
from podvnet.plan.stranded_flows import is_stranded, stranded

_log = structlog.get_logger()


def end_flows(before: Intent, evaluator: Evaluator, dataplane: Dataplane) -> None:
    """End the flows that groups with ``flushConnection``, load balancers or service endpoints do not allow any more.

    Args:
        before: what was the case when flows were last ended.
        evaluator: of what is the case now.
        dataplane: carries that out already.
    """
    now = evaluator.intent
    for network in flushed_networks(before, now):

        def refuse(flows: list[Flow], network: ResourceId = network) -> set[Flow]:
            return refused(flows, network, evaluator)

        ended = dataplane.end_flows(names.network_namespace(network), refuse)
        _log.info("flows_ended", network=network.name, count=ended)
    for network, ways in stranded(before, now).items():
        label, came = names.network_namespace(network), partial(is_stranded, ways=ways)
        _log.info("flows_forgotten", network=network.name, count=dataplane.forget_flows(label, came))
    for network, stretches in rerouted(before, now).items():
        label, goes = names.network_namespace(network), partial(is_rerouted, stretches=stretches)
        _log.info("flows_rerouted", network=network.name, count=dataplane.forget_flows(label, goes))
