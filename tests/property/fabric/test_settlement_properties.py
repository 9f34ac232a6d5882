"""Whatever a file wants next, the world stays whole, and the kernel follows it.

The kernel is a model here: links take with them what hangs on them, a namespace that goes keeps its cables until
they are removed, and a name, an index or a destination can be had once only.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from podvnet.fabric.arm.subnets import prefixes_of
from podvnet.fabric.arm.world import (
    INTERNET_HOSTS,
    NETWORK_INTERFACES,
    OUTBOUND_POOL,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
    World,
    shown,
)
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle_all
from podvnet.fabric.store import Store
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.kernel import (
    LOOPBACK,
    BridgeEntry,
    Dispatch,
    Element,
    InterfaceAddress,
    KernelObject,
    LinkUp,
    Neighbour,
    NetworkNamespace,
    Program,
    Route,
    Step,
    VethPair,
)
from podvnet.model.resource_id import Scope, make
from podvnet.model.subnet import is_reserved
from podvnet.plan.change import difference
from podvnet.plan.parts import compile_fabric

NETWORKS, SUBNETS, NICS, MACHINES = ("hub", "spoke"), ("a", "b"), ("n0", "n1", "n2", "n3"), ("m0", "m1", "m2")


def document(full_type: str, name: str, properties: Document) -> Document:
    return {
        "id": str(make(Scope(), full_type, name)),
        "name": name,
        "type": full_type,
        "location": "local",
        "properties": properties,
    }


def mostly(likely: st.SearchStrategy[Any], unlikely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 11).flatmap(lambda number: unlikely if number == 11 else likely)


@st.composite
def networks(draw: st.DrawFn, name: str) -> Document:
    """Both networks may have the same addresses; a subnet of eight addresses holds three."""
    subnets = []
    for position, subnet in enumerate(SUBNETS):
        if not draw(st.integers(0, 9)):
            continue
        four = draw(
            mostly(st.just(f"10.0.{position}.0/29"), st.sampled_from(["10.0.0.0/28", "10.0.9.0/24", "10.1.0.0/24"]))
        )
        prefixes = [four, *([f"fd00:0:0:{position}::/64"] if draw(st.booleans()) else [])]
        subnets.append(
            {
                "name": draw(st.sampled_from([subnet, subnet, subnet.upper()])),
                "properties": {"addressPrefixes": prefixes, "defaultOutboundAccess": draw(st.booleans())},
            }
        )
    space = {"addressPrefixes": ["10.0.0.0/16", "fd00::/56"]}
    return document(VIRTUAL_NETWORKS, name, {"addressSpace": space, "subnets": subnets})


@st.composite
def nics(draw: st.DrawFn, name: str) -> Document:
    network = draw(mostly(st.just("hub"), st.sampled_from(["spoke", "HUB", "none"])))
    position = draw(st.integers(0, 1))
    configs = []
    names = draw(st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True))
    for first, config in zip((True, False, False), names, strict=False):
        properties: Document = {"subnet": {"id": f"virtualNetworks/{network}/subnets/{SUBNETS[position]}"}}
        if first:
            properties["primary"] = True
        elif not draw(st.integers(0, 3)):
            properties["privateIPAddressVersion"] = "IPv6"
        if not draw(st.integers(0, 2)):
            last = draw(mostly(st.integers(4, 6), st.integers(0, 9)))
            six = "privateIPAddressVersion" in properties
            text = f"fd00:0:0:{position}::{last}" if six else f"10.0.{position}.{last}"
            properties |= {"privateIPAllocationMethod": "Static", "privateIPAddress": text}
        configs.append({"name": config, "properties": properties})
    forwarding = draw(st.booleans())
    shuffled = draw(st.permutations(configs))
    return document(NETWORK_INTERFACES, name, {"ipConfigurations": shuffled, "enableIPForwarding": forwarding})


@st.composite
def wanted_sets(draw: st.DrawFn) -> list[Document]:
    wanted = [draw(networks(name)) for name in NETWORKS if draw(st.integers(0, 9)) or name == "hub"]
    chosen = draw(st.lists(st.sampled_from(NICS), min_size=2, max_size=4, unique=True))
    wanted += [draw(nics(name)) for name in chosen]
    free = list(chosen)
    for name in draw(st.lists(st.sampled_from(MACHINES), min_size=1, max_size=3, unique=True)):
        taken = draw(st.lists(st.sampled_from(free or NICS), min_size=1, max_size=2, unique=True))
        if draw(st.integers(0, 11)):
            free = [nic for nic in free if nic not in taken]
        entries = [
            {"id": f"networkInterfaces/{nic}", "properties": {"primary": place == 0}} for place, nic in enumerate(taken)
        ]
        wanted.append(document(VIRTUAL_MACHINES, name, {"networkProfile": {"networkInterfaces": entries}}))
    if draw(st.booleans()):
        address = draw(st.sampled_from(["198.51.100.1", "8.8.8.8", "10.0.0.1"]))
        wanted.append(document(INTERNET_HOSTS, "host", {"address": address}))
    return list(draw(st.permutations(wanted)))


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

HISTORIES = st.lists(wanted_sets(), min_size=2, max_size=5)


def grown(history: list[list[Document]]) -> list[World]:
    """The worlds that a history goes through. What is refused is taken out of the set until the rest is taken."""
    worlds = [World()]
    for wanted in history:
        world = worlds[-1]
        rest: list[Document] | None = wanted
        before = world.copy()
        while rest is not None:
            refused: set[str] = set()
            try:
                worlds.append(settle_all(rest, world, set(world.documents)).world)
            except ArmErrorsError as refusal:
                refused = {f"{error.target}/".lower() for error in refusal.errors}
            assert world == before, "a world is never changed in place"
            kept = [each for each in rest if not any(target.startswith(f"{each['id']}/".lower()) for target in refused)]
            rest = kept if refused and len(kept) < len(rest) else None
    event(f"{sum(len(world.documents) for world in worlds) // 5 * 5}+ resources in {len(worlds) - 1} worlds")
    return worlds


def of_type(world: World, full_type: str) -> list[Document]:
    return list(world.of_type(full_type))


def check_addresses(world: World) -> None:
    holders: dict[str, dict[Any, str]] = {}
    for nic in of_type(world, NETWORK_INTERFACES):
        primaries = 0
        for config in nic["properties"]["ipConfigurations"]:
            properties = config["properties"]
            address, subnet_id = ip_address(properties["privateIPAddress"]), properties["subnet"]["id"]
            network = world.documents[subnet_id.rsplit("/", 2)[0].lower()]
            subnet = next(each for each in network["properties"]["subnets"] if each["id"] == subnet_id)
            prefix = next(each for each in prefixes_of(subnet) if each.version == address.version)
            assert address in prefix
            assert not is_reserved(prefix, address)
            assert address not in holders.get(subnet_id.lower(), {}), "no address twice in a subnet"
            holders.setdefault(subnet_id.lower(), {})[address] = config["id"]
            primaries += properties["primary"]
        assert primaries == 1
    assert world.holders == holders, "the index agrees with the documents"


def check_references(world: World) -> None:
    placed = {}
    for machine in of_type(world, VIRTUAL_MACHINES):
        entries = machine["properties"]["networkProfile"]["networkInterfaces"]
        assert [each["properties"]["primary"] for each in entries] == [True] + [False] * (len(entries) - 1)
        for entry in entries:
            assert entry["id"] not in placed, "a NIC is on one VM"
            placed[entry["id"]] = machine["id"]
    assert {entry.lower() for entry in placed} <= world.documents.keys()
    for nic in of_type(world, NETWORK_INTERFACES):
        assert nic["properties"].get("virtualMachine", {}).get("id") == placed.get(nic["id"])


def check_numbers(world: World) -> None:
    for full_type in (VIRTUAL_NETWORKS, NETWORK_INTERFACES):
        numbers = [each["_fabric"]["number"] for each in of_type(world, full_type)]
        assert len(set(numbers)) == len(numbers)
    outbound = [
        each["_fabric"]["outbound"] for each in of_type(world, NETWORK_INTERFACES) if "outbound" in each["_fabric"]
    ]
    assert len(set(outbound)) == len(outbound)
    assert all(ip_address(text) in OUTBOUND_POOL for text in outbound)


@unhurried
@given(HISTORIES)
def test_the_world_stays_whole(history: list[list[Document]]) -> None:
    for world in grown(history):
        check_addresses(world)
        check_references(world)
        check_numbers(world)


@unhurried
@given(HISTORIES)
def test_settling_what_is_shown_changes_nothing(history: list[list[Document]]) -> None:
    world = grown(history)[-1]
    again = settle_all([shown(each) for each in world.documents.values()], world, set(world.documents))
    assert again.changes == ()
    assert again.world == world


@unhurried
@given(HISTORIES)
def test_addresses_are_kept(history: list[list[Document]]) -> None:
    """An ip-configuration that stays in its subnet keeps its address, unless a static one is put on it."""

    def held(world: World) -> dict[tuple[str, str], str]:
        return {
            (config["id"].lower(), config["properties"]["subnet"]["id"].lower()): config["properties"][
                "privateIPAddress"
            ]
            for nic in world.of_type(NETWORK_INTERFACES)
            for config in nic["properties"]["ipConfigurations"]
        }

    worlds = grown(history)
    for before, after in pairwise(worlds):
        static = {
            (config["properties"]["subnet"]["id"].lower(), config["properties"]["privateIPAddress"])
            for nic in after.of_type(NETWORK_INTERFACES)
            for config in nic["properties"]["ipConfigurations"]
            if config["properties"]["privateIPAllocationMethod"] == "Static"
        }
        old = held(before)
        for (config, subnet), address in held(after).items():
            earlier = old.get((config, subnet), address)
            same_version = ip_address(earlier).version == ip_address(address).version
            assert earlier == address or not same_version or {(subnet, earlier), (subnet, address)} & static


@settings(unhurried, max_examples=25)
@given(HISTORIES)
def test_the_store_gives_the_same_world_back(history: list[list[Document]]) -> None:
    worlds = grown(history)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "fabric.db"
        store = Store(path)
        for before, after in pairwise(worlds):
            # As the engine writes a change.
            with store.transaction():
                store.remove(before.documents.keys() - after.documents.keys())
                store.write(
                    (each for key, each in after.documents.items() if each is not before.documents.get(key)), "file"
                )
        store.close()
        store = Store(path)
        again, origins = store.load()
        store.close()
    assert again == worlds[-1]
    assert origins == dict.fromkeys(worlds[-1].documents, "file")


def program_of(world: World) -> Program:
    return compile_fabric(IntentReader().read(world))


def check_program(program: Program) -> None:
    """What a namespace can hold once only is there once."""
    ends: Counter[tuple[str, str]] = Counter()
    for place, objects in program.items():
        assert NetworkNamespace() in objects
        for pair in objects:
            if isinstance(pair, VethPair):
                assert pair.peer_namespace in program
                ends.update([(place, str(pair.index)), (place, pair.name)])
                ends.update([(pair.peer_namespace, str(pair.peer_index)), (pair.peer_namespace, pair.peer_name)])
    indexes = {end for end in ends if end[1].isdigit()}
    for place, objects in program.items():
        routes = Counter((each.table, each.destination) for each in objects if isinstance(each, Route))
        addresses = Counter(
            (each.interface.ip, each.index if each.interface.is_link_local else 0)
            for each in objects
            if isinstance(each, InterfaceAddress)
        )
        keys = Counter((each.family, each.set, each.key) for each in objects if isinstance(each, Element))
        for counted in (routes, addresses, keys):
            assert not counted or max(counted.values()) == 1
        for each in objects:
            if isinstance(each, LinkUp | InterfaceAddress | Route | Neighbour) and each.index != LOOPBACK:
                assert (place, str(each.index)) in indexes, f"{each} is on a link that is there"
    assert not ends or max(ends.values()) == 1


class Kernel:
    """Namespaces that hold objects, with the consequences that the real ones have."""

    def __init__(self) -> None:
        self.namespaces: dict[str, set[KernelObject]] = {}
        self.ends: dict[tuple[str, int], VethPair] = {}

    def program(self) -> Program:
        return {name: frozenset(objects) for name, objects in self.namespaces.items()}

    def apply(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if step.add:
                self.add(step.namespace, step.object)
            else:
                self.remove(step.namespace, step.object)

    def add(self, place: str, item: KernelObject) -> None:
        if isinstance(item, NetworkNamespace):
            assert place not in self.namespaces
            self.namespaces[place] = {item}
            return
        held = self.namespaces[place]
        assert item not in held
        if isinstance(item, VethPair):
            assert item.peer_namespace in self.namespaces
            for end in ((place, item.index), (item.peer_namespace, item.peer_index)):
                assert end not in self.ends, f"{end} is in the way"
                self.ends[end] = item
        elif isinstance(item, LinkUp | InterfaceAddress | Route | Neighbour | BridgeEntry) and item.index != LOOPBACK:
            assert (place, item.index) in self.ends, f"no link for {item}"
        if isinstance(item, Route):
            assert not any(
                isinstance(each, Route) and (each.table, each.destination) == (item.table, item.destination)
                for each in held
            )
        held.add(item)

    def remove(self, place: str, item: KernelObject) -> None:
        held = self.namespaces[place]
        assert item in held, f"{item} is gone already"
        held.remove(item)
        if isinstance(item, VethPair):
            self.cut(place, item)
        if isinstance(item, NetworkNamespace):
            # Its cables stay as long as anybody has it open: what they are in the way of must not be wanted.
            del self.namespaces[place]
            self.ends = {end: pair for end, pair in self.ends.items() if end[0] != place}

    def cut(self, place: str, pair: VethPair) -> None:
        for name, index in ((place, pair.index), (pair.peer_namespace, pair.peer_index)):
            self.ends.pop((name, index), None)
            if name in self.namespaces:
                self.namespaces[name] = {
                    each
                    for each in self.namespaces[name]
                    if isinstance(each, VethPair | Element | Dispatch) or getattr(each, "index", None) != index
                }


@unhurried
@given(HISTORIES)
def test_the_kernel_follows(history: list[list[Document]]) -> None:
    kernel = Kernel()
    program: Program = {}
    for world in grown(history):
        wanted = program_of(world)
        check_program(wanted)
        steps = difference(program, wanted)
        kernel.apply(steps)
        assert kernel.program() == wanted
        assert difference(wanted, wanted) == ()
        program = wanted
