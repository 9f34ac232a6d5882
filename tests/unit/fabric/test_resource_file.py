from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.fabric import resource_file
from podvnet.fabric.arm.world import Document
from podvnet.model.arm_error import ArmErrorsError

HUB = "{type: Microsoft.Network/virtualNetworks, name: hub}"


def parsed(*resources: str, head: str = "") -> list[Document]:
    return resource_file.parse(f"{head}\nresources: [{', '.join(resources)}]", "net.yaml")


def refused(text: str) -> list[tuple[str, str]]:
    with pytest.raises(ArmErrorsError) as caught:
        resource_file.parse(text, "net.yaml")
    return [(error.code, error.message) for error in caught.value.errors]


def test_a_resource_gets_its_id_and_location() -> None:
    assert parsed(HUB) == [
        {
            "id": "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/podvnet"
            "/providers/Microsoft.Network/virtualNetworks/hub",
            "type": "Microsoft.Network/virtualNetworks",
            "name": "hub",
            "location": "local",
        }
    ]


@pytest.mark.parametrize(
    ("head", "resource", "key", "value"),
    [
        pytest.param("subscription: s1", HUB, "id", "/subscriptions/s1/resourceGroups/podvnet/", id="subscription"),
        pytest.param("resourceGroup: My.rg_(1)-x", HUB, "id", "/resourceGroups/My.rg_(1)-x/", id="resource group"),
        pytest.param("location: West Europe", HUB, "location", "West Europe", id="location of the file"),
        pytest.param("location: a", "{type: A/b, name: n, location: c}", "location", "c", id="location of its own"),
        pytest.param("", "{type: A/b/c, name: n/m}", "id", "/providers/A/b/n/c/m", id="a child's id"),
        pytest.param("", "{type: A/b/c, name: n/m}", "name", "m", id="a child's name"),
        pytest.param("", "{type: A/b, name: n, id: other}", "id", "/providers/A/b/n", id="the id is always made"),
        pytest.param("", "{type: A/b, name: n, tags: {on: 2024-01-31}}", "tags", "2024-01-31", id="a date is a text"),
    ],
)
def test_conveniences(head: str, resource: str, key: str, value: str) -> None:
    assert value in str(parsed(resource, head=head)[0][key])


def test_json_is_read_as_well() -> None:
    text = json.dumps({"resources": [{"type": "A/b", "name": "n", "properties": {"x": None}}]}, indent=1)
    assert resource_file.parse(text, "net.json")[0]["properties"] == {"x": None}


def test_the_order_of_the_file_is_kept() -> None:
    assert [each["name"] for each in parsed(*(f"{{type: A/b, name: n{n}}}" for n in (3, 1, 2)))] == ["n3", "n1", "n2"]


@pytest.mark.parametrize(
    ("configuration", "names"),
    [
        pytest.param("{name: pod, copy: 3, properties: {x: 1}}", ["pod-1", "pod-2", "pod-3"], id="three"),
        pytest.param("{name: pod, copy: 1}", ["pod-1"], id="one"),
        pytest.param("{copy: 2}", ["ipconfig-1", "ipconfig-2"], id="nameless"),
        pytest.param("{name: pod}", ["pod"], id="none"),
        pytest.param("{name: pod, copy: 256}", [f"pod-{n}" for n in range(1, 257)], id="as many as a NIC holds"),
    ],
)
def test_copies(configuration: str, names: list[str]) -> None:
    resource = f"{{type: A/b, name: n, properties: {{other: 1, ipConfigurations: [{{name: first}}, {configuration}]}}}}"
    properties = parsed(resource)[0]["properties"]
    assert [each["name"] for each in properties["ipConfigurations"]] == ["first", *names]
    assert not any("copy" in each for each in properties["ipConfigurations"])
    assert properties["other"] == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "net.yaml: must be an object with a list called 'resources'", id="empty"),
        pytest.param("[]", "must be an object with a list called 'resources'", id="a list"),
        pytest.param("resources: {}", "must be an object with a list called 'resources'", id="no list"),
        pytest.param("resources: [\n  {", "net.yaml line 2, column 4: not YAML", id="not YAML"),
        pytest.param("resources: [a\tb: {]", "not YAML", id="not YAML either"),
        pytest.param("resources: !!python/object:os.system []", "not YAML", id="a tag that runs code"),
        pytest.param("resources: [" * 3000, "not YAML", id="too deep"),
        pytest.param("resources: []\nresourcegroup: x", "unknown member 'resourcegroup'; known are", id="unknown"),
        pytest.param("resources: []\n1: x", "unknown member '1'", id="a number for a member"),
        pytest.param("resources: []\nresourceGroup: a/b", "resourceGroup cannot be 'a/b'", id="slash in a group"),
        pytest.param("resources: []\nresourceGroup: ..", "resourceGroup cannot be '..'", id="dots for a group"),
        pytest.param("resources: []\nresourceGroup:", "resourceGroup cannot be None", id="null for a group"),
        pytest.param("resources: []\nsubscription: 7", "subscription cannot be 7", id="number for a subscription"),
        pytest.param("resources: []\nlocation: ''", "location cannot be ''", id="empty location"),
        pytest.param("resources: [hub]", "resources[0]: must be an object, not a string", id="not an object"),
        pytest.param("resources: [{name: a}]", "resources[0]: 'type' is required and must be a string", id="no type"),
        pytest.param("resources: [{type: A/b}]", "'name' is required", id="no name"),
        pytest.param("resources: [{type: A/b, name: 1}]", "'name' is required and must be a string", id="a number"),
        pytest.param("resources: [{type: A/b, name: n/m}]", "type 'A/b' does not go with name 'n/m'", id="a name more"),
        pytest.param("resources: [{type: A/b/c, name: n}]", "does not go with name 'n'", id="a name less"),
        pytest.param("resources: [{type: b, name: n}]", "does not go with name 'n'", id="no provider"),
        pytest.param("resources: [{type: A/b/c, name: n/}]", "may have no empty part", id="an empty name"),
        pytest.param("resources: [{type: A//c, name: n/m}]", "may have no empty part", id="an empty type"),
        pytest.param(
            "resources: [{type: A/b, name: n}, {type: a/B, name: N}]",
            "resources[1] repeats /subscriptions/",
            id="twice",
        ),
        *(
            pytest.param(
                f"resources: [{{type: A/b, name: n, properties: {{ipConfigurations: [{{name: a, copy: {count}}}]}}}}]",
                "resources[0]: copy must be a number from 1 to 256",
                id=f"copy {count}",
            )
            for count in ("0", "257", "-1", "true", "2.0", "'2'", "null")
        ),
    ],
)
def test_refused(text: str, says: str) -> None:
    errors = refused(text)
    assert len(errors) == 1
    code, message = errors[0]
    assert code == "InvalidRequestContent"
    assert says in message
    assert message.startswith("net.yaml")


def test_every_mistake_is_named_at_once() -> None:
    errors = refused("resources: [{type: A/b}, {name: n}, 3, {type: A/b, name: n}, {type: A/b, name: n}]")
    assert [message.split(":")[1].strip()[:12] for _, message in errors] == [f"resources[{n}]" for n in (0, 1, 2, 4)]


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(f"# Grüße\nresources: [{HUB}]", encoding="utf-8")
    assert resource_file.read(path) == parsed(HUB)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "No such file or directory", id="not there"),
        pytest.param(b"\xff\xfe\x00", "it is not UTF-8 text", id="not text"),
    ],
)
def test_a_file_that_cannot_be_read(content: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArmErrorsError) as caught:
        resource_file.read(path)
    (error,) = caught.value.errors
    assert (error.code, error.message) == ("FileNotReadable", f"cannot read {path}: {says}")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ArmErrorsError, match="FileNotReadable"):
        resource_file.read(tmp_path)


@given(st.text(max_size=60) | st.text(alphabet="{}[]:,-&*!|>'\"# \nresourcesnametype/1", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"resources: [{text}]", f"resources:\n- {text}"):
        documents: list[Document] = []
        with contextlib.suppress(ArmErrorsError):
            documents = resource_file.parse(candidate, "net.yaml")
        assert all(document["id"].startswith("/subscriptions/") for document in documents)
