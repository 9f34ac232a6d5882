"""The error of the resource manager: a code, an HTTP status, and a message a person can act on.

Source: Azure document "Troubleshoot common Azure deployment errors"; the codes and statuses are listed in the
resource providers' own error tables.
"""

from __future__ import annotations

from http import HTTPStatus


class ArmError(Exception):
    """A request the resource manager refuses.

    Attributes:
        code: Azure's error code, e.g. ``SubnetIsFull``.
        status: the HTTP status it travels with.
        message: what is wrong, where, and what to do.
        target: the resource id or property path concerned, empty when there is none.
    """

    def __init__(
        self, code: str, message: str, *, status: HTTPStatus = HTTPStatus.BAD_REQUEST, target: str = ""
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.target = target

    def document(self) -> dict[str, object]:
        """Return the ``error`` object of the response body."""
        body: dict[str, object] = {"code": self.code, "message": self.message, "details": []}
        if self.target:
            body["target"] = self.target
        return body


class ArmErrorsError(Exception):
    """Several refusals at once: what a whole file of resources answers with."""

    def __init__(self, errors: tuple[ArmError, ...]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = errors
