from __future__ import annotations

import io
import json
import tarfile

from podvnet.cluster.file import File, archive
from podvnet.cluster.unit import Unit

UNIT = Unit("kubelet", ("/opt/bin/kubelet", "--node-labels=a=b c"), (("GODEBUG", "x=1"),), "/run/x.lock", 5.0, "r1")


def test_a_unit_is_read_by_the_keeper_as_it_was_written() -> None:
    file = UNIT.for_keeper()
    assert file.path == "/etc/podvnet/units/kubelet.json"
    assert Unit.read(json.loads(file.content)) == UNIT


def test_systemd_is_told_the_same_program_and_to_keep_it() -> None:
    file = UNIT.for_systemd("kubelet of this node", after="containerd.service")
    lines = file.content.decode().splitlines()
    assert file.path == "/etc/systemd/system/kubelet.service"
    assert "ExecStart=/opt/bin/kubelet '--node-labels=a=b c'" in lines
    assert "Environment=GODEBUG=x=1" in lines
    assert {"Restart=always", "After=containerd.service", "WantedBy=multi-user.target"} <= set(lines)


def test_an_archive_holds_files_with_their_modes() -> None:
    files = [File.text("/etc/a", "one"), File("/etc/pki/b.key", b"two", 0o600)]
    with tarfile.open(fileobj=io.BytesIO(archive(files))) as found:
        members = {each.name: each for each in found.getmembers()}
        assert members["etc/pki/b.key"].mode == 0o600
        read = found.extractfile("etc/a")
        assert read is not None
        assert read.read() == b"one"
