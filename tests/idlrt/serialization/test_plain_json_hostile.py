"""JSON that was made to do harm, and values that contain themselves."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import msgspec
import plain_types as t
import pytest

import idlrt
from idlrt import codegen as rpc
from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.serialization.plain_json import JsonOptions, from_plain, to_plain
from idlrt.spec import Type

USER = rpc.struct(t.User)


def nested(depth: int) -> dict[str, Any]:
    """Return a user nested `depth` levels deep."""
    plain: dict[str, Any] = {"name": ""}
    for _ in range(depth):
        plain = {"name": "", "friend": plain}
    return plain


def test_depth_is_bounded_both_ways() -> None:
    user = from_plain(USER, nested(64))
    assert from_plain(USER, to_plain(USER, user)) == user
    too_deep = t.User(name="", friend=user)
    for call, error in (
        (lambda: from_plain(USER, nested(65)), RemoteProtocolError),
        (lambda: to_plain(USER, too_deep), LocalProtocolError),
        (lambda: idlrt.from_json(t.User, msgspec.json.encode(nested(65))), RemoteProtocolError),
        (lambda: idlrt.from_json(t.User, msgspec.json.encode(nested(4)), max_depth=3), RemoteProtocolError),
    ):
        with pytest.raises(error, match="friend: nesting exceeds the limit max_depth"):
            call()
    assert from_plain(USER, nested(100), JsonOptions(max_depth=100)).friend is not None


def test_more_than_python_can_nest_is_an_error() -> None:
    options = JsonOptions(max_depth=10**6)
    with pytest.raises(RemoteProtocolError, match="recursion limit"):
        from_plain(USER, nested(10_000), options)
    with pytest.raises(RemoteProtocolError, match="recursion limit"):
        idlrt.from_json(t.User, '{"more":' + "[" * 100_000)
    user = t.User(name="")
    user.friend = user
    with pytest.raises(LocalProtocolError, match="recursion limit"):
        to_plain(USER, user, options)
    with pytest.raises(LocalProtocolError, match="max_depth"):
        idlrt.to_json(user)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"name": "a"} x',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b'{"name": "a", "size": 1e999}',
        b'{"name": "a", "size": NaN}',
        b'{"name": "a", "size": ' + b"9" * 5000 + b"}",
        b'{"name": "a", "size": "' + b"9" * 5000 + b'"}',
        b"\xef\xbb\xbf{}",
        '{"name": "\udcff"}',
        b"null",
        b"[]",
    ],
)
def test_bad_text_is_an_error_that_says_so(text: str | bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^cannot read User from JSON: ") as caught:
        idlrt.from_json(t.User, text)
    assert len(str(caught.value)) < 200


def test_messages_do_not_grow_with_the_input() -> None:
    for plain in ({"name": ["x" * 10**6]}, {"name": "", "tags": "x" * 10**6}, {"x" * 10**6: 1}):
        with pytest.raises(RemoteProtocolError) as caught:
            from_plain(USER, plain, JsonOptions(refuse_unknown=True))
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("count", [32, 500])
def test_keys_that_were_made_to_collide_are_refused(count: int) -> None:
    texts = [str(UUID(int=7 + index * (2**61 - 1))) for index in range(count)]
    cases: list[tuple[Type[Any], Any]] = [
        (rpc.set_of(rpc.UUID), texts),
        (rpc.map_of(rpc.UUID, rpc.BOOL), dict.fromkeys(texts, True)),
        (rpc.map_of(rpc.frozen_list_of(rpc.UUID), rpc.BOOL), [{"key": [text], "value": True} for text in texts]),
    ]
    for type, plain in cases:
        if count < 64:  # too few to matter
            assert len(from_plain(type, plain)) == count
        else:
            with pytest.raises(RemoteProtocolError, match="too many keys with colliding hashes"):
                from_plain(type, plain)


def test_threads_compile_the_same_converters() -> None:
    for _ in range(20):
        cls: Any = msgspec.defstruct(
            "Made",
            [("x", Any), ("other", Any, None)],
            bases=(rpc.Struct,),
            namespace={"__thrift_fields__": (rpc.required(1, "x", rpc.list_of(rpc.I32)),)},
            kw_only=True,
        )
        barrier = Barrier(8)

        def work(cls: Any = cls, barrier: Barrier = barrier) -> bool:
            barrier.wait()
            return bool(idlrt.from_json(cls, idlrt.to_json(cls(x=[1, 2]))) == cls(x=[1, 2]))

        with ThreadPoolExecutor(8) as pool:
            assert all(each.result() for each in [pool.submit(work) for _ in range(8)])


def made_and_used() -> tuple[weakref.ref[Any], ...]:
    """A class and an enum that were converted once, and are used no more."""
    make: Any = rpc.Enum  # checkers reject the functional API where the base defines a method
    color = make("Shade", {"DARK": 1})
    cls: Any = msgspec.defstruct(
        "Made",
        [("x", Any), ("again", Any, None)],
        bases=(rpc.Struct,),
        namespace={
            "__thrift_fields__": (
                rpc.required(1, "x", rpc.map_of(rpc.enum(color), rpc.list_of(rpc.I32))),
                rpc.optional(2, "again", rpc.struct(lambda: cls)),
            )
        },
        kw_only=True,
    )
    value = cls(x={color.DARK: [1]}, again=cls(x={}))
    assert idlrt.from_json(cls, idlrt.to_json(value)) == value
    assert from_plain(rpc.list_of(rpc.struct(cls)), [{"x": {}}]) == [cls(x={})]
    return weakref.ref(cls), weakref.ref(color)


def test_converters_end_with_their_classes() -> None:
    references = made_and_used()
    gc.collect()
    assert [each() for each in references] == [None, None]


def test_a_subclass_has_its_own_converters() -> None:
    class Near(t.Point, kw_only=True):
        pass

    assert idlrt.to_json(t.Point(x=1)) == idlrt.to_json(Near(x=1))
    assert type(idlrt.from_json(t.Point, '{"x":1}')) is t.Point
    assert type(idlrt.from_json(Near, '{"x":1}')) is Near
