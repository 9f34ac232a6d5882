"""What the agent knows of its VM."""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.model.attachment import Node


@dataclass(slots=True)
class Standing:
    """What the agent knows of its VM: None and a reason until the platform has answered."""

    node: Node | None = None
    reason: str = "the agent is starting and has not asked the platform yet"
    remedy: str = "wait a moment; `podvnet doctor` shows what the agent waits for"
