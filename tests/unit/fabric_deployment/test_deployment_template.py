"""What a template may hold: parameters, variables, loops, conditions, children, dependencies, outputs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from podvnet.fabric.deployment import template
from podvnet.fabric.deployment.plan import Deployment, expand, mode_of
from podvnet.fabric.deployment.scope import DeploymentScope
from podvnet.model.arm_error import ArmError

Deploy = Callable[..., Deployment]
ROOT = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg1/providers/"
NIC = "Microsoft.Network/networkInterfaces"
NET = "Microsoft.Network/virtualNetworks"


def resource(name: str, kind: str = NIC, **members: Any) -> dict[str, Any]:
    return {"type": kind, "apiVersion": "2023-04-01", "name": name, **members}


def nothing(resource_id: str, version: str) -> dict[str, Any]:
    raise ArmError("ResourceNotFound", f"{resource_id} {version}")


def order(deployment: Deployment) -> list[str]:
    return [each.name for each in deployment.resources]


# Parameters


@pytest.mark.parametrize(
    ("declared", "given", "value"),
    [
        pytest.param({"type": "string"}, "a", "a", id="string"),
        pytest.param({"type": "String"}, "[concat('a')]", "[concat('a')]", id="given values are no expressions"),
        pytest.param({"type": "int"}, 3, 3, id="int"),
        pytest.param({"type": "int"}, 3.0, 3, id="whole float as int"),
        pytest.param({"type": "bool"}, False, False, id="bool"),
        pytest.param({"type": "array"}, [1], [1], id="array"),
        pytest.param({"type": "object"}, {"a": 1}, {"a": 1}, id="object"),
        pytest.param({"type": "string", "defaultValue": "d"}, None, "d", id="null takes the default"),
        pytest.param({"type": "string", "nullable": True}, None, None, id="null where it may be"),
        pytest.param({"type": "string", "allowedValues": ["a", "b"]}, "b", "b", id="allowed"),
        pytest.param({"type": "array", "allowedValues": ["a", "b"]}, ["b", "a"], ["b", "a"], id="allowed elements"),
        pytest.param({"$ref": "#/definitions/port"}, 80, 80, id="type of a definition"),
    ],
)
def test_parameter_is_taken(declared: Any, given: Any, value: Any, deploy_template: Deploy) -> None:
    definitions = {"port": {"type": "int", "minValue": 1, "maxValue": 65535}}
    found = deploy_template(parameters={"P": declared}, definitions=definitions, given={"p": given})
    assert found.context.parameters.get("p") == value


@pytest.mark.parametrize(
    ("declared", "given", "why"),
    [
        pytest.param({"type": "int"}, "3", "Expected 'Integer'. Actual 'String'", id="string for int"),
        pytest.param({"type": "int"}, True, "Expected 'Integer'. Actual 'Boolean'", id="bool for int"),
        pytest.param({"type": "string"}, 3, "Expected 'String'. Actual 'Integer'", id="int for string"),
        pytest.param({"type": "string", "allowedValues": ["a", "b"]}, "c", "allowed value.s.: 'a,b'", id="not allowed"),
        pytest.param({"type": "string", "minLength": 3}, "ab", "greater than or equal to '3'", id="short"),
        pytest.param({"type": "array", "maxLength": 1}, [1, 2], "less than or equal to '1'", id="long"),
        pytest.param({"type": "int", "minValue": 3}, 2, "greater than or equal to '3'", id="small"),
        pytest.param({"type": "int", "maxValue": 3}, 4, "less than or equal to '3'", id="large"),
        pytest.param({"type": "number"}, 4, "the type 'number' is not valid", id="unknown type"),
        pytest.param({"$ref": "#/definitions/x"}, 4, "no type definition", id="unknown definition"),
        pytest.param({"$ref": "#/definitions/me"}, 4, "refers to itself", id="circular definition"),
        pytest.param({"$ref": "#/definitions/o"}, {"a": "x"}, r"Actual 'String' \(at 'a'\)", id="member"),
        pytest.param({"$ref": "#/definitions/o"}, {}, "The property 'a' is required", id="missing member"),
        pytest.param({"$ref": "#/definitions/o"}, {"a": 1, "b": 1}, "'b' is not expected", id="strange member"),
        pytest.param({"type": "array", "items": {"type": "int"}}, [1, ""], r"\(at '\[1\]'\)", id="element"),
    ],
)
def test_parameter_is_refused(declared: Any, given: Any, why: str, deploy_template: Deploy) -> None:
    definitions = {
        "me": {"$ref": "#/definitions/me"},
        "o": {"type": "object", "properties": {"a": {"type": "int"}}, "additionalProperties": False},
    }
    with pytest.raises(ArmError, match=why) as caught:
        deploy_template(parameters={"p": declared}, definitions=definitions, given={"p": given})
    assert caught.value.code == "InvalidTemplate"


@pytest.mark.parametrize(
    ("given", "code", "why"),
    [
        pytest.param({}, "InvalidTemplate", "The value for the template parameter 'p' is not provided", id="missing"),
        pytest.param({"q": {"value": 1}}, "InvalidTemplate", "'q' in the parameters file are not valid", id="strange"),
        pytest.param({" ": {"value": 1}}, "InvalidDeploymentParameterKey", "empty key", id="empty key"),
        pytest.param({"p": {"value": None}}, "InvalidDeploymentParameterValue", "'p' is null", id="null"),
        pytest.param({"p": 1}, "InvalidRequestContent", "'p' must be an object with a", id="bare value"),
        pytest.param({"p": {"reference": {}}}, "KeyVaultParameterReferenceNotFound", "key vault", id="key vault"),
    ],
)
def test_given_parameters(given: Any, code: str, why: str, scope: DeploymentScope) -> None:
    read = template.parse(
        {"$schema": "s", "contentVersion": "1.0.0.0", "resources": [], "parameters": {"p": {"type": "int"}}}
    )
    with pytest.raises(ArmError, match=why) as caught:
        expand(read, given, scope, datetime.now(UTC))
    assert caught.value.code == code
    whole = {"$schema": "s", "contentVersion": "1.0.0.0", "parameters": {"p": {"value": 7}}}
    assert expand(read, whole, scope, datetime.now(UTC)).context.parameters.get("P") == 7


def test_secrets_are_never_shown(deploy_template: Deploy) -> None:
    parameters = {
        "pw": {"type": "secureString", "minLength": 3},
        "o": {"type": "secureObject", "defaultValue": {"k": "hidden"}},
        "n": {"type": "string", "defaultValue": "seen"},
    }
    found = deploy_template(
        parameters=parameters,
        outputs={"pw": {"type": "securestring", "value": "[parameters('pw')]"}},
        given={"pw": "hidden"},
    )
    assert found.shown_parameters() == {
        "pw": {"type": "SecureString"},
        "o": {"type": "SecureObject"},
        "n": {"type": "String", "value": "seen"},
    }
    assert found.outputs(nothing) == {"pw": {"type": "SecureString"}}
    with pytest.raises(ArmError) as caught:
        deploy_template(
            parameters={"pw": {"type": "secureString", "allowedValues": ["hidden1"]}}, given={"pw": "hidden2"}
        )
    assert "hidden" not in str(caught.value)


def test_defaults_may_use_other_parameters(deploy_template: Deploy) -> None:
    found = deploy_template(
        parameters={
            "b": {"type": "string", "defaultValue": "[concat(parameters('a'), '-b')]"},
            "a": {"type": "string", "defaultValue": "[resourceGroup().location]"},
        }
    )
    assert found.context.parameters.get("B") == "westeurope-b"
    with pytest.raises(ArmError, match="Circular reference between parameters: a -> a"):
        deploy_template(parameters={"a": {"type": "string", "defaultValue": "[parameters('a')]"}})


def test_new_guid_differs_by_parameter_and_not_by_run(deploy_template: Deploy) -> None:
    guid = {"type": "string", "defaultValue": "[newGuid()]"}
    values = [deploy_template(parameters={"a": guid, "b": guid}).context.parameters for _ in range(2)]
    assert values[0].get("a") == values[1].get("a") != values[0].get("b")


# Variables


@pytest.mark.parametrize(
    ("variables", "value"),
    [
        pytest.param({"v": {"a": ["[toUpper('x')]"]}}, {"a": ["X"]}, id="nested"),
        pytest.param({"v": "[variables('W')]", "w": 1}, 1, id="another variable"),
        pytest.param({"v": "[[literal]"}, "[literal]", id="escaped"),
        pytest.param(
            {"copy": [{"name": "v", "count": 2, "input": "[concat('n', copyIndex('v', 1))]"}]}, ["n1", "n2"], id="copy"
        ),
        pytest.param(
            {
                "v": {
                    "copy": [{"name": "l", "count": "[length(range(0,2))]", "input": {"i": "[copyIndex('l')]"}}],
                    "x": 1,
                }
            },
            {"l": [{"i": 0}, {"i": 1}], "x": 1},
            id="copy in an object",
        ),
        pytest.param({"v": {"copy": "not a loop"}}, {"copy": "not a loop"}, id="a member called copy"),
        pytest.param({"v": {"[toLower('KEY')]": 1}}, {"key": 1}, id="computed member name"),
        pytest.param({"v": "[my.twice('a')]"}, "aa", id="own function"),
        pytest.param({"v": "[deployment().properties.template.contentVersion]"}, "1.0.0.0", id="deployment"),
    ],
)
def test_variable(variables: Any, value: Any, deploy_template: Deploy) -> None:
    twice = {
        "parameters": [{"name": "x", "type": "string"}],
        "output": {"type": "string", "value": "[concat(parameters('x'), parameters('X'))]"},
    }
    found = deploy_template(variables=variables, functions=[{"namespace": "my", "members": {"twice": twice}}])
    assert found.context.variables.get("v") == value


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        pytest.param({"v": "[variables('w')]", "w": "[variables('v')]"}, "v -> w -> v", id="circular"),
        pytest.param({"v": "[reference('x')]"}, "not defined in the template", id="reference"),
        pytest.param({"v": "[reference('/a/b', '1')]"}, "'reference' is not expected at this", id="reference by id"),
        pytest.param({"v": "[copyIndex()]"}, "'copyIndex' is not expected at this location", id="copyIndex"),
        pytest.param({"v": ["a", {"b": "[add(1, 'a')]"}]}, r"at 'variables.v\[1\].b'", id="place is named"),
        pytest.param({"v": {"[add(1,1)]": 1}}, "name of a member must be a string", id="number as a name"),
        pytest.param({"v": {"copy": [{"name": 1, "count": 1, "input": 1}]}}, "copy must be a string", id="copy name"),
        pytest.param({"v": {"copy": [{"name": "a", "count": 801, "input": 1}]}}, "from 0 to 800, not 801", id="count"),
        pytest.param({"v": {"copy": [{"name": "a", "count": "x", "input": 1}]}}, "not String", id="count of no number"),
        pytest.param({"copy": [{"name": "v"}], "v": 1}, "the copy of variables is a list", id="copy shape"),
        pytest.param({"v": "[my.f(1)]"}, "it takes 0 arguments, not 1", id="own function's arguments"),
        pytest.param({"v": "[my.f()]"}, "The template variable 'x' is not found", id="own function sees no variables"),
    ],
)
def test_variable_is_refused(variables: Any, why: str, deploy_template: Deploy) -> None:
    function = {"parameters": [], "output": {"type": "string", "value": "[variables('x')]"}}
    with pytest.raises(ArmError, match=why):
        deploy_template(
            variables=variables, functions=[{"namespace": "my", "members": {"f": function}}]
        ).context.variables.get("v")


# The whole


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("{", "at line '1' and column '2'", id="open object"),
        pytest.param('{\n"a": }', "at line '2'", id="second line"),
        pytest.param("// only\n[]", "a template must be an object, not Array", id="list"),
        pytest.param("{}", "Required property '\\$schema' not found in JSON", id="empty"),
        pytest.param(
            '{"$schema": "", "contentVersion": "1", "resources": 1}', "'resources' must be a list", id="number"
        ),
        pytest.param(
            '{"$schema": "", "contentVersion": "1", "resources": [1]}', r"at 'resources\[0\]'", id="no object"
        ),
        pytest.param('{"$schema": "", "contentVersion": "1", "resources": [], "x": 1}', "member 'x'", id="strange"),
        pytest.param('{"a": NaN}', "NaN is no JSON number", id="NaN"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        pytest.param(f'{{"a": {"9" * 5000}}}', "Error parsing", id="endless number"),
    ],
)
def test_text_is_refused(text: str, why: str) -> None:
    with pytest.raises(ArmError, match=why) as caught:
        template.read(text)
    assert caught.value.code == "InvalidTemplate"


def test_comments_and_long_strings() -> None:
    text = """{ // a comment with "quotes"
        "$schema": "https://a//b", /* another
        one */ "contentVersion": "1.0.0.0",
        "variables": {"v": "[concat('a',
            'b')]"},
        "resources": []
    }"""
    read = template.read(text)
    assert read.document["$schema"] == "https://a//b"
    assert read.hash == template.read(text.replace("// a comment", "// no")).hash
    assert read.hash != template.read(text.replace("'b'", "'c'")).hash


@pytest.mark.parametrize(
    ("members", "why"),
    [
        pytest.param({"parameters": []}, "'parameters' must be an object", id="parameters"),
        pytest.param({"parameters": {"a": 1}}, "at 'parameters.a'", id="parameter"),
        pytest.param({"parameters": {"a": {"type": "int"}, "A": {"type": "int"}}}, "declared twice", id="twice"),
        pytest.param({"variables": {f"v{i}": 1 for i in range(513)}}, "at most 512", id="variables"),
        pytest.param({"outputs": {"a": {"type": "int"}}}, "an output has a 'value'", id="output"),
        pytest.param({"outputs": {"a": {"type": "int", "copy": 1}}}, "copy of an output", id="output copy"),
        pytest.param({"functions": [1]}, "a namespace of functions", id="namespace"),
        pytest.param({"functions": [{"namespace": "a", "members": {"f": 1}}]}, "members.f", id="function"),
        pytest.param({"resources": [{"name": "a", "type": NIC}]}, "required property 'apiVersion'", id="apiVersion"),
        pytest.param({"resources": [resource("a", dependsOn="b")]}, "'dependsOn' must be a list", id="dependsOn"),
        pytest.param({"resources": [resource("a", copy=3)]}, "has a 'name' and a 'count'", id="copy"),
        pytest.param({"resources": [resource("a", copy={"name": "c", "count": 1, "mode": "x"})]}, "mode", id="mode"),
        pytest.param(
            {"resources": [resource("a", copy={"name": "c", "count": 1, "batchSize": 0})]}, "batchSize", id="batch"
        ),
        pytest.param({"resources": [resource("a", existing=True)]}, "'existing' needs", id="existing"),
        pytest.param({"resources": [resource("a/b")]}, "incorrect segment lengths", id="segments"),
        pytest.param({"resources": [resource("a", NET + "/")]}, "incorrect segment lengths", id="empty segment"),
        pytest.param({"resources": [resource("[add(1,1)]")]}, r"it is Integer at 'resources\[0\].name'", id="name"),
        pytest.param({"resources": [resource("a", condition="yes")]}, "must be true or false, not String", id="cond"),
        pytest.param({"resources": [resource("a"), resource("A")]}, "is defined multiple times", id="same id"),
        pytest.param({"resources": [resource("a", dependsOn=["b"])]}, "'b' is not defined in the template", id="dep"),
        pytest.param({"resources": [resource("a", dependsOn=[1])]}, "named by a string", id="dependency's type"),
        pytest.param({"resources": [resource("a", dependsOn=["[reference('a')]"])]}, "not expected at this", id="late"),
        pytest.param(
            {"resources": [resource("a", NET), resource("a"), resource("b", dependsOn=["a"])]},
            "The name 'a' is ambiguous",
            id="ambiguous",
        ),
        pytest.param({"resources": [resource("a", dependsOn=["a"])]}, "Circular dependency detected", id="itself"),
        pytest.param(
            {
                "resources": [
                    resource("a", dependsOn=["b"]),
                    resource("b", dependsOn=["c"]),
                    resource("c", dependsOn=["a"]),
                ]
            },
            r"Circular dependency detected on resource: '/sub.*' \(a -> b -> c -> a\)",
            id="circle",
        ),
        pytest.param(
            {"resources": [resource("a", properties={"x": "[reference('b')]"}), resource("b", dependsOn=["a"])]},
            "Circular dependency detected",
            id="circle by reference",
        ),
        pytest.param(
            {
                "resources": [
                    resource("[concat('a', copyIndex())]", copy={"name": "c", "count": 500}),
                    resource("[concat('b', copyIndex())]", copy={"name": "d", "count": 500}),
                ]
            },
            "more than 800 resources",
            id="many",
        ),
        pytest.param({"resources": [resource("a", properties={"x": "[toLower(1)]"})]}, "properties.x'", id="body"),
        pytest.param(
            {"resources": [resource("v", NET, resources=[resource("s", "subnets", copy={"name": "c", "count": 1})])]},
            "can't be used for a child resource",
            id="copy of a child",
        ),
    ],
)
def test_template_is_refused(members: Any, why: str, deploy_template: Deploy) -> None:
    with pytest.raises(ArmError, match=why) as caught:
        deploy_template(**members)
    assert caught.value.code == "InvalidTemplate"


def test_a_profile_stands_for_api_versions(deploy_template: Deploy) -> None:
    found = deploy_template(apiProfile="2018-03-01-hybrid", resources=[{"name": "a", "type": NIC}])
    assert found.resources[0].api_version == ""


# Loops, conditions, children


def test_copies_of_a_resource(deploy_template: Deploy) -> None:
    found = deploy_template(
        parameters={"names": {"type": "array", "defaultValue": ["x", "y"]}},
        resources=[
            resource(
                "[concat('nic-', parameters('names')[copyIndex()])]",
                copy={"name": "nics", "count": "[length(parameters('names'))]"},
                location="[resourceGroup().location]",
                properties={
                    "n": "[copyIndex('nics', 10)]",
                    "copy": [
                        {
                            "name": "ipConfigurations",
                            "count": 2,
                            "input": {"name": "[format('{0}-{1}', copyIndex(), copyIndex('ipConfigurations'))]"},
                        }
                    ],
                },
            )
        ],
    )
    assert order(found) == ["nic-x", "nic-y"]
    assert found.resources[1].body(nothing) == {
        "id": f"{ROOT}{NIC}/nic-y",
        "name": "nic-y",
        "type": NIC,
        "location": "westeurope",
        "properties": {"n": 11, "ipConfigurations": [{"name": "1-0"}, {"name": "1-1"}]},
    }


@pytest.mark.parametrize(
    ("loop", "depends"),
    [
        pytest.param({}, [[], [], [], [], []], id="parallel"),
        pytest.param({"mode": "serial"}, [[], ["n0"], ["n1"], ["n2"], ["n3"]], id="serial"),
        pytest.param(
            {"mode": "Serial", "batchSize": 2}, [[], [], ["n0", "n1"], ["n0", "n1"], ["n2", "n3"]], id="batches"
        ),
    ],
)
def test_serial_copies_wait_for_one_another(loop: Any, depends: list[list[str]], deploy_template: Deploy) -> None:
    found = deploy_template(resources=[resource("[concat('n', copyIndex())]", copy={"name": "c", "count": 5, **loop})])
    assert [[name.rsplit("/", 1)[-1] for name in each.depends_on] for each in found.resources] == depends


def test_conditions(deploy_template: Deploy) -> None:
    found = deploy_template(
        parameters={"on": {"type": "bool", "defaultValue": False}},
        resources=[
            resource("a", dependsOn=["b", "none"]),
            resource("b", condition="[parameters('on')]"),
            resource("v", NET, condition=False, resources=[resource("s", "subnets")]),
            resource("[concat('n', copyIndex())]", copy={"name": "none", "count": 0}),
        ],
    )
    assert order(found) == ["a", "v/s"]
    assert found.resources[0].depends_on == ()


def test_one_of_two_conditional_resources_with_one_name(deploy_template: Deploy) -> None:
    found = deploy_template(
        resources=[
            resource("a", condition=False, location="no"),
            resource("a", condition=True, location="yes"),
            resource("b", dependsOn=["a"]),
        ]
    )
    assert [each.body(nothing).get("location") for each in found.resources] == ["yes", None]
    assert found.resources[1].depends_on == (f"{ROOT}{NIC}/a",)


def test_children_come_after_their_parents(deploy_template: Deploy) -> None:
    found = deploy_template(
        resources=[
            resource("w/out", NET + "/subnets"),
            resource(
                "[concat('v', copyIndex())]",
                NET,
                copy={"name": "c", "count": 2},
                resources=[
                    resource("[concat('s', copyIndex())]", "subnets", properties={"n": "[copyIndex()]"}),
                    resource("p", "virtualNetworkPeerings", dependsOn=["[resourceId('" + NET + "', 'w')]"]),
                ],
            ),
            resource("w", NET),
        ]
    )
    names = order(found)
    assert names.index("w") < names.index("w/out")
    assert names.index("v1") < names.index("v1/s1")
    assert names.index("w") < names.index("v0/p")
    child = next(each for each in found.resources if each.name == "v1/s1")
    assert child.id == f"{ROOT}{NET}/v1/subnets/s1"
    assert child.type == NET + "/subnets"
    assert child.body(nothing)["properties"] == {"n": 1}
    assert child.body(nothing)["name"] == "s1"


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("b", id="name"),
        pytest.param("B", id="name in another case"),
        pytest.param(f"{NIC}/b", id="type and name"),
        pytest.param(f"{NIC.lower()}/B", id="type and name in another case"),
        pytest.param(f"[resourceId('{NIC}', 'b')]", id="id"),
        pytest.param(f"{ROOT}{NIC}/b".replace("resourceGroups", "resourcegroups"), id="id in another case"),
        pytest.param("[concat('b')]", id="expression"),
        pytest.param("loop", id="copy loop"),
    ],
)
def test_dependencies_by_every_name(how: str, deploy_template: Deploy) -> None:
    found = deploy_template(
        resources=[resource("a", dependsOn=[how]), resource("b", copy={"name": "loop", "count": 1})]
    )
    assert order(found) == ["b", "a"]
    assert found.resources[1].depends_on == (f"{ROOT}{NIC}/b",)


@pytest.mark.parametrize(
    ("how", "id_alone"),
    [
        pytest.param("[reference('b').x]", False, id="reference by name"),
        pytest.param(f"[reference(resourceId('{NIC}', 'b'), '2020-01-01', 'Full').properties.x]", False, id="by id"),
        pytest.param("[concat('a', string(add(1, reference('b').x)))]", False, id="inside"),
        pytest.param("[if(true(), reference('b').x, reference('c').x)]", False, id="branch that is taken"),
        pytest.param(f"[resourceId('{NIC}', 'b')]", True, id="id alone is a preference"),
        pytest.param(f"[resourceId('{NIC}/ipConfigurations', 'b', 'i')]", True, id="id of a part"),
    ],
)
def test_implicit_dependencies(how: str, id_alone: bool, deploy_template: Deploy) -> None:
    found = deploy_template(
        resources=[resource("a", properties={"copy": [{"name": "l", "count": 1, "input": how}]}), resource("b")]
    )
    assert order(found) == ["b", "a"]
    assert found.resources[1].depends_on == (() if id_alone else (f"{ROOT}{NIC}/b",))


def test_two_resources_may_name_each_other_by_id(deploy_template: Deploy) -> None:
    found = deploy_template(
        resources=[
            resource("a", properties={"remote": f"[resourceId('{NIC}', 'b')]"}),
            resource("b", properties={"remote": f"[resourceId('{NIC}', 'a')]"}),
        ]
    )
    assert order(found) == ["a", "b"]


def test_bodies_wait_for_references(deploy_template: Deploy) -> None:
    found = deploy_template(
        resources=[
            resource("a", properties={"ip": "[reference('b').ip]", "n": "[add(1, 1)]"}, comments="not sent"),
            resource("b"),
        ]
    )
    draft, late = found.resources[1].draft()
    assert draft["properties"] == {"ip": "[reference('b').ip]", "n": 2}
    assert late == ("b",)
    assert "comments" not in draft
    named_late = deploy_template(resources=[resource("a", identity={"[reference('b').ip]": {}}), resource("b")])
    assert order(named_late) == ["b", "a"]
    asked = []

    def read(resource_id: str, version: str) -> dict[str, Any]:
        asked.append((resource_id, version))
        return {"properties": {"ip": "10.0.0.4"}}

    assert found.resources[1].body(read)["properties"] == {"ip": "10.0.0.4", "n": 2}
    assert asked == [(f"{ROOT}{NIC}/b", "2023-04-01")]
    with pytest.raises(ArmError) as caught:
        found.resources[1].body(nothing)
    assert caught.value.code == "ResourceNotFound"


def test_a_whole_reference(deploy_template: Deploy) -> None:
    found = deploy_template(
        resources=[resource("b")],
        outputs={"o": {"type": "object", "value": "[reference('b', '2020-01-01', 'Full')]"}},
    )
    value = found.outputs(lambda _, __: {"location": "x", "properties": {"a": 1}})["o"]["value"]
    assert (value["location"], value["apiVersion"], value["resourceGroupName"]) == ("x", "2020-01-01", "rg1")


def test_extension_resources(deploy_template: Deploy) -> None:
    lock = "Microsoft.Authorization/locks"
    found = deploy_template(
        resources=[
            resource("l", lock, scope=f"[resourceId('{NET}', 'v')]"),
            resource("m", lock, scope=f"{NET}/v"),
            resource("n", lock, scope="/"),
            resource("v", NET),
        ]
    )
    ids = {each.name: each.id for each in found.resources}
    assert ids["l"] == f"{ROOT}{NET}/v/providers/{lock}/l"
    assert ids["m"] == f"{ROOT}{NET}/v/providers/{lock}/m"
    assert ids["n"] == f"/providers/{lock}/n"


# Symbolic names


def test_symbolic_names(deploy_template: Deploy) -> None:
    found = deploy_template(
        languageVersion="2.0",
        resources={
            "vm": resource(
                "vm",
                dependsOn=["nic", "none"],
                properties={"ids": "[map(references('nic'), lambda('n', lambdaVariables('n').x))]"},
            ),
            "one": resource("one", dependsOn=["[format('nic[{0}]', 1)]"], properties={"x": "[reference('nic[1]').x]"}),
            "nic": resource(
                "[format('nic-{0}', copyIndex())]",
                copy={"name": "nic", "count": "[length(range(0, 2))]"},
                dependsOn=["vnet"],
            ),
            "none": resource("[format('no-{0}', copyIndex())]", copy={"name": "none", "count": 0}),
            "vnet": resource("v", NET, existing=True),
        },
        outputs={
            "space": {"type": "string", "value": "[reference('vnet').space]"},
            "none": {"type": "array", "value": "[references('none')]"},
        },
    )
    assert order(found) == ["v", "nic-0", "nic-1", "vm", "one"]
    assert found.resources[0].existing
    by_name = {each.name: each for each in found.resources}
    assert by_name["one"].depends_on == (f"{ROOT}{NIC}/nic-1",)
    assert len(by_name["vm"].depends_on) == 2

    def read(resource_id: str, _: str) -> dict[str, Any]:
        return {"properties": {"x": resource_id[-1], "space": "10.0.0.0/8"}}

    assert by_name["vm"].body(read)["properties"] == {"ids": ["0", "1"]}
    assert by_name["one"].body(read)["properties"] == {"x": "1"}
    assert found.outputs(read)["space"]["value"] == "10.0.0.0/8"
    assert found.outputs(read)["none"]["value"] == []


def test_a_loop_is_not_one_resource(deploy_template: Deploy) -> None:
    found = deploy_template(
        languageVersion="2.0",
        resources={"n": resource("[format('n{0}', copyIndex())]", copy={"name": "n", "count": 2})},
        outputs={"o": {"type": "object", "value": "[reference('n')]"}},
    )
    with pytest.raises(ArmError, match="outputs: 'o'") as caught:
        found.outputs(nothing)
    assert "stands for 2 resources" in str(caught.value.document()["details"])


# Outputs


def test_outputs(deploy_template: Deploy) -> None:
    found = deploy_template(
        outputs={
            "a": {"type": "string", "value": "[concat('x', 'y')]"},
            "no": {"type": "string", "condition": "[equals(1, 2)]", "value": "[fail('never')]"},
            "l": {"type": "array", "copy": {"count": 3, "input": "[copyIndex(1)]"}},
            "n": {"type": "int", "value": 4},
        }
    )
    assert found.outputs(nothing) == {
        "a": {"type": "String", "value": "xy"},
        "l": {"type": "Array", "value": [1, 2, 3]},
        "n": {"type": "Int", "value": 4},
    }


def test_all_wrong_outputs_are_told(deploy_template: Deploy) -> None:
    found = deploy_template(
        outputs={
            "a": {"type": "int", "value": "x"},
            "b": {"type": "string", "value": "fine"},
            "c": {"type": "string", "value": "[fail('because')]"},
            "d": {"type": "string", "condition": "x", "value": ""},
        }
    )
    with pytest.raises(ArmError, match="template outputs: 'a', 'c', 'd'") as caught:
        found.outputs(nothing)
    assert caught.value.code == "DeploymentOutputEvaluationFailed"
    details = caught.value.document()["details"]
    assert isinstance(details, list)
    assert len(details) == 3


# Scopes


def test_a_deployment_to_a_subscription(deploy_template: Deploy, scope: DeploymentScope) -> None:
    subscription = DeploymentScope(scope.subscription, location="westeurope", group_locations=scope.group_locations)
    found = deploy_template(
        scope=subscription,
        resources=[
            resource("g", "Microsoft.Resources/resourceGroups", location="[deployment().location]"),
            resource(
                "p",
                "Microsoft.Authorization/policyAssignments",
                dependsOn=["[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'g')]"],
            ),
        ],
        outputs={
            "o": {"type": "string", "value": "[resourceId('other', 'A.B/c', 'd')]"},
            "s": {"type": "string", "value": "[resourceId('22222222-2222-2222-2222-222222222222', 'A.B/c', 'd')]"},
            "g": {"type": "string", "value": "[resourceId('A.B/c', 'd')]"},
        },
    )
    root = f"/subscriptions/{scope.subscription}"
    assert [each.id for each in found.resources] == [
        f"{root}/resourceGroups/g",
        f"{root}/providers/Microsoft.Authorization/policyAssignments/p",
    ]
    assert found.resources[0].body(nothing)["location"] == "westeurope"
    assert {name: each["value"] for name, each in found.outputs(nothing).items()} == {
        "o": f"{root}/resourceGroups/other/providers/A.B/c/d",
        "s": "/subscriptions/22222222-2222-2222-2222-222222222222/providers/A.B/c/d",
        "g": f"{root}/providers/A.B/c/d",
    }
    with pytest.raises(ArmError, match="'resourceGroup' is not expected"):
        deploy_template(scope=subscription, variables={"v": "[resourceGroup()]"}).context.variables.get("v")


def test_modes() -> None:
    assert [mode_of(text) for text in ("incremental", "Complete")] == ["Incremental", "Complete"]
    with pytest.raises(ArmError, match="InvalidDeploymentMode"):
        mode_of("x")
