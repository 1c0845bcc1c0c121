"""Type and range of a call setting."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["Setting"]


# Smaller lower bounds, such as the resolution of clocks, are shown as "greater than 0".
_TINY: Final = 1e-6


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Values that a setting accepts. They are text in the IDL, and converted by msgspec, as the runtime does it.

    Attributes:
        type: type that the text is converted to.
        minimum: lower bound of numbers.
        maximum: upper bound of numbers.
        is_optional: whether `null` is accepted.
        is_name: whether a string names something, so that it must not be empty.
        unit: unit of numbers, in the plural; empty for none.
    """

    type: type[bool] | type[int] | type[float] | type[str]
    minimum: float = 0
    maximum: float = 0
    is_optional: bool = False
    is_name: bool = False
    unit: str = ""

    def accepts(self, text: str) -> bool:
        """Return whether `text` is a valid value."""
        if text[:1] in ("[", "{"):  # the runtime reads it as JSON, and no call setting is a list or a table
            return False
        try:
            value = msgspec.convert(text, self.type | None if self.is_optional else self.type, strict=False)
        except msgspec.ValidationError:
            return False
        if isinstance(value, str):
            return bool(value) or not self.is_name
        if value is None or isinstance(value, bool):
            return True
        return self.minimum <= value <= self.maximum

    @property
    def expected(self) -> str:
        """Valid values in words, as in `expected a whole number from 0 to 100`."""
        if self.type is bool:
            return '"true" or "false"'
        if self.type is str:
            return "a name" if self.is_name else "a string"
        what = "a whole number" if self.type is int else "a number"
        of = f" of {self.unit}" if self.unit else ""
        if 0 < self.minimum < _TINY:
            return f"{what}{of} greater than 0 and at most {_number(self.maximum)}"
        return f"{what}{of} from {_number(self.minimum)} to {_number(self.maximum)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"
