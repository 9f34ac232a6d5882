"""The links of the pages, which lead to what is in the checkout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_every_client_has_a_page_and_every_page_a_client() -> None:
    index = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    pages = {page.stem for page in ROOT.glob("docs/clients/*.md")}
    assert set(re.findall(r"\]\(clients/(\w+)\.md\)", index)) == pages
