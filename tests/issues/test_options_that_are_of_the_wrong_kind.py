"""Options of the wrong kind are refused where they are given, with a sentence that says what they should be."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hand_written import AsyncUserServiceClient, Users, UserServiceClient, user_service

from idlrt import Limits, Server, Tls
from idlrt.errors import ConfigurationError

ADDRESS = "tcp://127.0.0.1:9090"

tls: Any = Tls
limits: Any = Limits


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: tls(True), r"Tls\(True\): arguments must be named; use Tls\(certificate=\.\.\., key="),
        (lambda: tls("a.pem", "b.pem"), r"Tls\('a.pem', 'b.pem'\): arguments must be named"),
        (lambda: tls(certficate="a.pem"), "Tls has no argument 'certficate'; did you mean 'certificate'"),
        (lambda: tls(certificate=True), "Tls: `certificate` must be the path of a PEM file, got True"),
        (lambda: tls(authorities=["a.pem"]), "Tls: `authorities` must be the path of a PEM file"),
        (lambda: tls(server_name=None), "Tls: `server_name` must be a host name, got None"),
        (lambda: tls(refresh_interval=-1), "Tls: `refresh_interval` must be at least 0 seconds, got -1"),
        (lambda: limits(5), r"Limits\(5\): arguments must be named"),
        (lambda: limits(max_mesage=5), "Limits has no argument 'max_mesage'; did you mean 'max_message'"),
        (lambda: limits(max_message="5"), "max_message of Limits must be a whole number of 0 or more, not '5'"),
        (lambda: limits(max_depth=True), "max_depth of Limits must be a whole number"),
        (lambda: limits(max_string=-1), "max_string of Limits must be a whole number"),
    ],
)
def test_descriptions(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make()


@pytest.mark.parametrize("client", [UserServiceClient, AsyncUserServiceClient])
@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("tls", True, "tls must be idlrt.Tls, got True"),
        ("limits", 5, "limits must be idlrt.Limits, got 5"),
        ("framing", True, "framing must be a string, got True"),
        ("protocol", 5, "protocol must be a string, got 5"),
        ("max_connections", True, "max_connections must be at least 1, got True"),
        ("filters", 5, "filters must be a list, got 5"),
        ("filters", [5], "a filter must be callable, `async .call, next. -> result`, got 5"),
    ],
)
def test_options_of_clients(client: Any, option: str, value: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        client.connect(ADDRESS, **{option: value})


def test_options_of_servers() -> None:
    options: dict[str, Any] = {"tls": True}
    with pytest.raises(ConfigurationError, match=r"tls: must be an `idlrt\.Tls`, got True"):
        Server(user_service(Users()), **options)


def test_paths_may_be_paths() -> None:
    given: Any = Path("certificates") / "server.pem"
    assert Tls(certificate=given) == Tls(certificate="certificates/server.pem")
    assert Tls(certificate=given).paths() == ["certificates/server.pem"]


@pytest.mark.parametrize("made", [Tls(key="a.pem"), Limits(max_depth=7)], ids=["tls", "limits"])
def test_descriptions_are_copied_and_replaced_as_others(made: Any) -> None:
    assert copy.copy(made) == copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == made
    assert msgspec.structs.replace(made) == made
    assert msgspec.convert(msgspec.to_builtins(made), type(made)) == made
