"""Binding a service to the object that does its work."""

from __future__ import annotations

import pytest
from hand_written import SERVICE, AsyncUsers, Users

from idlrt.core import bind
from idlrt.errors import ConfigurationError
from idlrt.spec import VOID, Method, Service


def test_any_object_with_the_methods_fits() -> None:
    handlers = bind(SERVICE, AsyncUsers())

    assert handlers.service is SERVICE
    assert set(handlers.table) == set(SERVICE.methods)
    assert handlers.table["get"].is_coroutine
    assert not handlers.table["ping"].is_coroutine


def test_all_that_is_missing_is_named() -> None:
    class Little:
        poke = 3

        def get(self, id: int) -> None: ...

        def wait(self, id: int) -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        bind(SERVICE, Little())
    message = str(caught.value)
    assert message.startswith("cannot serve UserService with ")
    assert "Little: missing methods join, ping, poke (not callable), blob" in message


def test_a_class_is_not_an_object() -> None:
    with pytest.raises(ConfigurationError, match=r"with Users: it is a class; pass an object, Users\(\)"):
        bind(SERVICE, Users)


def test_methods_are_found_by_their_python_name_and_kept_by_their_wire_name() -> None:
    service = Service("S", Method("class", result=VOID, attribute="class_"))

    class Handler:
        def class_(self) -> None: ...

    handler = Handler()
    assert bind(service, handler).table["class"].function == handler.class_


def test_an_object_that_is_called_may_be_async() -> None:
    class Ping:
        async def __call__(self) -> None: ...

    users = Users()
    users.ping = Ping()  # type: ignore[method-assign,assignment]

    assert bind(SERVICE, users).table["ping"].is_coroutine
