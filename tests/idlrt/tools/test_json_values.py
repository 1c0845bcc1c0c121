"""Values as JSON for people."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from idlrt.tools.json_values import to_json


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({(1, 2): "a"}, [[[1, 2], "a"]]),
        ({(1, 2): "\udcff"}, [[[1, 2], "\udcff"]]),
        ({"\udcff": ["ä\udc80", math.nan, {1}, b"ab"]}, {"\udcff": ["ä\udc80", None, [1], "YWI="]}),
        ({1: {"a": "\udcff"}}, {"1": {"a": "\udcff"}}),
    ],
    ids=["keys that JSON does not have", "both", "text that is not Unicode", "keys that are numbers"],
)
@pytest.mark.parametrize("indent", [0, 2])
def test_values_that_json_does_not_have_are_shown_all_the_same(value: Any, found: Any, indent: int) -> None:
    text = to_json(value, indent=indent)
    assert json.loads(text) == found
    assert text.encode()  # a terminal can print it
    assert ("\n" in text) == bool(indent)
