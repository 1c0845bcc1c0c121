"""Records of arguments: those that may be absent, what they are then, and what is written for `None`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols import How, each_protocol

from idlrt.errors import LocalProtocolError
from idlrt.spec import BOOL, DOUBLE, I32, I64, STRING, VOID, Method, argument, list_of, map_of, optional, required

TYPES: tuple[Any, ...] = (I32, STRING, BOOL, I64, list_of(STRING), DOUBLE, map_of(STRING, I32))
# In another order than that of the ids.
IDS = (3, 1, 2, 7, 5, 6, 4)
ARGUMENTS = tuple(argument(id, f"a{id}", type) for id, type in zip(IDS, TYPES, strict=True))
REQUIRED = tuple(required(id, f"a{id}", type) for id, type in zip(IDS, TYPES, strict=True))
OPTIONAL = tuple(optional(id, f"a{id}", type) for id, type in zip(IDS, TYPES, strict=True))

VALUES: tuple[st.SearchStrategy[Any], ...] = (
    st.integers(-(2**31), 2**31 - 1),
    st.text(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.text(), max_size=3),
    st.floats(allow_nan=False),
    st.dictionaries(st.text(), st.integers(-(2**31), 2**31 - 1), max_size=3),
)


def defaults(*arguments: Any) -> tuple[Any, ...]:
    method: Method[..., None] = Method("f", *arguments, result=VOID)
    return method.defaults


@each_protocol
@given(values=st.tuples(*VALUES))
def test_calls_with_all_arguments_are_the_same_bytes_as_ever(how: How, values: tuple[Any, ...]) -> None:
    data = how().record(ARGUMENTS).encode(values)
    assert data == how().record(REQUIRED).encode(values)
    assert how().record(ARGUMENTS).decode(data) == (values, len(data))


@each_protocol
@given(values=st.tuples(*[each | st.none() for each in VALUES]))
def test_none_is_left_out(how: How, values: tuple[Any, ...]) -> None:
    data = how().record(ARGUMENTS).encode(values)
    assert data == how().record(OPTIONAL).encode(values)
    assert how().record(ARGUMENTS).decode(data) == (values, len(data))


@each_protocol
def test_an_absent_argument_is_its_default(how: How) -> None:
    made: list[list[str]] = []

    def factory() -> list[str]:
        made.append(["new"])
        return made[-1]

    fields = (
        argument(3, "size", I32, default=5),
        required(1, "what", STRING),
        argument(4, "parts", list_of(STRING), default_factory=factory),
        argument(2, "limit", I32),
    )
    record = how().record(fields, defaults(*fields))
    first, _ = record.decode(record.encode((None, "x", None, None)))
    second, _ = record.decode(record.encode((None, "y", None, 3)))
    whole, _ = record.decode(record.encode((1, "z", ["a"], 2)))
    assert (first, second, whole) == ((5, "x", ["new"], None), (5, "y", ["new"], 3), (1, "z", ["a"], 2))
    assert len(made) == 2  # one for each call that needs it, none for others
    assert first[2] is made[0]
    assert second[2] is made[1]


@each_protocol
def test_wrong_arguments_are_named_as_ever(how: How) -> None:
    record = how().record(ARGUMENTS, label="S.f")
    with pytest.raises(LocalProtocolError, match=r"S\.f: a3 must be i32, got str 'x'"):
        record.encode(("x", "", True, 1, [], 1.0, {}))
    with pytest.raises(LocalProtocolError, match=r"S\.f: a3 must be i32, got str 'x'"):
        record.encode(("x", None, True, 1, [], 1.0, {}))
    with pytest.raises(LocalProtocolError, match="expected 7 values, got 2"):
        record.encode((1, ""))
