"""Settings of servers: defaults, and values that make no sense."""

from __future__ import annotations

import inspect
import math
import pydoc
import re
from typing import Any

import pytest
from hand_written import Users, user_service

from idlrt.core import Call, CallNext
from idlrt.errors import ConfigurationError
from idlrt.server import AsyncServer, ProcessServer, Server
from idlrt.server.registration import InstanceOptions
from idlrt.server.settings import SERVER_DEFAULTS, ServerOptions, Settings

NUMBERS = {
    name: value
    for name in Settings.__struct_fields__
    if isinstance(value := getattr(Settings(), name), int | float) and not isinstance(value, bool)
}
COUNTS = sorted(name for name, value in NUMBERS.items() if isinstance(value, int))
MAY_BE_ZERO = ("workers", "max_queued", "idle_timeout", "message_timeout", "write_timeout", "drain_s", "grace_s")
MUST_BE_MORE = ("max_in_flight", "max_in_flight_per_connection", "max_connections", "high_water", "timeout", "backlog")


def refused(**options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Server(user_service(Users()), **options)
    return str(caught.value)


async def fine(call: Call, next: CallNext) -> Any:
    return await next(call)


def test_all_options_have_a_default() -> None:
    assert set(Settings.__struct_fields__) == set(ServerOptions.__annotations__)


def test_no_default_is_without_end() -> None:
    assert set(NUMBERS) >= {*MAY_BE_ZERO, *MUST_BE_MORE}
    for name, value in NUMBERS.items():
        assert math.isfinite(value), name
        # No threads by default; all other options have a limit by default.
        assert value > 0 or name == "workers", name


@pytest.mark.parametrize("value", [-1, -0.5, "3", None, True, [], math.nan, math.inf], ids=repr)
@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_what_is_no_amount_is_refused_by_its_name(name: str, value: Any) -> None:
    said = refused(**{name: value})

    assert said.startswith(f"{name}: must be ")
    assert said.endswith(f"got {value!r}")


@pytest.mark.parametrize("name", COUNTS)
def test_there_is_no_half_of_what_is_counted(name: str) -> None:
    assert refused(**{name: 1.5}).startswith(f"{name}: must be an integer")


@pytest.mark.parametrize("name", MUST_BE_MORE)
def test_nothing_at_all_is_refused_where_it_makes_no_sense(name: str) -> None:
    said = refused(**{name: 0})

    assert name in said
    assert said.endswith("got 0")


@pytest.mark.parametrize("name", MAY_BE_ZERO)
def test_nothing_at_all_is_fine_where_it_is_an_answer(name: str) -> None:
    given: dict[str, Any] = {name: 0}
    assert getattr(Settings(**given), name) == 0


@pytest.mark.parametrize("name", MUST_BE_MORE)
def test_one_is_enough(name: str) -> None:
    given: dict[str, Any] = {name: 1}
    assert getattr(Settings(**given), name) == 1


@pytest.mark.parametrize(
    "value", ["no filter", [3], [fine, None], 3, None], ids=str.split("text number none_too number_alone none")
)
def test_what_is_no_list_of_filters_is_refused(value: Any) -> None:
    assert "filter" in refused(filters=value)


@pytest.mark.parametrize(("name", "value"), [("limits", 3), ("limits", None), ("reuse_port", "no")], ids=repr)
def test_what_is_of_another_kind_is_refused_by_its_name(name: str, value: Any) -> None:
    said = refused(**{name: value})

    assert name in said
    assert repr(value) in said


def test_a_backlog_that_no_system_takes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"backlog|cannot listen"):
        Server(user_service(Users()), backlog=1 << 40).bind()


@pytest.mark.parametrize("name", ["worker", "max_inflight", "idle", "threads"])
def test_an_option_that_there_is_not_is_a_type_error(name: str) -> None:
    options: Any = {name: 1}
    with pytest.raises(TypeError, match=name):
        Server(user_service(Users()), **options)


def test_what_was_refused_has_taken_no_address() -> None:
    with Server(user_service(Users())) as server:
        refused(workers=-1)
        assert server.port > 0


def test_an_option_that_there_is_not_is_told_with_the_nearest_one() -> None:
    options: Any = {"worker": 1}
    with pytest.raises(TypeError) as caught:
        Server(user_service(Users()), **options)
    assert str(caught.value) == "Server() got an unexpected keyword argument 'worker'; did you mean 'workers'?"


@pytest.mark.parametrize("kind", [Server, AsyncServer, ProcessServer])
def test_signatures_and_help_list_all_options(kind: Any) -> None:
    explicit = ["handlers", "address", *(["processes"] if kind is ProcessServer else [])]
    found = inspect.signature(kind).parameters
    assert list(found) == [*explicit, *ServerOptions.__annotations__]
    assert {name: each.default for name, each in found.items() if name not in explicit} == SERVER_DEFAULTS
    shown = pydoc.plain(pydoc.render_doc(kind))
    assert "idlrt.ServerOptions" in shown
    assert all(re.search(rf"^ [ |]+ {name}: ", shown, re.MULTILINE) for name in ServerOptions.__annotations__)


@pytest.mark.parametrize("options", [ServerOptions, InstanceOptions])
def test_every_option_is_documented(options: Any) -> None:
    listed = inspect.cleandoc(options.__doc__ or "").partition("Attributes:\n")[2]
    assert re.findall(r"^    (\w+): ", listed, re.MULTILINE) == list(options.__annotations__)
