"""Docker's networks on the disk: read once, written through, and lost without harm to anybody else."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from podvnet.agent.docker.networks import Network, Networks
from podvnet.agent.docker.protocol import DockerError
from podvnet.testing.docker_plugin import NETWORK, E, Plugin

INNER = Network("inner", True, 1400, (ip_network("10.1.1.0/24"), ip_network("fd00::/64")), (ip_address("10.1.1.9"),))
OUTER = Network("outer", False, 0, (ip_network("10.1.1.0/24"),), ())


def test_networks_outlive_the_agent(tmp_path: Path) -> None:
    with contextlib.closing(Networks(tmp_path / "docker.db")) as first:
        first.add(INNER)
        first.add(OUTER)
        first.add(Network("gone", False, 0, (), ()))
        first.remove("gone")
        first.remove("never")
        assert first.all() == [INNER, OUTER]
    with contextlib.closing(Networks(tmp_path / "docker.db")) as second:
        assert second.all() == [INNER, OUTER]
        assert second.find("inner") == INNER
        assert second.find("gone") is None


def sql(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def garble(path: Path) -> None:
    path.write_bytes(b"no database\n" * 999)


def spoil_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:4196] = b"\xff" * 100
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


SPOILT: dict[str, Callable[[Path], None]] = {
    "garbled": garble,
    "a page": spoil_a_page,
    "cut short": cut_short,
    "of another layout": lambda path: sql(path, "DROP TABLE networks", "CREATE TABLE networks (id TEXT) STRICT"),
    "no JSON": lambda path: sql(path, "UPDATE networks SET subnets = '[10.1'"),
    "no list": lambda path: sql(path, "UPDATE networks SET auxiliary = '7'"),
    "no subnets": lambda path: sql(path, """UPDATE networks SET subnets = '["10.1.1.7/24"]'"""),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_file_that_cannot_be_understood_is_set_aside(how: str, tmp_path: Path) -> None:
    path = tmp_path / "docker.db"
    with contextlib.closing(Networks(path)) as networks:
        networks.add(INNER)
    SPOILT[how](path)
    spoilt = path.read_bytes()
    with capture_logs() as logs, contextlib.closing(Networks(path)) as networks:
        assert networks.all() == []
        networks.add(OUTER)
    aside = [each for each in tmp_path.glob("docker.db.unreadable-*") if each.name.endswith("Z")]
    assert [each.read_bytes() for each in aside] == [spoilt]
    assert [(each["event"], each["log_level"]) for each in logs] == [("docker_networks_lost", "error")]
    assert logs[0]["kept_as"] == str(aside[0])
    with contextlib.closing(Networks(path)) as networks:
        assert networks.all() == [OUTER]


def test_where_no_file_can_be_nothing_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "docker.db").mkdir()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        Networks(tmp_path / "docker.db")
    assert [each.name for each in tmp_path.iterdir()] == ["docker.db"]


def test_a_disk_that_takes_nothing_is_told_to_docker(tmp_path: Path) -> None:
    with contextlib.closing(Networks(tmp_path / "docker.db")) as networks:
        networks.add(INNER)
        networks._connection.execute("PRAGMA query_only = 1")
        with pytest.raises(DockerError, match="cannot be written: attempt to write a readonly database"):
            networks.add(OUTER)
        with pytest.raises(DockerError):
            networks.remove("inner")
        assert networks.all() == [INNER]


def test_containers_of_an_internal_network_stay_confined_when_the_file_is_lost(plugin: Plugin) -> None:
    plugin.network(internal=True)
    plugin.endpoint()
    table = plugin.kernel.table
    assert "ip daddr != { 10.1.1.0/24 } drop" in table
    plugin.end()
    garble(plugin.folder / "docker.db")
    plugin.start()
    assert plugin.kernel.table == table
    assert "is not known here" in plugin.refused("NetworkDriver.CreateEndpoint", **E | {"EndpointID": "f" * 64})
    plugin.call("NetworkDriver.DeleteNetwork", NetworkID=NETWORK)
    assert (plugin.held, plugin.kernel.table) == (0, "")
