"""The chart and the plain manifests, against the commands, the code's own lists, and the packaging."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest
import yaml

from podvnet.cli.agent import agent
from podvnet.cli.controller import controller
from podvnet.cli.install import install, uninstall
from podvnet.kube import service_rbac
from podvnet.kube.node_rbac import RULES
from podvnet.kube.service_controller import LEASE

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "podvnet"
COMMANDS = {"agent": agent, "controller": controller, "install": install, "uninstall": uninstall}
CONFIGURATION = ("install", "agent")

Object = dict[str, Any]


def documents(name: str) -> list[Object]:
    return list(yaml.safe_load_all((ROOT / "deploy" / name).read_text(encoding="utf-8")))


def named(kind: str, name: str) -> Object:
    everything = [*documents("podvnet.yaml"), *documents("podvnet-removal.yaml")]
    return next(each for each in everything if (each["kind"], each["metadata"]["name"]) == (kind, name))


def containers() -> list[tuple[str, Object]]:
    """Every container that runs podvnet, with its command's name."""
    templates = [
        each["spec"]["template"]["spec"]
        for each in (*documents("podvnet.yaml"), *documents("podvnet-removal.yaml"))
        if each["kind"] in {"DaemonSet", "Deployment"}
    ]
    found = [one for each in templates for one in (*each.get("initContainers", []), *each["containers"])]
    return [(each["args"][1], each) for each in found if each.get("args")]


@pytest.mark.parametrize(("name", "container"), containers(), ids=[each["name"] for _, each in containers()])
def test_a_container_gives_its_command_options_that_it_knows(name: str, container: Object) -> None:
    command = COMMANDS[name]
    arguments = [each for each in container["args"][2:] if not each.startswith("--plugins-from")]  # is in the image
    context = command.make_context(name, arguments, resilient_parsing=False)
    assert container["args"][0] == "podvnet"
    assert context.params


def test_the_variables_of_the_configuration_are_read_by_the_commands() -> None:
    known = {
        variable
        for name in CONFIGURATION
        for option in COMMANDS[name].params
        if isinstance(option, click.Option)
        for variable in ([option.envvar] if isinstance(option.envvar, str) else option.envvar or [])
    }
    # What the chart may write besides what it writes by default.
    template = (CHART / "templates" / "configmap.yaml").read_text(encoding="utf-8")
    helpers = (CHART / "templates" / "_helpers.tpl").read_text(encoding="utf-8")
    written = set(re.findall(r"(PODVNET_\w+):", template + helpers))
    assert named("ConfigMap", "podvnet-node")["data"].keys() <= written <= known


def test_an_agent_may_do_what_its_code_asks_for_and_nothing_else() -> None:
    assert named("ClusterRole", "podvnet-agent")["rules"] == [dict(each) for each in RULES]
    binding = named("ClusterRoleBinding", "podvnet-agent")
    template = named("DaemonSet", "podvnet-agent")["spec"]["template"]["spec"]
    assert binding["subjects"][0]["name"] == template["serviceAccountName"]


def test_a_controller_may_do_what_its_code_asks_for_and_nothing_else() -> None:
    assert named("ClusterRole", "podvnet-controller")["rules"] == [dict(each) for each in service_rbac.RULES]
    assert named("Role", "podvnet-controller")["rules"] == [dict(each) for each in service_rbac.LEASE_RULES]
    (names,) = (each["resourceNames"] for each in service_rbac.LEASE_RULES if "resourceNames" in each)
    assert names == [LEASE]
    template = named("Deployment", "podvnet-controller")["spec"]["template"]["spec"]
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        assert named(kind, "podvnet-controller")["subjects"][0]["name"] == template["serviceAccountName"]


def test_an_agent_is_on_every_node_and_is_the_last_to_go() -> None:
    template = named("DaemonSet", "podvnet-agent")["spec"]["template"]["spec"]
    assert template["tolerations"] == [{"operator": "Exists"}]
    assert template["priorityClassName"] == "system-node-critical"
    assert template["hostNetwork"] is True


def test_no_container_is_privileged_and_each_says_what_it_needs() -> None:
    contexts = [each["securityContext"] for _, each in containers()]
    assert [each for each in contexts if each.get("privileged")] == []
    assert all(each["capabilities"]["drop"] == ["ALL"] and each["readOnlyRootFilesystem"] for each in contexts)
    agents = named("DaemonSet", "podvnet-agent")["spec"]["template"]["spec"]["containers"][0]
    assert agents["securityContext"]["capabilities"]["add"] == ["NET_ADMIN", "SYS_ADMIN"]


def test_the_chart_has_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert f"--tag podvnet:{version} " in (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def test_the_values_are_as_their_schema_says_and_the_schema_describes_each() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    jsonschema_rs.validator_for(schema).validate(values)
    described = {
        f"{group}.{name}" for group, each in schema["properties"].items() for name in each.get("properties", ())
    }
    assert {f"{group}.{name}" for group, each in values.items() for name in each} == described


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": {"mode": "overlay"}},
        {"network": {"vnetPrefixes": ["everywhere"]}},
        {"agent": {"maxUnavailable": 0}},
        {"arm": {"endpoint": "http://management"}},
        {"image": {"repository": "podvnet", "tags": "1"}},
    ],
    ids=json.dumps,
)
def test_values_that_cannot_be_meant_are_refused(wrong: Object) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert not jsonschema_rs.validator_for(schema).is_valid(wrong)


def test_what_the_image_is_made_of_is_in_the_checkout() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    sources = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()]
    assert [each for each in sources if not (ROOT / each).exists()] == []
    admitted = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{each}" for each in sources} == {each for each in admitted if each.startswith("!")}
