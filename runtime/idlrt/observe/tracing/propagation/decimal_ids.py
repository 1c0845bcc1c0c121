"""Ids of spans as Pinpoint and EagleEye write them: 64 bits as a signed decimal number."""

from __future__ import annotations

import re
from typing import Final

from idlrt.observe.tracing.propagation.base import MalformedHeader

__all__ = ["format_signed", "parse_signed"]

_NUMBER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_BITS: Final = 64
_NONE: Final = -1


def parse_signed(text: str) -> str:
    """Return 16 hex digits for a signed number; empty for -1, which stands for none.

    Raises:
        MalformedHeader: it is no number of 64 bits, or 0.
    """
    if not _NUMBER.fullmatch(text):
        raise MalformedHeader("id is not a decimal number")
    number = int(text)
    if number == 0 or not -(1 << (_BITS - 1)) <= number < 1 << (_BITS - 1):
        raise MalformedHeader("id is zero, or exceeds 64 bits")
    return "" if number == _NONE else f"{number % (1 << _BITS):016x}"


def format_signed(span_id: str) -> str:
    """Return the number for 16 hex digits; -1 for an empty id."""
    if not span_id:
        return str(_NONE)
    number = int(span_id, 16)
    return str(number - (1 << _BITS) if number >> (_BITS - 1) else number)
