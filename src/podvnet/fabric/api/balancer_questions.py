"""What can be asked of a load balancer: who behind a rule is healthy, which ports lead to a member.

Both are answered 202 and polled, as in Azure, though the answer is there at once.
Sources: Azure REST reference "Load Balancers" of Microsoft.Network; Azure document "Manage Azure Load Balancer health
status", which has the states and reasons.
"""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from podvnet.fabric.api.answers import answer
from podvnet.fabric.api.operations import Operations, Outcome
from podvnet.fabric.api.request_body import read_body
from podvnet.fabric.api.resources import Resources
from podvnet.fabric.api.target import Target
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.nat_ports import port_mappings
from podvnet.fabric.arm.world import LOAD_BALANCERS, Document, addresses_of
from podvnet.fabric.engine import Fabric
from podvnet.fabric.turn import Turn
from podvnet.model.load_balancer import AdminState, BalancingRule, LoadBalancer, ProbeProtocol
from podvnet.model.resource_id import ResourceId, Scope, parse
from podvnet.plan.backends import Backends, Member

_HEALTH = f"{LOAD_BALANCERS}/loadBalancingRules/health".lower()
_MAPPING = f"{LOAD_BALANCERS}/backendAddressPools/queryInboundNatRulePortMapping".lower()
_CONFIGURATIONS = "Microsoft.Network/networkInterfaces/ipConfigurations"


class BalancerQuestions:
    """The questions of load balancers.

    Args:
        fabric, turn: the engine.
        resources: where load balancers are found.
        operations: what clients poll.
    """

    def __init__(self, fabric: Fabric, turn: Turn, resources: Resources, operations: Operations) -> None:
        self._fabric = fabric
        self._turn = turn
        self._resources = resources
        self._operations = operations

    async def answer(self, request: Request, target: Target) -> Response | None:
        """The answer; None for what is not here.

        Raises:
            ArmError: what is asked about is not there, or the question is malformed.
        """
        question = target.full_type.lower()
        if request.method != "POST" or question not in {_HEALTH, _MAPPING}:
            return None
        if question == _HEALTH:
            found = await self._turn.take(lambda: self._health(target))
        else:
            body = await read_body(request)
            found = await self._turn.take(lambda: self._mappings(target, body))
        extra = self._operations.headers(request, target.subscription, Outcome("Succeeded", body=found), location=True)
        del extra["Azure-AsyncOperation"]
        return answer(request, status=HTTPStatus.ACCEPTED, extra=extra)

    def _part(self, target: Target) -> ResourceId:
        """The rule or pool that is asked about.

        Raises:
            ArmError: it is not there.
        """
        asked = Target(target.subscription, target.group, target.provider, target.segments[:4])
        view, _ = self._resources.get(asked)
        return parse(view["id"])

    def _health(self, target: Target) -> Document:
        part = self._part(target)
        intent = self._fabric.intent
        balancer = intent.load_balancers[part.top.key]
        rule = next(each for each in balancer.rules if each.id.key == part.key)
        backends = Backends(intent)
        frontend = next(each for each in balancer.frontends if each.id == rule.frontend)
        versions = {address.version for address in backends.addresses(frontend)}
        receivers = {each.address for version in versions for each in backends.receivers(balancer, rule, version)}
        members = [
            each for each in (backends.members(rule.pool) if rule.pool else ()) if each.address.version in versions
        ]
        return {
            "up": len(receivers),
            "down": len(members) - len(receivers),
            "loadBalancerBackendAddresses": [
                _shown(backends, balancer, rule, each, up=each.address in receivers) for each in members
            ],
        }

    def _mappings(self, target: Target, body: Any) -> Document:
        pool = self._part(target)
        balancer = self._resources.top(target)
        fields = Fields(body, "", str(pool))
        if fields.has("ipConfiguration"):
            scope = Scope(target.subscription, target.group)
            wanted = fields.reference("ipConfiguration", scope, _CONFIGURATIONS)
            configuration = self._fabric.world.find(wanted)
            if configuration is None:
                raise fields.error("InvalidResourceReference", f"there is no {wanted}", "ipConfiguration")
            addresses = addresses_of(configuration)
        else:
            text = fields.required("ipAddress")
            try:
                addresses = (ip_address(text),)
            except ValueError:
                raise fields.error("InvalidRequestFormat", f"{text!r} is no address", "ipAddress") from None
        mappings = [each for address in addresses for each in port_mappings(balancer, pool.key, address)]
        return {"inboundNatRulePortMappings": mappings}


def _shown(backends: Backends, balancer: LoadBalancer, rule: BalancingRule, member: Member, *, up: bool) -> Document:
    found: Document = {"ipAddress": str(member.address), "state": "Up" if up else "Down"}
    found["reason"] = _reason(backends, balancer, rule, member, up=up)
    if member.nic:
        name = next(each.name for each in member.nic.ip_configurations if each.address == member.address)
        found["networkInterfaceIPConfigurationId"] = str(member.nic.id.child("ipConfigurations", name))
    return found


def _reason(backends: Backends, balancer: LoadBalancer, rule: BalancingRule, member: Member, *, up: bool) -> str:
    """Why a member is thought so of; of one that fails its probe, the reason that is likely by the probe's protocol."""
    if member.state is not AdminState.NONE:
        return f"{'Up' if up else 'Down'}_Admin"
    probe = next((each for each in balancer.probes if each.id == rule.probe), None)
    if probe is None or backends.is_healthy(probe, member):
        return "Up_Probe_Success"
    if up:
        return "Up_Probe_AllDownIsUp"
    is_tcp = probe.protocol is ProbeProtocol.TCP
    return "Down_Probe_TcpProbeTimeout" if is_tcp else "Down_Probe_HttpEndpointUnreachable"
