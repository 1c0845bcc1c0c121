"""Types of settings as text, and error messages about values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from idlrt.config.types import description, error_text, fields_of, invalid_value, type_text
from idlrt.core import Fraction, Positive, Seconds


class Settings(msgspec.Struct):
    wait: Annotated[Seconds, msgspec.Meta(description="time to wait.")] = 0.0
    least: Positive | None = None
    share: Fraction = 0.5
    count: Annotated[int, msgspec.Meta(gt=0, lt=10)] = 1
    size: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    mode: Literal["fast", "safe"] = "fast"
    names: tuple[str, ...] = ()
    by_name: dict[str, bool] = {}
    value: Any = None


FIELDS = fields_of(Settings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wait", "seconds, >= 0"),
        ("least", "seconds, > 0, optional"),
        ("share", "number, 0 to 1"),
        ("count", "integer, > 0 and < 10"),
        ("mode", '"fast" or "safe"'),
        ("names", "list of strings"),
        ("by_name", "table of booleans"),
        ("value", "any"),
    ],
)
def test_types_as_text(name: str, text: str) -> None:
    assert type_text(FIELDS[name].type) == text


def test_descriptions() -> None:
    assert description(FIELDS["wait"]) == "time to wait."
    assert description(FIELDS["share"]) == description(FIELDS["mode"]) == ""


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("wait", "soon", "expected a number of seconds, got 'soon'"),
        ("wait", -1, "must be at least 0 seconds, got -1"),
        ("wait", 1e10, "must be at most 2000000 seconds, got 10000000000.0"),
        ("share", [0.5], "expected a number, got [0.5]"),
        ("count", 0, "must be at least 1, got 0"),
        ("count", 10, "must be at most 9, got 10"),
        ("size", 0, "must be greater than 0, got 0"),
        ("mode", "quick", 'expected "fast" or "safe", got \'quick\''),
        ("mode", 5, 'expected "fast" or "safe", got 5'),
        ("names", "a", "expected a list of strings, got 'a'"),
        ("by_name", "a", "expected a table of booleans, got 'a'"),
    ],
)
def test_invalid_values_of_fields(name: str, value: object, text: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({name: value}, Settings)
    assert invalid_value(str(caught.value).partition(" - at ")[0], value, FIELDS[name]) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("Expected `str`, got `int`", "expected a string, got an integer"),
        ("Expected `bool | null`, got `array`", "expected a boolean or null, got a list"),
        ("Expected `float` >= 0.5", "must be at least 0.5"),
        ("Expected `uuid`", "expected uuid"),
        ("Invalid enum value 'x'", "invalid enum value 'x'"),
        ("Something else", "something else"),
    ],
)
def test_messages_about_parts_of_values(error: str, text: str) -> None:
    assert error_text(error) == text
