"""The plain manifests are the chart with its own values, as Helm makes them; values that contradict are refused."""

from __future__ import annotations

import pytest
import yaml

from podvnet.testing import helm


@pytest.mark.parametrize("name", helm.MANIFESTS)
def test_a_plain_manifest_is_what_the_chart_comes_to(name: str) -> None:
    assert (helm.DEPLOY / name).read_text(encoding="utf-8") == helm.manifest(name), (
        "python -m podvnet.testing.helm writes them"
    )


@pytest.mark.parametrize(
    "values",
    [
        "network.mode=bridge,network.vnetPrefixes={10.1.0.0/16},agent.poolSource=arm,arm.ca=pem",
        "agent.enforceGroups=true,agent.podsMayAskPlatform=true,agent.persistSysctls=false,agent.metricsPort=9464",
        "controller.default=true,controller.subnet=a,controller.resourceGroup=b,controller.metricsPort=9465,image.pullSecrets={secret}",
        "controller.enabled=false,agent.followKubernetes=false",
    ],
)
def test_every_value_comes_to_objects(values: str) -> None:
    made = [each for each in yaml.safe_load_all(helm.template("--set", values)) if each]
    assert all(each["kind"] and each["metadata"]["name"].startswith("podvnet") for each in made)


def test_groups_between_pods_of_a_bridge_are_refused() -> None:
    with pytest.raises(helm.HelmError, match="use transparent or tunnel"):
        helm.template("--set", "network.mode=bridge,agent.enforceGroups=true")
