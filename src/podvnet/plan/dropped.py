"""The end of a packet that does not arrive."""

from __future__ import annotations

from podvnet.model.verdict import Hop


class DroppedError(Exception):
    """A packet is dropped, by ``hop``."""

    def __init__(self, hop: Hop) -> None:
        super().__init__(hop.reason)
        self.hop = hop
