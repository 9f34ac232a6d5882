"""Whatever clients do next to gateways and what these lead to: every answer is one that Azure could give, no answer has
a key in it, what is refused changes nothing, and a restart changes no answer.

``PODVNET_FUZZ_EXAMPLES`` asks for more sequences than every run makes, and others each time.
"""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from podvnet.fabric.arm.world import (
    CIRCUITS,
    CONNECTIONS,
    LOCAL_GATEWAYS,
    NETWORK_GATEWAYS,
    ON_PREMISES_SITES,
    PUBLIC_ADDRESSES,
    VIRTUAL_NETWORKS,
    Document,
    World,
    held_addresses,
)
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle_all
from podvnet.model.resource_id import Scope, make, parse
from podvnet.plan.parts import compile_fabric
from podvnet.testing.gateway_file import CIRCUIT_KEY, KEY, gateway_resources
from podvnet.testing.offline import OfflineApi

EXAMPLES = int(os.environ.get("PODVNET_FUZZ_EXAMPLES", "0"))
NEW_KEY = "drawnKey"
NAMES: dict[str, tuple[str, ...]] = {
    PUBLIC_ADDRESSES: ("gw", "spare"),
    VIRTUAL_NETWORKS: ("hub", "spoke"),
    NETWORK_GATEWAYS: ("vpn", "er"),
    LOCAL_GATEWAYS: ("office", "branch"),
    CONNECTIONS: ("to-office", "to-line"),
    CIRCUITS: ("line", "other"),
    ON_PREMISES_SITES: ("office", "branch"),
}
GROUP = f"/subscriptions/{Scope().subscription}/resourceGroups/{Scope().resource_group}"


def ref(full_type: str) -> st.SearchStrategy[Document]:
    return st.sampled_from([*NAMES[full_type], "none"]).map(lambda name: {"id": str(make(Scope(), full_type, name))})


def maybe(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    return st.fixed_dictionaries({}, optional=members)


def given(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


subnets = st.sampled_from(["hub/subnets/GatewaySubnet"] * 3 + ["spoke/subnets/GatewaySubnet", "hub/subnets/pods"]).map(
    lambda path: {"id": f"{GROUP}/providers/{VIRTUAL_NETWORKS}/{path}"}
)
configurations = st.lists(
    st.fixed_dictionaries(
        {
            "name": given("a", "b"),
            "properties": st.fixed_dictionaries(
                {"subnet": subnets}, optional={"publicIPAddress": ref(PUBLIC_ADDRESSES)}
            ),
        }
    ),
    min_size=1,
    max_size=2,
)
asns = given(65010, 65020, 65515, 12076, 0)
bgp = maybe(asn=asns, bgpPeeringAddress=given("192.168.255.1", "192.168.255.2", "10.0.255.30", "169.254.21.5", "x"))
policies = st.lists(
    st.fixed_dictionaries(
        {
            "saLifeTimeSeconds": given(300, 3600),
            "saDataSizeKilobytes": given(1024),
            "ipsecEncryption": given("AES256", "GCMAES256", "None"),
            "ipsecIntegrity": given("SHA256", "GCMAES256"),
            "ikeEncryption": given("AES256"),
            "ikeIntegrity": given("SHA384", "GCMAES256"),
            "dhGroup": given("ECP384", "None"),
        },
        optional={"pfsGroup": given("PFS24", "None")},
    ),
    max_size=1,
)
prefixes = st.lists(given("192.168.0.0/16", "192.168.128.0/17", "0.0.0.0/0", "10.0.0.0/8", "fd00::/8"), max_size=2)
addresses = given("198.51.100.20", "198.51.100.21", "192.0.2.1", "10.0.0.4")
peerings = st.fixed_dictionaries(
    {
        "peerASN": asns,
        "primaryPeerAddressPrefix": given("172.16.1.0/30", "172.16.1.0/29"),
        "secondaryPeerAddressPrefix": given("172.16.1.4/30", "172.16.1.0/30"),
        "vlanId": given(100, 5000),
    },
    optional={"sharedKey": given(NEW_KEY, ""), "state": given("Enabled", "Disabled")},
)
tunnels = st.lists(
    st.fixed_dictionaries(
        {"name": given("azure", "b")},
        optional={
            "publicIPAddress": ref(PUBLIC_ADDRESSES),
            "remoteAddress": addresses,
            "sharedKey": given(NEW_KEY),
            "bgp": st.booleans(),
            "remotePrefixes": prefixes,
            "ipsecPolicies": policies,
        },
    ),
    max_size=2,
)
provider = {"serviceProviderName": "Equinix", "peeringLocation": "Seattle"}

PROPERTIES: dict[str, st.SearchStrategy[Document]] = {
    PUBLIC_ADDRESSES: maybe(publicIPAddressVersion=given("IPv4", "IPv6")),
    NETWORK_GATEWAYS: st.fixed_dictionaries(
        {
            "gatewayType": given("Vpn", "ExpressRoute"),
            "sku": given("VpnGw1", "VpnGw2AZ", "ErGw1AZ", "Basic").map(lambda name: {"name": name}),
            "ipConfigurations": configurations,
        },
        optional={"enableBgp": st.booleans(), "activeActive": st.booleans(), "bgpSettings": maybe(asn=asns)},
    ),
    LOCAL_GATEWAYS: maybe(
        gatewayIpAddress=addresses,
        fqdn=given("office.example", "no.example"),
        localNetworkAddressSpace=st.fixed_dictionaries({"addressPrefixes": prefixes}),
        bgpSettings=bgp,
    ),
    CONNECTIONS: st.fixed_dictionaries(
        {
            "connectionType": given("IPsec", "Vnet2Vnet", "ExpressRoute"),
            "virtualNetworkGateway1": ref(NETWORK_GATEWAYS),
        },
        optional={
            "virtualNetworkGateway2": ref(NETWORK_GATEWAYS),
            "localNetworkGateway2": ref(LOCAL_GATEWAYS),
            "peer": ref(CIRCUITS),
            "sharedKey": given(NEW_KEY),
            "enableBgp": st.booleans(),
            "ipsecPolicies": policies,
        },
    ),
    CIRCUITS: st.fixed_dictionaries(
        {"serviceProviderProperties": given(100, 200, 500).map(lambda wide: provider | {"bandwidthInMbps": wide})},
        optional={
            "peerings": st.lists(
                peerings.map(lambda inner: {"name": "AzurePrivatePeering", "properties": inner}), max_size=1
            ),
            "authorizations": st.lists(given("given", "x").map(lambda name: {"name": name}), max_size=2),
        },
    ),
    ON_PREMISES_SITES: maybe(
        publicAddress=addresses,
        fqdn=given("office.example"),
        addressPrefixes=prefixes,
        asn=asns,
        bgpAddress=given("192.168.255.1"),
        tunnels=tunnels,
        circuits=st.lists(ref(CIRCUITS), max_size=1),
        circuitSharedKey=given(NEW_KEY, ""),
        hosts=st.lists(
            given("192.168.0.10", "192.168.0.1").map(lambda each: {"name": "h", "address": each}), max_size=1
        ),
    ),
}
kinds = st.sampled_from(list(PROPERTIES)).flatmap(lambda kind: st.tuples(st.just(kind), st.sampled_from(NAMES[kind])))


class Api(RuleBasedStateMachine):
    """Clients of one fabric with gateways."""

    def __init__(self) -> None:
        super().__init__()
        self.api = OfflineApi()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """A request whose answer has no key in it."""
        status, answer = self.api.ask(method, path, body, **headers)
        text = json.dumps(answer)
        assert not any(key in text for key in (KEY, CIRCUIT_KEY, NEW_KEY)), (method, path)
        return status, answer

    def write(self, method: str, path: str, body: object = None) -> None:
        """A request that is taken, or refused and changes nothing."""
        before = dict(self.api.world.documents)
        status, answer = self.ask(method, path, body)
        if status < 400:
            event(f"{method} taken: {path.rsplit('/', 2)[1]}")
            return
        assert status in {400, 404, 409}, (status, answer)
        assert self.api.world.documents == before
        event(f"{method} refused: {answer['error']['code']}")

    @initialize()
    def found(self) -> None:
        assert self.ask("PUT", GROUP, {"location": "local"})[0] == 201
        world = settle_all(gateway_resources(), World(), set()).world
        waiting = gateway_resources()
        for each in waiting:
            if each["type"] == VIRTUAL_NETWORKS:
                alone = {key: value for key, value in each["properties"].items() if key != "virtualNetworkPeerings"}
                assert self.ask("PUT", each["id"], _body(each) | {"properties": alone})[0] == 201
        # As one who types them in whatever order: what is refused now is tried again.
        for _ in range(len(waiting)):
            waiting = [each for each in waiting if self.ask("PUT", each["id"], _body(each))[0] >= 400]
        assert waiting == []
        assert self.api.world.documents.keys() == world.documents.keys()

    @rule(data=st.data(), kind=kinds)
    def put(self, data: st.DataObject, kind: tuple[str, str]) -> None:
        body = {"location": "local", "properties": data.draw(PROPERTIES[kind[0]])}
        self.write("PUT", str(make(Scope(), *kind)), body)

    @rule(data=st.data(), kind=kinds)
    def change(self, data: st.DataObject, kind: tuple[str, str]) -> None:
        status, shown = self.ask("GET", str(make(Scope(), *kind)))
        if status == 200:
            drawn = data.draw(PROPERTIES[kind[0]])
            member = data.draw(st.sampled_from(sorted(drawn) or ["x"]))
            shown["properties"] |= {member: drawn.get(member)}
            self.write("PUT", shown["id"], shown)

    @rule(kind=kinds)
    def delete(self, kind: tuple[str, str]) -> None:
        self.write("DELETE", str(make(Scope(), *kind)))

    @rule(kind=kinds)
    def put_what_is_shown(self, kind: tuple[str, str]) -> None:
        path = str(make(Scope(), *kind))
        status, shown = self.ask("GET", path)
        if status == 200:
            before = self.api.world.documents[path.lower()]
            assert self.ask("PUT", path, shown) == (200, shown)
            assert self.api.world.documents[path.lower()] == before, "keys are as they were"

    @rule(inner=peerings)
    def peer(self, inner: Document) -> None:
        path = f"{make(Scope(), CIRCUITS, 'line')}/peerings/AzurePrivatePeering"
        self.write("PUT", path, {"properties": inner})

    @rule(first=st.booleans(), second=st.booleans())
    def lend(self, first: bool, second: bool) -> None:
        for one, two, flags in (
            ("hub", "spoke", {"allowGatewayTransit": first}),
            ("spoke", "hub", {"useRemoteGateways": second}),
        ):
            path = f"{make(Scope(), VIRTUAL_NETWORKS, one)}/virtualNetworkPeerings/to-{two}"
            remote = {"remoteVirtualNetwork": {"id": str(make(Scope(), VIRTUAL_NETWORKS, two))}}
            self.write("PUT", path, {"properties": remote | flags})

    @invariant()
    def the_store_is_whole(self) -> None:
        world = self.api.world
        held = [place[:2] for document in world.documents.values() for place in held_addresses(document)]
        assert len(set(held)) == len(held), "no private address twice"
        rebuilt = World()
        for document in world.documents.values():
            rebuilt.put(document)
        assert rebuilt == world, "the indexes are what the documents say"
        for target, users in world.referrers.items():
            if world.find(parse(target)) is None:
                assert all("/virtualnetworkpeerings/" in user for user in users), target

    @invariant()
    def the_network_is_what_the_documents_say(self) -> None:
        wanted = compile_fabric(IntentReader().read(self.api.world))
        assert self.api.program == {label: set(objects) for label, objects in wanted.items()}

    def answers(self) -> list[tuple[int, Any]]:
        paths = [str(make(Scope(), kind, name)) for kind, names in NAMES.items() for name in names]
        return [self.ask("GET", path) for path in (f"{GROUP}/resources", *paths)]

    def teardown(self) -> None:
        before = self.answers()
        self.api.restart()
        assert self.answers() == before, "a restart changes no answer"
        self.api.close()


def _body(document: Document) -> Document:
    return {key: value for key, value in document.items() if key not in {"id", "name", "type"}}


TestApi = Api.TestCase
TestApi.settings = settings(
    max_examples=EXAMPLES or 6,
    stateful_step_count=25,
    derandomize=not EXAMPLES,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
