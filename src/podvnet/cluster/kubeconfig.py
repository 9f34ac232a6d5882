"""Kubeconfigs: where a cluster is, whom to trust there, and who one is. Source: Kubernetes API ``v1 Config``."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from podvnet.cluster.certificates import Identity


def kubeconfig(cluster: str, server: str, authority: bytes, user: str, identity: Identity) -> dict[str, Any]:
    """A kubeconfig that holds all it needs.

    Args:
        cluster: a name for it.
        server: the URL of its API.
        authority: the certificate that the API's is signed with, PEM.
        user: a name for the user, as certificates have it.
        identity: the user's certificate and key.
    """
    context = f"{user}@{cluster}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _text(authority)}}],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _text(identity.certificate),
                    "client-key-data": _text(identity.key),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
        "current-context": context,
    }


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")
