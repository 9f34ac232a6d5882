"""Paths taken apart."""

from __future__ import annotations

import pytest

from podvnet.fabric.api.target import parse_path

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"


@pytest.mark.parametrize("tail", ["", "/web", "/web/operations", "/web/cancel"])
def test_deployments_are_found_with_and_without_their_providers_name(tail: str) -> None:
    assert parse_path(f"{GROUP}/deployments{tail}") == parse_path(
        f"{GROUP}/providers/Microsoft.Resources/deployments{tail}"
    )


def test_other_words_after_a_group_are_kept() -> None:
    assert parse_path(f"{GROUP}/resources").words == ("resources",)
