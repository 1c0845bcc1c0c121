"""Arguments of calls: positional, by keyword, or omitted."""

from __future__ import annotations

from typing import Any

import pytest

from idlrt.client.arguments import bind_arguments
from idlrt.spec import BOOL, I32, STRING, VOID, Method, argument, list_of, optional, required
from idlrt.tools.json_values import arguments_from

METHOD: Method[..., None] = Method(
    "find",
    argument(1, "size", I32, default=10),
    argument(2, "what", STRING),
    required(3, "owner", I32),
    argument(4, "parts", list_of(I32), default_factory=lambda: [7]),
    optional(5, "exact", BOOL),
    result=VOID,
)


@pytest.mark.parametrize(
    ("given", "named", "expected"),
    [
        ((), {"what": "x", "owner": 1}, (10, "x", 1, None, None)),
        ((5,), {"what": None, "owner": 1}, (5, None, 1, None, None)),
        ((5, "x"), {"owner": 1, "exact": True, "parts": []}, (5, "x", 1, [], True)),
        ((), {"size": None, "what": "x", "owner": 1}, (None, "x", 1, None, None)),
    ],
)
def test_optional_arguments_have_defaults(
    given: tuple[Any, ...], named: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert bind_arguments(METHOD, given, named) == expected


@pytest.mark.parametrize(
    ("named", "missing"),
    [({"owner": 1}, "what"), ({"what": "x"}, "owner"), ({"what": "x", "owner": None}, "owner")],
)
def test_missing_required_arguments_are_named(named: dict[str, Any], missing: str) -> None:
    with pytest.raises(TypeError, match=f"find is missing argument '{missing}'"):
        bind_arguments(METHOD, (), named)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"what": "x", "owner": 1}', (10, "x", 1, [7], None)),
        ('{"what": null, "owner": 1, "size": null, "parts": null}', (None, None, 1, None, None)),
        ('[5, "x", 1]', (5, "x", 1, [7], None)),
    ],
)
def test_json_may_omit_the_same_arguments(text: str, expected: tuple[Any, ...]) -> None:
    found = arguments_from(METHOD, text)
    assert found == expected
    assert found[3] is None or found[3] is not arguments_from(METHOD, text)[3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"owner": 1}', r"JSON: \$: missing argument `what`; find takes 5 arguments \(size: i32, what: string,"),
        ('{"what": "x"}', "missing argument `owner`"),
        ('{"what": "x", "owner": null}', r"JSON: \$\.owner: required, but null"),
    ],
)
def test_json_without_required_arguments_is_rejected(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        arguments_from(METHOD, text)
