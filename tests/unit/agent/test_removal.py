"""What an uninstall does with the file of grants: it goes with the last of them, and not before."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from podvnet.agent.grant_store import GRANTS, GrantStore
from podvnet.agent.removal import forget_grants
from podvnet.model.attachment import AttachmentKey
from podvnet.model.pod_ask import PodAsk
from podvnet.model.pod_grant import PodGrant

ADDRESS = IPv4Address("10.1.1.7")
GRANT = PodGrant(ADDRESS, "shop/web", "eth0", AttachmentKey("azure", "c" * 64, "eth0"), PodAsk(public="new"))


def test_the_file_of_grants_stays_while_it_tells_of_one_and_says_so(tmp_path: Path) -> None:
    store = GrantStore(tmp_path / GRANTS)
    store.put(GRANT)
    store.close()
    said = forget_grants(tmp_path / GRANTS)
    assert len(said) == 1
    assert said[0].startswith(f"all but what pods were granted at {ADDRESS}: {tmp_path / GRANTS} ")
    store = GrantStore(tmp_path / GRANTS)
    assert store.grants == {ADDRESS: GRANT}
    store.forget(ADDRESS)
    store.close()
    assert forget_grants(tmp_path / GRANTS) == [f"{tmp_path / GRANTS}, which told of no grant"]
    assert list(tmp_path.iterdir()) == []


def test_without_such_a_file_there_is_nothing_to_forget(tmp_path: Path) -> None:
    assert forget_grants(tmp_path / GRANTS) == []
    assert list(tmp_path.iterdir()) == []
