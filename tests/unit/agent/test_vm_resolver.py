from __future__ import annotations

from pathlib import Path

import pytest

from podvnet.agent.vm_resolver import PLATFORM, VmResolver, resolver_of
from podvnet.plugin.result import Dns

TEXTS = [
    ("", Dns()),
    ("# nameserver 10.0.0.1\nnameserver 10.0.0.2 # it\n", Dns(("10.0.0.2",))),
    ("nameserver 10.0.0.1\nnameserver fd00::1\nsearch a b\n", Dns(("10.0.0.1", "fd00::1"), search=("a", "b"))),
    ("domain a\nsearch b c\noptions ndots:2 edns0\n", Dns(search=("b", "c"), options=("ndots:2", "edns0"))),
    ("nameserver 127.0.0.53\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver fe80::1\n", Dns()),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_what_a_file_says(text: str, expected: Dns) -> None:
    assert resolver_of(text) == expected


def test_pods_get_what_the_vm_has_and_what_changes(tmp_path: Path) -> None:
    file, behind = tmp_path / "resolv.conf", tmp_path / "systemd.conf"
    resolver = VmResolver((file, behind))
    assert resolver.current() == PLATFORM
    file.write_text("nameserver 10.0.0.1\n")
    assert resolver.current() == Dns(("10.0.0.1",))
    assert resolver.current() is resolver.current()
    file.write_text("nameserver 127.0.0.53\nsearch stub\n")
    assert resolver.current() == PLATFORM
    behind.write_text("nameserver 10.0.0.2\nsearch real\n")
    assert resolver.current() == Dns(("10.0.0.2",), search=("real",))
    file.unlink()
    behind.unlink()
    assert resolver.current() == PLATFORM
