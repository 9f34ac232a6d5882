"""``python3 -Im podvnet.cli.probe``: what kubelet asks the agent's container, every few seconds and so without click.

``alive``: the agent answers. ``ready``: it knows its NIC and has prepared the VM. Whether there is an address left is
not asked: that is STATUS' to say, and no reason to think the agent ill.
"""

from __future__ import annotations

import json
import sys

from podvnet.plugin.frame import call

SOCKET = "/run/podvnet/agent.sock"
_QUERY = "PODVNET_QUERY"
_TIMEOUT = 8.0


def reason_against(what: str, socket: str = SOCKET) -> str:
    """Why the agent is not ``alive`` or ``ready``; empty when it is."""
    try:
        _, answer = call(socket, {_QUERY: "status"}, b"", timeout=_TIMEOUT)
        found = json.loads(answer)
    except (OSError, ValueError) as error:
        return f"the agent does not answer at {socket}: {error}"
    if what == "alive" or found.get("ready"):
        return ""
    return f"{found.get('reason', found)}: {found.get('remedy', '')}"


def main() -> int:
    """Print why not, if so."""
    reason = reason_against(sys.argv[1] if len(sys.argv) > 1 else "ready")
    if reason:
        sys.stdout.write(f"{reason}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
