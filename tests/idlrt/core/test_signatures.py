"""Handler signatures: substitutes for absent arguments, and checks that the method can be called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, TypeVar, Union
from unittest.mock import Mock

import pytest

from idlrt.core import bind
from idlrt.core.signatures import MISSING, mismatch, substitutes
from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.spec import I32, STRING, VOID, Method, Service, argument, list_of, optional, required

if TYPE_CHECKING:
    from somewhere import Missing  # pyright: ignore

T = TypeVar("T")
Maybe = int | None

FIND: Method[..., None] = Method("find", argument(1, "what", STRING), argument(2, "limit", I32), result=VOID)
SEARCH = Service("Search", FIND)


def only(function: Callable[..., Any]) -> Any:
    """Return the substitute that `function` gets when its only argument is absent."""
    found = substitutes(Method("f", argument(1, "a", I32), result=VOID), function)
    return found[0] if found else None


def plain(a): ...
def default(a: int = 5) -> None: ...
def default_none(a: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013
def needs(a: int) -> None: ...
def maybe(a: int | None) -> None: ...
def old_union(a: Union[int, None]) -> None: ...  # noqa: UP007
def old_optional(a: Optional[int]) -> None: ...  # noqa: UP045
def alias(a: Maybe) -> None: ...
def anything(a: Any) -> None: ...
def an_object(a: object) -> None: ...
def annotated(a: Annotated[int | None, "why"]) -> None: ...
def literal(a: Literal[1, None]) -> None: ...
def generic(a: T) -> T: ...  # type: ignore[empty-body]
def quoted(a: int | None) -> None: ...
def unknown(a: Missing) -> None: ...
def unknown_or_none(a: Missing | None) -> None: ...
def unknown_optional(a: Optional[Missing]) -> None: ...  # noqa: UP045
def beside_unknown(a: Union[Missing, None], b: Missing = 1) -> None: ...  # noqa: UP007
def many(*arguments: int) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        plain, default_none, maybe, old_union, old_optional, alias, anything, an_object, annotated, literal, generic,
        quoted, unknown_or_none, unknown_optional, beside_unknown, many, Mock(), print, dict,
    ],
)  # fmt: skip
def test_none_where_the_handler_allows_it(function: Callable[..., Any]) -> None:
    assert only(function) is None


@pytest.mark.parametrize("function", [needs, unknown, functools.partial(needs)])
def test_refused_where_it_does_not(function: Callable[..., Any]) -> None:
    assert only(function) is MISSING


def test_the_handlers_own_default_comes_before_its_annotation() -> None:
    assert only(default) == 5


def test_a_method_without_annotations_costs_nothing() -> None:
    assert substitutes(FIND, lambda what, limit: None) == ()


def test_required_arguments_and_those_with_a_default_of_the_idl_are_never_substituted() -> None:
    method: Method[..., None] = Method(
        "f",
        required(1, "a", I32),
        argument(2, "b", I32, default=5),
        argument(3, "c", list_of(I32), default_factory=list),
        optional(4, "d", I32),
        result=VOID,
    )

    def f(a: int = 1, b: int = 2, c: Any = (), d: int = 4) -> None: ...
    def g(a: int, b: int, c: list[int], d: int) -> None: ...

    assert substitutes(method, f) == (None, None, None, 4)
    # `optional` says that it may be `None`; a handler that has not heard of it is its own affair.
    assert substitutes(method, g) == ()


def test_a_decorated_handler_is_known_by_the_names_of_what_it_wraps() -> None:
    def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            return function("session", *arguments)

        return call

    @with_session
    def find(session: str, what: str, limit: int = 3) -> None: ...

    assert mismatch(FIND, find) is None
    assert substitutes(FIND, find) == (MISSING, 3)


def test_refusals_name_what_is_missing_and_say_what_to_do() -> None:
    class Handler:
        def find(self, what: str, limit: int) -> None: ...

    handler = bind(SEARCH, Handler()).table["find"]
    assert handler.complete(("x", 1)) == ("x", 1)
    with pytest.raises(RemoteProtocolError) as caught:
        handler.complete(("x", None))
    assert str(caught.value) == (
        "cannot call Search.find: missing argument 'limit'; "
        "to make it optional, add a default in the handler or in the IDL"
    )


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
