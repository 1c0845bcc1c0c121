"""Values as JSON on a command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from idlrt.errors import ConfigurationError
from idlrt.spec import I32, STRING, Method, Type, list_of, map_of, required
from idlrt.tools.json_values import arguments_from, result_to_json


def method(result: Type[Any] = STRING) -> Method[..., Any]:
    """A method with one argument."""
    return Method("find", required(1, "id", I32), result=result)


@pytest.mark.parametrize(
    ("result", "value", "found"),
    [
        (STRING, "a\udcffb", "a\udcffb"),
        (list_of(STRING), ["ä\udc80", "x"], ["ä\udc80", "x"]),
        (map_of(STRING, I32), {"\udcff": 1}, {"\udcff": 1}),
        (map_of(I32, STRING), {1: "\udcff"}, {"1": "\udcff"}),
    ],
    ids=["text", "list", "keys", "values"],
)
@pytest.mark.parametrize("indent", [0, 2])
def test_text_that_is_not_utf8_is_shown_with_escapes(result: Type[Any], value: Any, found: Any, indent: int) -> None:
    text = result_to_json(method(result), value, indent=indent)
    assert json.loads(text) == found
    assert text.encode()  # a terminal can print it


@pytest.mark.parametrize("indent", [0, 2])
def test_characters_that_terminals_act_on_are_escaped(indent: int) -> None:
    text = result_to_json(method(), "\x1b[31m\u202e", indent=indent)
    assert text == '"\\u001b[31m\\u202e"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot read the arguments of find from JSON: Input data was truncated; find takes 1 argument (id: i32)"),
        ('{"id": 1, "id2": 2}', "unknown argument 'id2'; find takes 1 argument (id: i32)"),
        ('{"id": 1e999}', "cannot read the arguments of find from JSON: "),
        ("[" * 100_000, "cannot read the arguments of find from JSON: "),
        ('{"id": "\udcff"}', "cannot read the arguments of find from JSON: "),
        ("7", "expected an object or an array, got 7"),
    ],
)
def test_arguments_that_cannot_be_read_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        arguments_from(method(), text)
    assert said in str(caught.value)
