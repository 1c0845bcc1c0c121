"""Arguments of methods as JSON."""

from __future__ import annotations

from typing import Any

import plain_types as t
import pytest

from idlrt import codegen as rpc
from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.serialization.plain_json import JsonOptions, arguments_from_plain, arguments_to_plain
from idlrt.spec import VOID, Method, argument, optional, required

METHOD: Method[..., None] = Method(
    "find",
    argument(1, "size", rpc.I64, default=10),
    argument(2, "from", rpc.STRING, attribute="from_"),
    required(3, "owner", rpc.struct(t.Point)),
    argument(4, "parts", rpc.list_of(rpc.I32), default_factory=lambda: [7]),
    optional(5, "color", rpc.enum(t.Color)),
    result=VOID,
)
POINT = t.Point(x=1)


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        ({"from": "x", "owner": {"x": 1}}, (10, "x", POINT, [7], None)),
        ({"from_": "x", "owner": {"x": 1}, "color": "RED"}, (10, "x", POINT, [7], t.Color.RED)),
        ({"size": None, "from": None, "owner": {"x": 1}, "parts": None}, (None, None, POINT, None, None)),
        (["5", "x", {"x": 1}], (5, "x", POINT, [7], None)),
        ([5, "x", {"x": 1}, [], 2], (5, "x", POINT, [], t.Color.GREEN)),
        ({"from": "x", "owner": {"x": 1}, "newer": 1}, (10, "x", POINT, [7], None)),
    ],
)
def test_arguments_are_read_by_name_and_by_order(plain: Any, expected: tuple[Any, ...]) -> None:
    found = arguments_from_plain(METHOD, plain)
    assert found == expected
    assert found[3] is None or found[3] is not arguments_from_plain(METHOD, plain)[3]


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"owner": {"x": 1}}, "$: missing argument `from`"),
        ({"from": "x"}, "$: missing argument `owner`"),
        ([1, "x"], "$: missing argument `owner`"),
        ({"from": "x", "owner": None}, "$.owner: required, but null"),
        ([1, "x", None], "$[2]: required, but null"),
        ({"from": "x", "owner": {"x": "y"}}, "$.owner.x: expected i32, got 'y'"),
        ({"from": "x", "from_": "y", "owner": {"x": 1}}, "$: repeated argument `from`"),
        ([1, 2, 3, 4, 5, 6], "$: too many arguments: expected at most 5, got 6"),
        ({"from": "x", "owner": {"x": 1}, "typo": 1}, "$: unknown argument 'typo'"),
        ("x", "$: expected an object or an array, got 'x'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(plain: Any, said: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        arguments_from_plain(METHOD, plain, JsonOptions(refuse_unknown=True))
    assert str(caught.value) == f"cannot read the arguments of find from JSON: {said}"


def test_arguments_are_written_by_their_names() -> None:
    values = (2**60, "x", POINT, None, t.Color.RED)
    plain = {"size": 2**60, "from": "x", "owner": {"x": 1}, "color": "RED"}
    assert arguments_to_plain(METHOD, values) == plain
    options = JsonOptions(i64_as_text=True, enums_as_numbers=True)
    assert arguments_to_plain(METHOD, values, options) == {**plain, "size": str(2**60), "color": 1}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((1, "x"), "$: expected 5 values, got 2"),
        ((1, "x", None, None, None), "$.owner: required, but None"),
        ((1, 2, POINT, None, None), "$.from: must be string, got int 2"),
    ],
)
def test_arguments_that_cannot_be_written_are_refused(values: tuple[Any, ...], said: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        arguments_to_plain(METHOD, values)
    assert str(caught.value) == f"cannot write the arguments of find as JSON: {said}"
