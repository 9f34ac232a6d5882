"""What an ADD is told that could be served later."""

from __future__ import annotations

from podvnet.plugin.error import CniError


class MustWaitError(Exception):
    """An ADD that could be served later.

    Attributes:
        seconds: until it is worth another try; 0 when only the platform's answer can help.
        error: what to answer if time runs out.
        growing: something is being written at the resource manager, which takes longer than one answer of the platform.
        asking: what is waited for is no free address of the pool.
        patience: seconds to wait for this alone, before anything else is waited for; 0 is as long as for the others.
    """

    def __init__(
        self,
        seconds: float,
        error: CniError,
        *,
        growing: bool = False,
        asking: bool = False,
        patience: float = 0.0,
    ) -> None:
        super().__init__(str(error))
        self.seconds = seconds
        self.error = error
        self.growing = growing
        self.asking = asking
        self.patience = patience
