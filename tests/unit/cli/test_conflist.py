"""The conflist of ``podvnet install``: what is in it depends on which plug-ins there are, and what they know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podvnet.cli.conflist import conflist, link_reference, unlink_reference
from podvnet.plugin.document import Document
from podvnet.plugin.network_config import parse_network_config


def plugin(folder: Path, name: str, *versions: str) -> None:
    answer = json.dumps({"cniVersion": "1.0.0", "supportedVersions": versions})
    path = folder / name
    path.write_text(f"#!/bin/sh\n[ \"$CNI_COMMAND\" = VERSION ] && echo '{answer}'\n", encoding="utf-8")
    path.chmod(0o755)


def made(folder: Path) -> dict[str, object]:
    return conflist("tunnel", "azure", ("10.1.0.0/16",), ("198.51.100.0/24",), folder)


def types(document: dict[str, object]) -> list[str]:
    plugins = document["plugins"]
    assert isinstance(plugins, list)
    return [each["type"] for each in plugins]


def test_alone_it_offers_the_newest_version_for_runtimes_that_ask_status(tmp_path: Path) -> None:
    document = made(tmp_path)
    assert (document["cniVersion"], document["cniVersions"]) == ("1.0.0", ["1.0.0", "1.1.0"])
    assert types(document) == ["azure-vnet"]


def test_our_plugin_understands_its_own_object(tmp_path: Path) -> None:
    plugins = made(tmp_path)["plugins"]
    assert isinstance(plugins, list)
    config = parse_network_config(Document(plugins[0] | {"name": "azure", "cniVersion": "1.1.0"}))
    assert (config.mode, str(config.vnet_cidrs[0]), config.warnings) == ("tunnel", "10.1.0.0/16", ())


@pytest.mark.parametrize(("known", "offered"), [(("1.0.0", "1.1.0"), True), (("0.4.0", "1.0.0"), False), ((), False)])
def test_the_newest_is_offered_when_all_that_are_chained_know_it(
    tmp_path: Path, known: tuple[str, ...], offered: bool
) -> None:
    plugin(tmp_path, "portmap", *known)
    plugin(tmp_path, "bandwidth", "1.0.0", "1.1.0")
    document = made(tmp_path)
    assert types(document) == ["azure-vnet", "portmap", "bandwidth"]
    assert ("cniVersions" in document) == offered


def test_a_plugin_that_cannot_be_executed_knows_no_version(tmp_path: Path) -> None:
    (tmp_path / "portmap").write_text("no program", encoding="utf-8")
    assert "cniVersions" not in made(tmp_path)


def test_reference_plugins_are_linked_and_unlinked_and_ones_that_are_there_stay(tmp_path: Path) -> None:
    source, target = tmp_path / "lib", tmp_path / "bin"
    for folder in (source, target):
        folder.mkdir()
    for name in ("loopback", "portmap", "bandwidth"):
        plugin(source, name, "1.0.0")
    plugin(target, "portmap", "1.1.0")
    (target / "bandwidth").symlink_to(tmp_path / "gone")
    assert link_reference(source, target) == [
        f"{name} in {target}, from {source}" for name in ("loopback", "bandwidth")
    ]
    assert (target / "bandwidth").readlink() == source / "bandwidth"
    assert not (target / "portmap").is_symlink()
    unlink_reference(target)
    assert [each.name for each in target.iterdir()] == ["portmap"]


def test_a_folder_that_lacks_one_is_refused_by_its_name(tmp_path: Path) -> None:
    plugin(tmp_path, "loopback", "1.0.0")
    with pytest.raises(FileNotFoundError, match="portmap"):
        link_reference(tmp_path, tmp_path)
