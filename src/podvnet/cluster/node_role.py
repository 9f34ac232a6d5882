"""What nodes may do besides what the API server lets every kubelet do: the agent uses kubelet's credentials."""

from __future__ import annotations

from typing import Any

from podvnet.kube.node_rbac import NAMESPACES

NAME = "podvnet-node"


def node_role() -> list[dict[str, Any]]:
    """The objects: a role, and that all nodes have it. Source: Kubernetes document "Using RBAC Authorization"."""
    group = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME},
            "rules": [NAMESPACES],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": NAME},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:nodes"}],
        },
    ]
