"""What the controller of Services must be allowed in Kubernetes.

Source: Kubernetes documentation, "Using RBAC Authorization".
"""

from __future__ import annotations

from typing import Any, Final

RULES: Final[tuple[dict[str, Any], ...]] = (
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "create", "patch"]},
)
"""Of a ClusterRole."""

LEASE_RULES: Final[tuple[dict[str, Any], ...]] = (
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["podvnet-controller"],
        "verbs": ["get", "update"],
    },
)
"""Of a Role in the namespace of the Lease."""
