"""What is wrong with a template, and what went wrong in a deployment.

Source: Azure document "Troubleshoot common Azure deployment errors": ``InvalidTemplate`` is the template's own fault,
``InvalidTemplateDeployment`` wraps what providers said before anything was done, ``DeploymentFailed`` what they said
after.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from podvnet.model.arm_error import ArmError


class TemplateError(ArmError):
    """``InvalidTemplate``: says what, and where in the template.

    Args:
        reason: what is wrong and what to do, without a full stop.
        path: where in the template, e.g. ``resources[2].properties.subnets[0].name``; empty when not known yet.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        where = f" at '{path}'" if path else ""
        super().__init__("InvalidTemplate", f"Deployment template validation failed: '{reason}{where}'.", target=path)
        self.reason = reason
        self.path = path

    def at(self, path: str) -> TemplateError:
        """The same error with its place, unless it has one."""
        return self if self.path or not path else type(self)(self.reason, path)


class LateError(TemplateError):
    """A value that only exists once resources are deployed was asked for before; wrong where it cannot be awaited."""


class DetailedError(ArmError):
    """An error that wraps others.

    Attributes:
        details: the errors inside.
    """

    def __init__(
        self,
        code: str,
        message: str,
        details: tuple[ArmError, ...],
        *,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        target: str = "",
    ) -> None:
        super().__init__(code, message, status=status, target=target)
        self.details = details

    def document(self) -> dict[str, object]:
        """Return the ``error`` object with its details."""
        return super().document() | {"details": [error.document() for error in self.details]}


@contextmanager
def bounded(path: str = "") -> Iterator[None]:
    """Turn nesting that is too deep for the machine into an answer.

    Raises:
        TemplateError: the template, or a value it computes, is nested too deeply.
    """
    try:
        yield
    except RecursionError:
        raise TemplateError("the template or a value that it computes is nested too deeply", path) from None


def misused(function: str, why: str) -> TemplateError:
    """The error of a call that cannot be carried out."""
    return TemplateError(f"Unable to evaluate template language function '{function}': {why}")
