"""The programs of all services, as the intent says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from podvnet.fabric.services import program
from podvnet.fabric.services.keeper import Keeper, end_strays
from podvnet.fabric.services.recipe import Recipe
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.intent import Intent
from podvnet.model.service import Service

SERVICES = "services"
"""Below the state's directory, the files of services: a directory for each."""


class Services(Protocol):
    """What the engine asks of whatever runs services. For the engine's turn."""

    def check(self, intent: Intent) -> None:
        """Refuse an intent with services that cannot be run.

        Raises:
            ArmErrorsError: what is missing.
        """

    def recover(self, intent: Intent) -> None:
        """Run what the intent says, whatever ran before."""

    def follow(self, intent: Intent) -> None:
        """Run what the intent says, and nothing else."""

    def end(self) -> None:
        """End every program. Files stay as long as the resources do."""

    def unawaited(self) -> Callable[[], None] | None:
        """What waits for the programs begun since this was last asked; None when there is none."""


class NoServices:
    """Runs nothing: for fabrics that carry packets to no service."""

    def check(self, intent: Intent) -> None:
        """Take any intent."""

    def recover(self, intent: Intent) -> None:
        """Do nothing."""

    def follow(self, intent: Intent) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def unawaited(self) -> Callable[[], None] | None:
        """Nothing is waited for."""
        return None


class ServiceProcesses:
    """Runs a program for each service. They go on when this process ends, and are begun anew when it is back.

    Args:
        state: for their files.
    """

    def __init__(self, state: Path) -> None:
        self._directory = state / SERVICES
        self._authority = state / "identity"
        self._keepers: dict[str, Keeper] = {}
        self._begun: list[Keeper] = []

    def check(self, intent: Intent) -> None:
        """Refuse new services whose programs are not installed.

        Raises:
            ArmErrorsError: each, with what to install.
        """
        errors = []
        for key, service in intent.services.items():
            if key not in self._keepers:
                try:
                    program.check(service)
                except program.MissingProgramError as error:
                    errors.append(_refusal(service, str(error)))
        if errors:
            raise ArmErrorsError(tuple(errors))

    def recover(self, intent: Intent) -> None:
        """End what an earlier life left, throw away what is nobody's, begin."""
        end_strays(self._directory)
        wanted = {_label(each) for each in intent.services.values()}
        for entry in self._directory.iterdir() if self._directory.exists() else ():
            if entry.name not in wanted:
                shutil.rmtree(entry)
        self.follow(intent)

    def follow(self, intent: Intent) -> None:
        """Begin the programs of services that are new, end those of services that are gone.

        A service whose own settings change is begun anew; what its firewall takes is no matter of its program.
        """
        for key, keeper in list(self._keepers.items()):
            service = intent.services.get(key)
            if service is None or _settings(service) != _settings(keeper.recipe.service):
                self._keepers.pop(key).end(discard=service is None)
                if service is None:
                    shutil.rmtree(keeper.recipe.directory, ignore_errors=True)
        for key in intent.services.keys() - self._keepers.keys():
            service = intent.services[key]
            recipe = Recipe(service, directory_of(service, self._directory.parent), self._authority)
            self._keepers[key] = keeper = Keeper(recipe)
            self._begun.append(keeper)

    def end(self) -> None:
        """End every program. Files stay as long as the resources do."""
        for keeper in self._keepers.values():
            keeper.end(discard=False)
        self._keepers.clear()

    def unawaited(self) -> Callable[[], None] | None:
        """What waits until the programs begun answer."""
        begun, self._begun = self._begun, []
        return (lambda: _wait_for(begun)) if begun else None


def directory_of(service: Service, state: Path) -> Path:
    """Where the files of a service are, below the fabric's state."""
    return state / SERVICES / _label(service)


def _wait_for(keepers: list[Keeper]) -> None:
    """Wait until programs answer.

    Raises:
        ArmErrorsError: each that does not.
    """
    for keeper in keepers:
        keeper.wait()
    failed = [keeper for keeper in keepers if keeper.failure]
    if failed:
        raise ArmErrorsError(tuple(_refusal(each.recipe.service, each.failure) for each in failed))


def _refusal(service: Service, what: str) -> ArmError:
    message = f"The program that stands in for {service.id.type} does not run: {what}"
    return ArmError("StandInUnavailable", message, status=HTTPStatus.CONFLICT, target=str(service.id))


def _settings(service: Service) -> tuple[object, ...]:
    return service.endpoints, service.secrets


def _label(service: Service) -> str:
    """The name of a service's directory. Names are unique in a kind, whatever the resource group."""
    return f"{service.kind.rsplit('.', 1)[-1].lower()}-{service.id.name.lower()}"
