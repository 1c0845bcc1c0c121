"""Arguments that the IDL does not mark `required` may be absent: a method can get new ones while old callers live."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import pytest
from eventually import TIMEOUT
from kinds import KINDS, Kind, serving

import idlc
from idlrt import Server
from idlrt import codegen as rpc
from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError

OLD = """
service Search {
  string find(1: string what)
  oneway void note(1: string text)
}
"""
NEW = """
enum Order { UP = 1, DOWN = 2 }
struct Part { 1: i32 number = 3 }
service Search {
  string find(
    2: i32 limit, 3: i32 size = 10, 1: string what, 4: Order order = Order.DOWN, 5: list<Part> parts = [{"number": 7}],
    6: optional bool exact, 7: string language)
  oneway void note(1: string text, 2: i32 level, 3: map<string, string> labels = {})
  string strict(1: required string what, 2: i32 limit)
}
"""
DIALECTS = [
    *[(framing, protocol) for framing in ("framed", "unframed") for protocol in ("binary", "compact", "json")],
    ("header", "binary"),
    ("header", "compact"),
]
PLACES = [kind for kind in KINDS if kind.place == "tcp"]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ModuleType]:
    """Compile a text; answers its module."""
    folder = tmp_path_factory.mktemp("absent")

    def compile_text(text: str, **options: Any) -> ModuleType:
        name = f"absent_{next(_numbers)}"
        source = folder / f"{name}.thrift"
        source.write_text(text)
        done = idlc.compile(sources=(source,), output=folder, use_cache=False, **options)
        assert not done.report.has_errors
        sys.path.insert(0, str(folder))
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(str(folder))

    return compile_text


@pytest.fixture(scope="module")
def old(compiled: Callable[..., ModuleType]) -> ModuleType:
    return compiled(OLD)


@pytest.fixture(scope="module")
def new(compiled: Callable[..., ModuleType]) -> ModuleType:
    return compiled(NEW)


class Handler:
    """Handler that returns its arguments. `limit` has its own default, `language` may be `None`."""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    def find(
        self,
        limit: int = 20,
        size: int = 0,
        what: str = "",
        order: Any = None,
        parts: Any = None,
        exact: bool | None = None,
        language: str | None = None,
    ) -> Any:
        parts.append("changed for this call only")
        return repr((what, limit, size, order.name, parts[:-1], exact, language))

    def note(self, text: str, level: int = 1, labels: Any = ()) -> Any:
        self.notes.append((text, level, labels))

    def strict(self, what: str, limit: int) -> Any:
        return repr((what, limit))


class AsyncHandler(Handler):
    async def find(self, *arguments: Any) -> Any:
        return Handler.find(self, *arguments)

    find.__wrapped__ = Handler.find  # type: ignore[attr-defined]

    async def strict(self, what: str, limit: int) -> Any:
        return Handler.strict(self, what, limit)


WHAT_OLD_CALLERS_GET = "('x', 20, 10, 'DOWN', [Part(number=7)], None, None)"


@pytest.mark.parametrize("kind", PLACES, ids=str)
def test_every_server_takes_calls_of_old_callers(kind: Kind, old: Any, new: Any) -> None:
    handler = AsyncHandler() if kind.has_coroutines else Handler()
    with (
        serving(kind, new.search(handler), Path()) as running,
        old.SearchClient.connect(running.address, timeout=TIMEOUT) as client,
    ):
        for _ in range(2):  # the IDL's default is made for each call
            assert client.find("x") == WHAT_OLD_CALLERS_GET


@pytest.mark.parametrize(("framing", "protocol"), DIALECTS)
def test_every_protocol_and_client_can_leave_arguments_out(framing: str, protocol: str, old: Any, new: Any) -> None:
    options = {"framing": framing, "protocol": protocol, "timeout": TIMEOUT}
    handler = Handler()

    async def from_asyncio(address: str) -> Any:
        async with new.AsyncSearchClient.connect(address, **options) as client:
            return await client.find(None, None, "x", None, None, None, None)

    with Server(new.search(handler)) as server:
        address = server.start().address
        with old.SearchClient.connect(address, **options) as client:
            client.note("from an old caller")
            assert client.find("x") == WHAT_OLD_CALLERS_GET
        with new.SearchClient.connect(address, **options) as client:
            client.note("from a new one", 5, {"a": "b"})
            assert client.find(1, 2, "x", new.Order.UP, [], True, "de") == "('x', 1, 2, 'UP', [], True, 'de')"
            assert client.find(None, None, "x", None, None, None, None) == WHAT_OLD_CALLERS_GET
        assert asyncio.run(from_asyncio(address)) == WHAT_OLD_CALLERS_GET
    assert handler.notes == [("from an old caller", 1, {}), ("from a new one", 5, {"a": "b"})]


def test_new_callers_may_call_an_old_server(old: Any, new: Any) -> None:
    class Old:
        def find(self, what: str) -> str:
            return what

        def note(self, text: str) -> None: ...

    with (
        Server(old.search(Old())) as server,
        new.SearchClient.connect(server.start().address, timeout=TIMEOUT) as client,
    ):
        assert client.find(1, 2, "x", new.Order.UP, [new.Part(number=1)], True, "de") == "x"


def test_a_handler_without_a_default_refuses_by_name_and_the_connection_goes_on(new: Any) -> None:
    class Typed:
        strict = Handler.strict
        note = Handler.note

        def find(
            self, limit: int, size: int, what: str, order: Any, parts: list[Any], exact: Any, language: str
        ) -> str:
            return what

    with (
        Server(new.search(Typed())) as server,
        new.SearchClient.connect(server.start().address, timeout=TIMEOUT) as client,
    ):
        with pytest.raises(ApplicationError) as caught:
            client.find(None, None, "x", None, None, None, None)
        assert caught.value.code is ApplicationCode.PROTOCOL_ERROR
        assert caught.value.message == (
            "cannot call Search.find: missing arguments 'limit' and 'language'; "
            "to make them optional, add a default in the handler or in the IDL"
        )
        with pytest.raises(ApplicationError, match="missing argument 'limit'; to make it optional, add a default"):
            client.strict("x", None)
        assert client.find(1, 1, "x", None, None, None, "de") == "x"


def test_required_arguments_are_still_required_on_both_sides(new: Any, compiled: Callable[..., ModuleType]) -> None:
    lax: Any = compiled("service Search { string strict(1: string what, 2: i32 limit) }")
    with Server(new.search(Handler())) as server:
        address = server.start().address
        refused = pytest.raises(LocalProtocolError, match=r"Search\.strict: what is required, got None")
        with new.SearchClient.connect(address, timeout=TIMEOUT) as client, refused:
            client.strict(None, 1)
        with lax.SearchClient.connect(address, timeout=TIMEOUT) as client:
            with pytest.raises(ApplicationError, match="missing required field 'what'"):
                client.strict(None, 1)
            assert client.strict("x", 1) == "('x', 1)"


def test_a_filter_sees_what_the_handler_gets(old: Any, new: Any) -> None:
    seen: list[Any] = []

    async def look(call: Any, next: Any) -> Any:
        seen.append(call.arguments[:4])
        return await next(call)

    with Server(new.search(Handler()), filters=[look]) as server:
        address = server.start().address
        with old.SearchClient.connect(address, timeout=TIMEOUT) as client:
            client.find("x")
        with new.SearchClient.connect(address, timeout=TIMEOUT) as client, pytest.raises(ApplicationError):
            client.strict("x", None)  # refused before any filter or guard counts it
    assert seen == [(20, 10, "x", new.Order.DOWN)]


def test_a_client_that_is_served_passes_absence_on(old: Any, new: Any) -> None:
    with (
        Server(new.search(Handler())) as server,
        new.SearchClient.connect(server.start().address, timeout=TIMEOUT) as behind,
        Server(new.search(behind)) as relay,
        old.SearchClient.connect(relay.start().address, timeout=TIMEOUT) as client,
    ):
        assert client.find("x") == WHAT_OLD_CALLERS_GET


def test_stubs_of_the_previous_version_keep_their_rules() -> None:
    """They say `required` of unmarked arguments, and have defaults in the signature only."""

    class Search(Protocol):
        def find(self, what: str, size: int = 10, parts: list[int] | None = None) -> str: ...

    described = rpc.method(
        Search.find,
        rpc.required(1, "what", rpc.STRING),
        rpc.optional(2, "size", rpc.I32),
        rpc.optional(3, "parts", rpc.list_of(rpc.I32)),
        result=rpc.STRING,
    )

    class SearchClient(rpc.Client):
        __thrift_service__ = rpc.service("Search", described)

        def find(self, what: str, size: int = 10, parts: list[int] | None = None) -> str:
            return self._call(described, what, size, parts)

    class Plain:
        def find(self, what: str, size: int, parts: Any) -> str:
            return repr((what, size, parts))

    lacking: Any = None
    with (
        Server(rpc.bind(SearchClient.__thrift_service__, Plain())) as server,
        SearchClient.connect(server.start().address, timeout=TIMEOUT) as client,
    ):
        assert client.find("x") == "('x', 10, None)"
        assert client.find("x", lacking) == "('x', 10, None)"
        with pytest.raises(LocalProtocolError, match="what is required"):
            client.find(lacking)


def test_options_of_signatures(compiled: Callable[..., ModuleType]) -> None:
    text = "service S { void f(1: i32 a, 2: required i32 b, 3: string c, 4: i32 d = 1, 5: list<i32> e) }"
    plain, nullable = compiled(text), compiled(text, nullable_arguments=True)
    names = {"a": "int", "b": "int", "c": "str", "d": "int", "e": "list[int]", "return": "None"}
    assert plain.S.f.__annotations__ == names
    assert plain.S.f.__defaults__ is None
    assert nullable.S.f.__annotations__ == names | {"a": "int | None", "c": "str | None", "e": "list[int] | None"}
    assert nullable.S.f.__defaults__ == (None, 1, None)
