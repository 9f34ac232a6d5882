"""The pages docs/clients/{curl,python}.md, executed. ``scripts/test`` has the tiers az and terraform for the others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from podvnet.testing.cloud import Cloud

PAGES = Path(__file__).parents[2] / "docs" / "clients"


def script(page: str, language: str) -> str:
    """The blocks of a language that a page has, one after the other."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert blocks, f"{page}.md has no block in {language}"
    return "".join(blocks)


def run(where: Path, *argv: str) -> str:
    """Run a program as a reader of the page would, in an empty folder; what it printed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        argv, cwd=where, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def groups(cloud: Cloud) -> set[str]:
    return {group.name or "" for group in cloud.resources.resource_groups.list()}


def test_the_page_of_curl(cloud: Cloud, tmp_path: Path) -> None:
    said = run(tmp_path, "sh", "-euc", script("curl", "sh"))
    assert '"privateIPAddress"' in said
    assert "by-curl" in said
    assert "by-curl" not in groups(cloud)


def test_the_page_of_the_python_sdk(cloud: Cloud, tmp_path: Path) -> None:
    run(tmp_path, "sh", "-euc", script("python", "sh"))
    (tmp_path / "page.py").write_text(script("python", "python"), encoding="utf-8")
    run(tmp_path, sys.executable, "page.py")
    assert "by-sdk" not in groups(cloud)
