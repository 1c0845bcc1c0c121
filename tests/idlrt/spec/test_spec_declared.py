"""Exceptions that an IDL declares."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from idlrt import codegen as rpc
from idlrt.errors import RpcError


class NotFound(rpc.DeclaredError):
    id: int
    from_: str | None = None
    tags: list[str] = rpc.field(default_factory=lambda: ["a"])
    size: int = 7

    __thrift_fields__ = (
        rpc.required(1, "id", rpc.I64),
        rpc.optional(2, "from", rpc.STRING, attribute="from_"),
        rpc.optional(3, "tags", rpc.list_of(rpc.STRING)),
        rpc.optional(4, "size", rpc.I32),
    )


class Bare(rpc.DeclaredError):
    __thrift_fields__ = ()


def test_it_is_raised_and_caught_as_what_it_is():
    with pytest.raises(RpcError) as caught:
        raise NotFound(id=3)
    assert isinstance(caught.value, NotFound)
    assert caught.value.id == 3


def test_its_fields_have_defaults_that_are_not_shared():
    one, other = NotFound(id=1), NotFound(id=1)
    assert (one.from_, one.tags, one.size) == (None, ["a"], 7)
    assert one.tags is not other.tags


def test_what_does_not_fit_is_refused():
    unchecked: Any = NotFound
    with pytest.raises(TypeError, match="NotFound: missing field 'id'"):
        unchecked()
    with pytest.raises(TypeError, match="NotFound: unknown fields 'idd', 'other'"):
        unchecked(id=1, idd=2, other=3)
    with pytest.raises(TypeError):
        unchecked(1)


def test_it_is_compared_and_hashed_by_value():
    assert NotFound(id=1, tags=["x"]) == NotFound(id=1, tags=["x"])
    assert NotFound(id=1) != NotFound(id=2)
    assert NotFound(id=1) != Bare()
    assert hash(NotFound(id=1)) == hash(NotFound(id=1))


def test_it_prints():
    assert repr(NotFound(id=1, from_="b")) == "NotFound(id=1, from_='b', tags=['a'], size=7)"
    assert str(NotFound(id=1)) == "id=1, tags=['a'], size=7"
    assert str(Bare()) == ""


def test_it_is_copied_and_pickled():
    error = NotFound(id=1, from_="b")
    assert pickle.loads(pickle.dumps(error)) == error
    assert copy.copy(error) == error
    assert copy.deepcopy(error).tags is not error.tags


def test_it_has_slots():
    # An exception itself has a dictionary (for notes); the fields are not in it.
    error = NotFound(id=1)
    assert "id" not in vars(error)
    error.id = 5
    assert error.id == 5
