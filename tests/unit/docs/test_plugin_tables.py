"""The tables of docs/plugin.md, executed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from podvnet.plugin.error import CniError, Code
from podvnet.plugin.request import parse_request

TEXT = (Path(__file__).parents[3] / "docs" / "plugin.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[tuple[str, str]]:
    """The rows of the table below a heading of the document."""
    section = TEXT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)
    return [row for row in cells if not set(row[0]) <= {"-"}][1:]


KEYS = rows("Keys of the conflist")
CODES = rows("Error codes")
ENVIRONMENT = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c" * 64,
    "CNI_NETNS": "/run/netns/pod",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin",
    "PODVNET_PROGRAM": "azure-vnet",
}


@pytest.mark.parametrize(("key", "effect"), KEYS, ids=[key for key, _ in KEYS])
def test_a_key_of_the_conflist_has_the_effect_the_table_says(key: str, effect: str) -> None:
    extra = json.loads("{" + key.strip("`") + "}")
    config = {"cniVersion": "1.0.0", "name": "azure", "type": "azure-vnet", **extra}
    stdin = json.dumps(config).encode()
    if effect.startswith("refused"):
        with pytest.raises(CniError) as refusal:
            parse_request(ENVIRONMENT, stdin)
        assert f"refused {int(refusal.value.code)}" == effect
        assert next(iter(extra)) in refusal.value.msg
        return
    request = parse_request(ENVIRONMENT, stdin)
    assert effect == ("warning" if request.config.warnings else "honoured")


def test_the_table_of_codes_has_every_code() -> None:
    assert [int(code) for code, _ in CODES] == [int(code) for code in Code]
