from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.resource_id import ResourceId, Scope, make, parse

SCOPE = Scope("sub", "rg")
FULL = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/hub/subnets/front"
NAMES = st.text(alphabet="abcXYZ019_-.", min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("text", "scope", "provider"),
    [
        pytest.param(FULL, None, "Microsoft.Network", id="full"),
        pytest.param(FULL, Scope("other", "other"), "Microsoft.Compute", id="a full one needs no scope"),
        pytest.param("virtualNetworks/hub/subnets/front", SCOPE, "Microsoft.Network", id="short"),
        pytest.param(FULL + "/", None, "Microsoft.Network", id="slash at the end"),
        pytest.param(FULL.replace("resourceGroups", "RESOURCEGROUPS"), None, "Microsoft.Network", id="other case"),
    ],
)
def test_parse(text: str, scope: Scope | None, provider: str) -> None:
    assert str(parse(text, scope, provider)) == FULL


@pytest.mark.parametrize(
    ("text", "scope", "says"),
    [
        pytest.param("virtualNetworks/hub", None, "is not a resource id", id="short without a scope"),
        pytest.param("/virtualNetworks/hub", SCOPE, "is not a resource id", id="a path is not short"),
        pytest.param("", None, "is not a resource id", id="empty"),
        pytest.param("", SCOPE, "must come in pairs", id="empty with a scope"),
        pytest.param("hub", SCOPE, "must come in pairs", id="a name alone"),
        pytest.param("virtualNetworks//subnets/x", SCOPE, "must come in pairs", id="an empty name"),
        pytest.param(FULL + "/more", None, "must come in pairs", id="an odd end"),
        pytest.param("/subscriptions/sub/resourceGroups/rg", None, "is not a resource id", id="a resource group"),
        pytest.param(FULL.replace("providers", "provider"), None, "is not a resource id", id="misspelt keyword"),
    ],
)
def test_refused(text: str, scope: Scope | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text, scope)


def test_case_is_kept_and_not_compared() -> None:
    one, other = parse(FULL), parse(FULL.upper())
    assert str(one) != str(other)
    assert one == other
    assert hash(one) == hash(other)
    assert one.key == other.key == FULL.lower()
    assert one != FULL
    assert {one: 1}[other] == 1


def test_parts() -> None:
    subnet = parse(FULL)
    assert subnet.name == "front"
    assert subnet.type == "Microsoft.Network/virtualNetworks/subnets"
    assert subnet.parent == make(SCOPE, "Microsoft.Network/virtualNetworks", "hub")
    assert subnet.parent.parent == subnet.parent
    assert subnet.parent.child("subnets", "front") == subnet


def test_as_many_names_as_types() -> None:
    with pytest.raises(ValueError, match="zip"):
        make(SCOPE, "Microsoft.Network/virtualNetworks/subnets", "hub")


@given(NAMES, NAMES, NAMES, st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=3))
def test_text_reads_back(subscription: str, group: str, provider: str, path: list[tuple[str, str]]) -> None:
    resource = ResourceId(subscription, group, provider, tuple(path))
    again = parse(str(resource))
    assert str(again) == str(resource)
    assert (again.type, again.name, again.key) == (resource.type, resource.name, resource.key)
