"""Addresses that Docker asked for: how long they are held, and how long a call waits for one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from podvnet.agent.docker import front
from podvnet.agent.pool_growth import Prospect
from podvnet.azure.error import SourceError
from podvnet.model.address import Address
from podvnet.testing.docker_plugin import OTHER, POOL, POOL6, Plugin

FOREVER = 1e7
"""Seconds."""


# -- of networks of another driver, of whose containers nothing is told


@pytest.fixture
def bridged(plugin: Plugin) -> Plugin:
    """With a container of ``docker network create -d bridge --ipam-driver azure-vnet``."""
    assert plugin.address(wanted="10.1.1.5") == "10.1.1.5/32"
    plugin.living = frozenset({ip_address("10.1.1.5")})
    return plugin


def test_no_time_ends_a_reservation(bridged: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic
    monkeypatch.setattr("podvnet.agent.docker.reservations.time.monotonic", lambda: now() + FOREVER)
    assert [bridged.address(), bridged.address()] == ["10.1.1.6/32", "10.1.1.7/32"]
    monkeypatch.setattr(front, "_PATIENCE", 0.0)
    assert "is free on this VM" in bridged.refused("IpamDriver.RequestAddress", PoolID=POOL)
    assert "in use by" in bridged.refused("IpamDriver.RequestAddress", PoolID=POOL, Address="10.1.1.5")


def test_a_container_that_outlives_docker_keeps_its_address(bridged: Plugin) -> None:
    bridged.address()
    bridged.call("Plugin.Activate")
    assert bridged.held == 1
    assert "in use by" in bridged.refused("IpamDriver.RequestAddress", PoolID=POOL, Address="10.1.1.5")
    bridged.end()
    bridged.start()
    bridged.call("Plugin.Activate")
    assert bridged.held == 1
    bridged.call("IpamDriver.ReleaseAddress", PoolID=POOL, Address="10.1.1.5")
    assert bridged.held == 0


def test_what_nobody_has_is_dropped_when_docker_starts_anew(bridged: Plugin) -> None:
    bridged.living = frozenset()
    bridged.call("Plugin.Activate")
    assert bridged.held == 0


def test_nothing_is_dropped_while_it_cannot_be_known_who_lives(bridged: Plugin) -> None:
    bridged.living = None
    bridged.address()
    bridged.call("Plugin.Activate")
    assert bridged.held == 2


def test_nobody_is_looked_for_when_nothing_is_reserved(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    def look() -> frozenset[Address]:
        looks.append("look")
        return frozenset()

    monkeypatch.setattr(plugin.driver._reservations, "_living", look)
    plugin.network()
    plugin.endpoint()
    plugin.call("Plugin.Activate")
    assert looks == []
    plugin.address()
    plugin.call("Plugin.Activate")
    assert looks == ["look"]


# -- calls that wait


class Waited(Plugin):
    """Every address is taken. ``counts`` is how many calls were known to wait after each try."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        for _ in range(3):
            self.address()
        self.counts: list[int] = []
        self.after: dict[int, Callable[[], None]] = {}
        self.submit = self._try
        monkeypatch.setattr(front, "_PAUSE", 0.001)

    def _try(self, task: Callable[[], None]) -> None:
        task()
        self.counts.append(self.front.waiting)
        self.after.get(len(self.counts), lambda: None)()


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Waited]:
    made = Waited(tmp_path, monkeypatch)
    yield made
    made.end()


def test_a_pool_that_grows_is_told_who_waits_until_there_is_an_address(full: Waited) -> None:
    full.prospect = Prospect(growing=True)
    full.after[4] = lambda: full.list_addresses(5, 6, 7, 8)
    assert full.address() == "10.1.1.8/32"
    assert full.counts == [1, 1, 1, 1, 0]
    assert full.asked == 0, "the pool's growth asks by itself"


def test_the_platform_is_asked_once_by_a_call_that_waits(full: Waited) -> None:
    full.after[5] = lambda: full.list_addresses(5, 6, 7, 8)
    assert full.address() == "10.1.1.8/32"
    assert full.asked == 1


def test_who_waits_in_vain_is_not_counted_any_more(full: Waited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "_PATIENCE", 0.02)
    assert "add ip-configurations" in full.refused("IpamDriver.RequestAddress", PoolID=POOL)
    assert full.counts[-2:] == [1, 0]
    assert full.asked == 1


def test_patience_is_longer_while_the_pool_grows(full: Waited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "_PATIENCE", 0.0)
    monkeypatch.setattr(front, "_GROWTH_PATIENCE", 0.05)
    full.refused("IpamDriver.RequestAddress", PoolID=POOL)
    assert len(full.counts) == 2  # a try, and the end
    full.prospect = Prospect(growing=True)
    assert "the pool is being enlarged" in full.refused("IpamDriver.RequestAddress", PoolID=POOL)
    assert len(full.counts) > 4


def test_what_stands_in_the_way_of_growth_is_told(full: Waited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "_PATIENCE", 0.0)
    full.prospect = Prospect(growing=False, obstacle=SourceError("no permission", "grant the role", retryable=False))
    refused = full.refused("IpamDriver.RequestAddress", PoolID=POOL)
    assert "it gets no more: no permission; grant the role" in refused


def test_who_waits_for_ipv6_or_for_the_vm_is_nothing_to_a_pool_of_ipv4(
    full: Waited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "_PATIENCE", 0.0)
    full.prospect = Prospect(growing=True)
    for _ in range(2):
        full.address(POOL6)
    full.refused("IpamDriver.RequestAddress", PoolID=POOL6)
    full.standing.node = None
    full.refused("IpamDriver.RequestAddress", PoolID=POOL)
    assert set(full.counts) == {0}


# -- Docker's own firewall


def test_a_firewall_that_was_not_opened_is_tried_again_with_the_next_container(plugin: Plugin) -> None:
    plugin.network()
    plugin.admits = False
    plugin.endpoint()
    plugin.admits = True
    plugin.endpoint(OTHER)
    plugin.endpoint("d" * 64)
    assert plugin.admitted == 2
    plugin.call("Plugin.Activate")
    plugin.gone("10.1.1.7", "d" * 64)
    plugin.endpoint("e" * 64)
    assert plugin.admitted == 3
