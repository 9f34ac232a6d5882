"""The controller's process, before there is anything to control."""

from __future__ import annotations

import os
import signal

import pytest
from click.testing import CliRunner

from podvnet.azure.error import SourceError
from podvnet.cli.controller import controller
from podvnet.cli.listening_address import listening_address
from podvnet.cli.output import FailureError
from podvnet.kube import home_discovery

SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/t"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_it_waits_for_the_resource_manager(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    asked: list[str] = []

    def find(*_: object, subnet: str, **__: object) -> None:
        asked.append(subnet)
        os.kill(os.getpid(), number)
        raise SourceError("no answer", "", retryable=True, retry_after=3600.0)

    monkeypatch.setattr(home_discovery, "find_home", find)
    result = CliRunner().invoke(controller, ["--subnet", SUBNET])
    assert (result.exit_code, asked) == (0, [SUBNET])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),
        ("127.0.0.1:9465", ("127.0.0.1", 9465)),
        ("[fd00::1]:9465", ("fd00::1", 9465)),
        ("fd00::1:9465", ("fd00::1", 9465)),
    ],
)
def test_metrics_are_served_at_an_address_and_a_port(text: str, address: tuple[str, int] | None) -> None:
    assert listening_address(text) == address


@pytest.mark.parametrize("text", ["9465", ":9465", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:²", f"a:{'9' * 5000}"])
def test_what_is_no_address_and_port_is_refused(text: str) -> None:
    with pytest.raises(FailureError, match="is not of the form"):
        listening_address(text)
