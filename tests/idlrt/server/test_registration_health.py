"""When the registration of a server counts as a failure."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import pytest

from idlrt.core import Instance
from idlrt.errors import RegistryError, RegistryUnavailable
from idlrt.registry import RegistrationState
from idlrt.server.registration import ServiceRegistrar
from idlrt.server.registration_health import registration_failure

DOWN = RegistryUnavailable("connection refused")


class OneRegistration(NamedTuple):
    state: RegistrationState
    was_registered: bool
    error: RegistryError | None = None
    instance: Instance = Instance(service="Users", host="127.0.0.1", port=1)


class OneRegistry(NamedTuple):
    is_connected: bool
    last_error: RegistryError | None


class Registrar(NamedTuple):
    registry: OneRegistry | None
    registrations: tuple[OneRegistration, ...]


UP = OneRegistry(True, None)
LOST = OneRegistry(False, DOWN)
# The session has not expired yet.
SILENT = OneRegistry(True, DOWN)


@pytest.mark.parametrize(
    ("registry", "state", "was_registered", "failure"),
    [
        (UP, "registered", True, ""),
        (UP, "pending", False, "Users is pending"),
        (UP, "pending", True, "Users is pending"),
        (UP, "lost", True, "Users is lost"),
        (UP, "displaced", True, "Users is displaced"),
        (UP, "refused", False, "Users is refused"),
        (LOST, "registered", True, ""),
        (LOST, "lost", True, ""),
        (LOST, "pending", True, ""),
        (SILENT, "lost", True, ""),
        (LOST, "pending", False, "Users is pending: connection refused"),
        (LOST, "displaced", True, "Users is displaced: connection refused"),
        (LOST, "refused", True, "Users is refused: connection refused"),
    ],
)
def test_an_unreachable_registry_is_no_failure_once_clients_know_the_server(
    registry: OneRegistry, state: str, was_registered: bool, failure: str
) -> None:
    registrar = Registrar(registry, (OneRegistration(RegistrationState(state), was_registered),))
    assert registration_failure(cast("ServiceRegistrar", registrar)) == failure


def test_the_reason_is_the_error_of_the_registration_rather_than_that_of_the_registry() -> None:
    refused = OneRegistration(RegistrationState.REFUSED, False, RegistryError("not allowed"))
    registrar: Any = Registrar(SILENT, (refused,))
    assert registration_failure(registrar) == "Users is refused: not allowed"


def test_each_service_has_to_be_registered() -> None:
    good = OneRegistration(RegistrationState.REGISTERED, True)
    bad = OneRegistration(RegistrationState.LOST, True)
    registrar: Any = Registrar(UP, (good, bad))
    assert registration_failure(registrar) == "Users is lost"


def test_nothing_is_registered_before_the_server_serves() -> None:
    registrar: Any = Registrar(None, ())
    assert registration_failure(registrar) == "not registered yet"
