"""What the ledger keeps of the VM: how the platform described it, and what its networks' configurations say."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from podvnet.model.address import Mac, Prefix
from podvnet.model.attachment import Node


class VmRecord:
    """For the agent's one thread.

    Args:
        connection: the ledger's.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def remember_node(self, node: Node) -> None:
        """Keep what the platform said of the VM, for a start at which the platform does not answer."""
        self._connection.execute(
            "INSERT OR REPLACE INTO node VALUES (1, ?, ?, ?, ?, ?, ?)",
            (
                node.nic_name,
                node.nic_index,
                node.nic_mac,
                json.dumps([str(each) for each in node.primary]),
                json.dumps([str(each) for each in node.subnets]),
                node.mtu,
            ),
        )

    def node(self) -> Node | None:
        """The VM as last known in this boot."""
        found = self._connection.execute(
            "SELECT nic_name, nic_index, nic_mac, primaries, subnets, mtu FROM node"
        ).fetchone()
        if found is None:
            return None
        name, index, mac, primaries, subnets, mtu = found
        return Node(
            nic_name=name,
            nic_index=index,
            nic_mac=Mac(mac),
            primary=tuple(ip_address(text) for text in json.loads(primaries)),
            subnets=tuple(ip_network(text) for text in json.loads(subnets)),
            mtu=mtu,
        )

    def remember_network(
        self, name: str, prefixes: Iterable[Prefix], exceptions: Iterable[Prefix], *, bridged: bool
    ) -> None:
        """Keep what a network's configuration says about translation; forget networks without pods."""
        self._connection.execute(
            "DELETE FROM networks WHERE name <> ? AND name NOT IN (SELECT network FROM attachments)", (name,)
        )
        self._connection.execute(
            "INSERT INTO networks VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
            " SET prefixes = excluded.prefixes, exceptions = excluded.exceptions,"
            " bridged = max(bridged, excluded.bridged)",
            (name, json.dumps(sorted(map(str, prefixes))), json.dumps(sorted(map(str, exceptions))), int(bridged)),
        )

    def networks(self) -> list[tuple[str, list[str], list[str], bool]]:
        """Every network: name, prefixes, exceptions, whether it uses the bridge."""
        return [
            (name, json.loads(prefixes), json.loads(exceptions), bool(bridged))
            for name, prefixes, exceptions, bridged in self._connection.execute("SELECT * FROM networks")
        ]
