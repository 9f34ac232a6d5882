"""What the agent of a node must be allowed in Kubernetes, as rules of a ClusterRole.

With kubelet's own credentials all but :data:`NAMESPACES` is allowed already, for its own node and pods.
Source: Kubernetes documents "Using RBAC Authorization" and "Using Node Authorization".
"""

from __future__ import annotations

from typing import Any, Final

NAMESPACES: Final[dict[str, Any]] = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}
"""Whether a namespace may ask for something is said by its labels."""

RULES: Final[tuple[dict[str, Any], ...]] = (
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
    NAMESPACES,
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
)
