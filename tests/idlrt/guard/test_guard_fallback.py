"""Fallback results."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest
from guarded import Guarded

from idlrt import spec
from idlrt.core import FallbackUsed
from idlrt.errors import (
    ApplicationError,
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    NoInstance,
    RemoteProtocolError,
)
from idlrt.guard import Fallback
from idlrt.spec import FrozenMap
from idlrt.testing import FakeDriver
from idlrt.testing.guards import PUT, call_for

LOST = ConnectionLost("lost")


class Declared(spec.DeclaredError):
    pass


class Color(spec.Enum):
    RED = 1


class User(spec.Struct, kw_only=True):
    id: int
    name: str | None = None

    __thrift_fields__ = (spec.required(1, "id", spec.I64), spec.optional(2, "name", spec.STRING))


class Page(spec.Struct, kw_only=True):
    users: list[User]

    __thrift_fields__ = (spec.required(1, "users", spec.list_of(spec.struct(User))),)


def method_with(result: spec.Type[Any]) -> spec.Method[..., Any]:
    return spec.Method("find", result=result)


def returned(result: spec.Type[Any], value: Any) -> Any:
    guarded = Guarded("fallback", value=value)
    call = call_for(guarded.driver)
    call.method = method_with(result)
    return guarded.run(LOST, call=call)


@pytest.mark.parametrize("error", [NoInstance("none"), LOST, DeadlineExceeded("late")], ids=repr)
def test_it_replaces_failures(error: Exception) -> None:
    guarded = Guarded("fallback", value="instead")
    assert guarded.run() == "answer"
    assert guarded.told == []
    assert guarded.run(error) == "instead"
    (told,) = guarded.told
    assert isinstance(told, FallbackUsed)
    assert (told.subject, told.by) == ("Check.get", "fallback")
    assert told.why.startswith(type(error).__name__)


@pytest.mark.parametrize(
    "error", [Declared(), ApplicationError("no"), RemoteProtocolError("odd"), ValueError("odd")], ids=repr
)
def test_results_and_application_errors_are_passed_on(error: Exception) -> None:
    assert Guarded("fallback", value="instead").run(error) is error


def test_error_classes_are_configurable() -> None:
    guarded = Guarded("fallback", value="instead", on=["DeadlineExceeded", "DeclaredError", "ApplicationError"])
    assert guarded.run(LOST) is LOST
    assert [guarded.run(each) for each in (DeadlineExceeded("l"), Declared(), ApplicationError("n"))] == ["instead"] * 3
    assert Guarded("fallback", value="instead", on=["Exception"]).run(ValueError("odd")) == "instead"


@pytest.mark.parametrize("name", ["NotThere", "ApplicationCode", "KeyError", "PushBack", ""])
def test_unknown_error_classes_are_rejected(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown error class \(known: .*NotSent"):
        Guarded("fallback", on=[name])


def test_with_force_no_call_is_made() -> None:
    guarded = Guarded("fallback", value="instead", force=True)
    assert guarded.run() == "instead"
    assert guarded.reached == 0
    assert [type(each) for each in guarded.told] == [FallbackUsed]


def test_methods_may_have_their_own() -> None:
    guarded = Guarded("fallback", value="all", values={"put": "put", "Check.get": "get"}, force=True)
    put, other = call_for(guarded.driver), call_for(guarded.driver)
    put.method, other.method = PUT, method_with(spec.STRING)
    assert guarded.run() == "get"
    assert guarded.run(call=put) == "put"
    assert guarded.run(call=other) == "all"


UUID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("result", "value", "expected"),
    [
        (spec.VOID, None, None),
        (spec.STRING, None, None),
        (spec.BOOL, True, True),
        # Registries store text.
        (spec.BOOL, "true", True),
        (spec.BOOL, "0", False),
        (spec.I32, "7", 7),
        (spec.DOUBLE, "7", 7.0),
        (spec.enum(Color), "RED", Color.RED),
        (spec.I64, 7, 7),
        (spec.DOUBLE, 7, 7.0),
        (spec.BINARY, "aGk=", b"hi"),
        (spec.UUID, str(UUID), UUID),
        (spec.enum(Color), 1, Color.RED),
        (spec.enum(Color), 7, Color(7)),
        (spec.struct(User), {"id": 7}, User(id=7)),
        (spec.struct(lambda: Page), {"users": [{"id": 7, "name": "Ada"}]}, Page(users=[User(id=7, name="Ada")])),
        (spec.list_of(spec.struct(User)), [{"id": 1}], [User(id=1)]),
        (spec.set_of(spec.I32), [1, 2], {1, 2}),
        (spec.frozen_list_of(spec.I32), [1, 2], (1, 2)),
        (spec.frozen_set_of(spec.I32), [1, 2], frozenset({1, 2})),
        (spec.map_of(spec.I32, spec.STRING), {"1": "a"}, {1: "a"}),
        (spec.map_of(spec.enum(Color), spec.BINARY), {"1": "aGk="}, {Color.RED: b"hi"}),
        (spec.map_of(spec.STRING, spec.list_of(spec.DOUBLE)), {"1": [1]}, {"1": [1.0]}),
        (spec.frozen_map_of(spec.BOOL, spec.I8), {"true": 1}, FrozenMap({True: 1})),
    ],
    ids=repr,
)
def test_json_values_are_converted_to_the_result_type(result: Any, value: Any, expected: Any) -> None:
    found = returned(result, msgspec.json.decode(msgspec.json.encode(value)))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("result", "value"),
    [
        (spec.VOID, 1),
        (spec.BOOL, "yes"),
        (spec.I64, "seven"),
        (spec.STRING, 7),
        (spec.BINARY, "not base64!"),
        (spec.enum(Color), "red"),
        (spec.struct(User), {"name": "Ada"}),
        (spec.struct(User), [1]),
        (spec.list_of(spec.I32), {"a": 1}),
        (spec.list_of(spec.I32), ["a"]),
        (spec.map_of(spec.enum(Color), spec.I32), {"red": 1}),
        (spec.map_of(spec.I32, spec.I32), {"one": 1}),
    ],
    ids=repr,
)
def test_an_invalid_value_is_an_error_before_it_is_needed(result: Any, value: Any) -> None:
    guarded = Guarded("fallback", value=value)
    call = call_for(guarded.driver)
    call.method = method_with(result)
    found = guarded.run("answer", call=call)
    assert isinstance(found, ConfigurationError)
    assert str(found).startswith("cannot use the fallback of find: ")
    assert guarded.reached == 0


def test_each_call_gets_a_new_value() -> None:
    guarded = Guarded("fallback", value=[1, 2], force=True)
    calls = [call_for(guarded.driver) for _ in range(2)]
    for call in calls:
        call.method = method_with(spec.list_of(spec.I32))
    first = guarded.run(call=calls[0])
    first.append(3)
    assert guarded.run(call=calls[1]) == [1, 2]


# A program's own.


def test_a_function_builds_the_value() -> None:
    told: list[Any] = []
    driver = FakeDriver()
    fallback = Fallback.of(lambda call, error: f"{call.arguments[0]} after {error}", listener=told.append)

    async def fail(call: Any) -> Any:
        raise LOST

    assert driver.run(fallback(call_for(driver), fail)) == "key after lost"
    assert [type(each) for each in told] == [FallbackUsed]


def test_exceptions_of_the_function_are_raised() -> None:
    driver = FakeDriver()

    def refuse(call: Any, error: Exception | None) -> Any:
        raise KeyError("odd") from error

    async def fail(call: Any) -> Any:
        raise LOST

    with pytest.raises(KeyError) as caught:
        driver.run(Fallback.of(refuse)(call_for(driver), fail))
    assert caught.value.__cause__ is LOST


def test_with_force_the_function_gets_no_error() -> None:
    driver = FakeDriver()

    async def unreachable(call: Any) -> Any:
        raise AssertionError

    fallback = Fallback.of(lambda call, error: repr(error), force=True)
    assert driver.run(fallback(call_for(driver), unreachable)) == "None"
