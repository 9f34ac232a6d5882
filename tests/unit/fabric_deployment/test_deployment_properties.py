"""What holds for every template and every text."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from podvnet.fabric.deployment import expression, template
from podvnet.fabric.deployment.context import Context, Work
from podvnet.fabric.deployment.execution import ReadyResource, deploy
from podvnet.fabric.deployment.functions import FUNCTIONS
from podvnet.fabric.deployment.plan import Deployment, expand
from podvnet.fabric.deployment.planned_resource import ResourceNames
from podvnet.fabric.deployment.scope import DeploymentScope
from podvnet.fabric.deployment.template_error import bounded
from podvnet.fabric.deployment.what_if import Change, what_if
from podvnet.model.arm_error import ArmError

NOW = datetime(2024, 3, 9, tzinfo=UTC)
SCOPE = DeploymentScope(resource_group="rg1")
NIC = "Microsoft.Network/networkInterfaces"

_scalars = st.none() | st.booleans() | st.integers(-5, 900) | st.floats(allow_nan=False) | st.text(max_size=8)
_literals = st.one_of(
    st.integers(-3, 40).map(str),
    st.text("ab/.[]{}0:,-' é", max_size=6).map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.sampled_from(["'10.0.0.0/24'", "'Microsoft.Network/virtualNetworks'", "'full'", "'[1,{\"a\":2}]'", "null()"]),
)
_calls = st.recursive(
    _literals,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.lists(inner, max_size=4)).map(
            lambda call: f"{call[0]}({', '.join(call[1])})"
        ),
        st.tuples(inner, inner).map(lambda pair: f"createArray({pair[0]})[{pair[1]}]"),
        inner.map(lambda body: f"map(range(0, 3), lambda('x', add(lambdaVariables('x'), {body})))"),
        inner.map(lambda value: f"json({value}).a"),
    ),
    max_leaves=12,
)
_strings = st.one_of(_calls.map(lambda text: f"[{text}]"), st.text(max_size=6), st.just("[[a]"))
_json = st.recursive(
    _scalars | _strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_strings | st.just("copy"), inner, max_size=3),
    max_leaves=8,
)
_members = st.fixed_dictionaries(
    {},
    optional={
        "parameters": st.dictionaries(
            st.sampled_from("ab"),
            st.fixed_dictionaries(
                {"type": st.sampled_from(["string", "int", "array", "x"])}, optional={"defaultValue": _json}
            ),
        )
        | _json,
        "variables": st.dictionaries(st.sampled_from(["a", "b", "copy"]), _json) | _json,
        "outputs": st.dictionaries(
            st.sampled_from("ab"),
            st.fixed_dictionaries(
                {"type": st.sampled_from(["string", "int", "array"])}, optional={"value": _json, "copy": _json}
            ),
        )
        | _json,
        "functions": _json,
        "definitions": _json,
        "resources": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from([NIC, "A.B/c/d", "Microsoft.Resources/deployments"]),
                    "apiVersion": st.just("1"),
                    "name": st.sampled_from(["n", "[concat('n', copyIndex())]", "a/b"]),
                },
                optional={
                    "properties": _json,
                    "dependsOn": _json,
                    "copy": st.fixed_dictionaries({"name": st.just("l"), "count": st.integers(0, 4)}) | _json,
                    "condition": _json,
                    "resources": _json,
                    "scope": _json,
                    "tags": _json,
                },
            ),
            max_size=3,
        )
        | _json,
    },
)


def refusal(reading: Callable[[str], object], text: str) -> str:
    """The code with which a text is refused, empty when it is read."""
    try:
        reading(text)
    except ArmError as error:
        return error.code
    return ""


def outcome_of(document: Any) -> Any:
    """Everything that can be done with a template, or the error's code."""

    def put(ready: ReadyResource) -> dict[str, Any]:
        return {"properties": {}, **ready.body}

    def read(resource_id: str, version: str) -> dict[str, Any]:
        raise ArmError("ResourceNotFound", f"{resource_id} {version}")

    try:
        outcome = deploy(expand(template.parse(document), {}, SCOPE, NOW), put, read)
    except ArmError as error:
        return json.dumps(error.document())
    return outcome.outputs, outcome.resources


@given(st.text(max_size=60) | st.text("()[]'.,ab01 -", max_size=40))
@example("((((")
@example("a" + ".a" * 5000 + "()")
@example("a()" + ".a" * 2000)
@example("f(" * 5000)
def test_any_text_is_read_or_refused(text: str) -> None:
    assert refusal(expression.parse, text) in {"", "InvalidTemplate"}


@settings(max_examples=1000)
@given(_calls)
@example("a()" + ".a" * 2000)
@example("createArray(1)" + "[0]" * 2000)
def test_any_expression_has_a_value_or_is_refused(text: str) -> None:
    def value() -> Any:
        try:
            with bounded():
                return Context(SCOPE, NOW, FUNCTIONS, names=ResourceNames(), work=Work(50_000)).text(f"[{text}]", "")
        except ArmError as error:
            return error.message

    found = value()
    json.dumps(found, allow_nan=False)
    assert value() == found


@given(st.text(max_size=80) | _members.map(json.dumps))
@example('{"a":' * 3000)
@example("/*")
@example('"\\ud800"')
def test_any_file_is_read_or_refused(text: str) -> None:
    assert refusal(template.read, text) in {"", "InvalidTemplate"}


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(_members)
def test_any_template_is_deployed_or_refused_and_always_the_same(members: dict[str, Any]) -> None:
    document = {"$schema": "s", "contentVersion": "1.0.0.0", "resources": [], **members}
    before = json.dumps(document)
    assert outcome_of(document) == outcome_of(document)
    assert json.dumps(document) == before, "the template is not changed"


@given(st.data())
def test_resources_come_after_what_they_depend_on(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    rank = data.draw(st.permutations(range(count)))
    resources = []
    hows: list[Callable[[int], str]] = [
        lambda i: f"n{i}",
        lambda i: f"{NIC}/n{i}",
        lambda i: f"[resourceId('{NIC}', 'n{i}')]",
    ]
    needs: dict[str, set[str]] = {}
    for i in range(count):
        earlier = [j for j in range(count) if rank[j] < rank[i]]
        explicit = data.draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        implicit = data.draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        needs[f"n{i}"] = {f"n{j}" for j in (*explicit, *implicit)}
        resources.append(
            {
                "type": NIC,
                "apiVersion": "1",
                "name": f"n{i}",
                "dependsOn": [data.draw(st.sampled_from(hows))(j) for j in explicit],
                "properties": {"of": [f"[reference('n{j}')]" for j in implicit]},
            }
        )
    document = {"$schema": "s", "contentVersion": "1.0.0.0", "resources": resources}
    found: Deployment = expand(template.parse(document), {}, SCOPE, NOW)
    order = [each.name for each in found.resources]
    assert sorted(order) == sorted(needs)
    for each in found.resources:
        assert {name.rsplit("/", 1)[-1] for name in each.depends_on} == needs[each.name]
        assert all(order.index(name) < order.index(each.name) for name in needs[each.name])


_documents = st.dictionaries(st.sampled_from("abc"), _json, max_size=3)


@given(_documents, _documents)
def test_what_if_tells_a_change_exactly_when_there_is_one(before: dict[str, Any], after: dict[str, Any]) -> None:
    (same,) = what_if([Change("/x", before, before)])["properties"]["changes"]
    assert same["changeType"] == "NoChange"
    (changed,) = what_if([Change("/x", before, after)])["properties"]["changes"]
    assert (changed["changeType"] == "Modify") == bool(changed.get("delta"))
    json.dumps(changed)
