"""The grants on disk between versions: files of an older agent, and what a later one wrote."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from podvnet.agent.grant_store import GrantStore
from podvnet.model.attachment import AttachmentKey
from podvnet.model.pod_ask import PodAsk
from podvnet.model.pod_grant import PodGrant

ADDRESS = IPv4Address("10.1.1.7")
KEY = AttachmentKey("azure", "c" * 64, "eth0")
GRANT = PodGrant(ADDRESS, "shop/web", "eth0", KEY, PodAsk(public="new"), public="pod-web", uid="aaaa-1")


def write(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for each in statements:
            database.execute(each)


def read(path: Path) -> dict[IPv4Address, PodGrant]:
    store = GrantStore(path)
    store.close()
    return store.grants


def test_which_pod_has_a_grant_is_known_after_a_restart_and_forgotten_with_it(tmp_path: Path) -> None:
    path = tmp_path / "grants.db"
    store = GrantStore(path)
    store.put(GRANT)
    store.close()
    assert read(path) == {ADDRESS: GRANT}
    store = GrantStore(path)
    store.put(replace(GRANT, holder=None, uid=""))
    store.close()
    assert read(path)[ADDRESS].uid == ""
    store = GrantStore(path)
    store.put(GRANT)
    store.forget(ADDRESS)
    store.put(replace(GRANT, uid=""))
    store.close()
    assert read(path)[ADDRESS].uid == ""


def test_a_file_of_the_version_before_is_gone_on_with_and_that_version_with_ours(tmp_path: Path) -> None:
    path = tmp_path / "grants.db"
    store = GrantStore(path)
    store.put(GRANT)
    store.close()
    write(path, "DROP TABLE uids")
    assert read(path) == {ADDRESS: replace(GRANT, uid="")}
    # As that version writes: by position.
    write(
        path, "INSERT INTO grants SELECT '10.1.1.8', pod, ifname, network, 'd', ask, state, expires, '', 0 FROM grants"
    )
    assert set(read(path)) == {ADDRESS, IPv4Address("10.1.1.8")}


def test_what_a_later_version_asked_is_kept_as_far_as_it_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "grants.db"
    store = GrantStore(path)
    store.put(GRANT)
    store.close()
    later = json.dumps({"publicAddress": True, "egress": "satellite", "bandwidth": 7})
    write(path, f"UPDATE grants SET ask = '{later}'")
    assert read(path)[ADDRESS].ask == PodAsk(public="new")
