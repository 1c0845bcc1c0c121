"""Whether handlers can be called with the arguments of their methods."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from idlrt.core import bind
from idlrt.errors import ConfigurationError
from idlrt.spec import I32, STRING, VOID, Method, Service, required

FIND: Method[..., None] = Method("find", required(1, "what", STRING), required(2, "limit", I32), result=VOID)
SEARCH = Service("Search", FIND)


def many(*arguments: int) -> None: ...
def one(what: str) -> None: ...
def three(what: str, limit: int, more: int) -> None: ...
def by_name(what: str, *, limit: int) -> None: ...
def needs_name(what: str, limit: int, *, more: int) -> None: ...
def other_names(text: str, most: int, more: int = 0) -> None: ...


@pytest.mark.parametrize(
    ("function", "declared"),
    [
        (one, "find(what)"),
        (three, "find(what, limit, more)"),
        (by_name, "find(what, *, limit)"),
        (needs_name, "find(what, limit, *, more)"),
    ],
)
def test_a_handler_that_cannot_be_called_is_refused_when_it_is_bound(
    function: Callable[..., Any], declared: str
) -> None:
    class Handler:
        find = staticmethod(function)

    with pytest.raises(ConfigurationError) as caught:
        bind(SEARCH, Handler())
    assert str(caught.value).startswith("cannot serve Search with ")
    assert str(caught.value).endswith(f"Handler: {declared} must accept the arguments (what, limit)")


@pytest.mark.parametrize("function", [other_names, many, Mock(), functools.partial(three, "x"), print])
def test_a_handler_that_can_be_called_is_bound(function: Callable[..., Any]) -> None:
    class Handler:
        find = staticmethod(function)

    assert bind(SEARCH, Handler()).table["find"].function is function


def test_all_methods_that_cannot_be_called_are_named() -> None:
    class Handler:
        def find(self) -> None: ...
        def ping(self, id: int) -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        bind(Service("S", FIND, Method("ping", result=VOID)), Handler())
    assert "find() must accept the arguments (what, limit); ping(id) must accept the arguments ()" in str(caught.value)
