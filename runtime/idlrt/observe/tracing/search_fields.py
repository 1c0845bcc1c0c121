"""Fields of forms that search for calls and traces."""

from __future__ import annotations

import math

from idlrt.errors import ConfigurationError

__all__ = ["parse_seconds", "parse_tags"]


def parse_tags(field: str, text: str) -> dict[str, str]:
    """Return tags by name: of `user:42 channel:web`.

    Args:
        field: name of the field, for errors.
        text: names and values, with spaces between tags.

    Raises:
        ConfigurationError: a tag has no name or value.
    """
    found: dict[str, str] = {}
    for each in text.split():
        name, colon, value = each.partition(":")
        if not colon or not name:
            raise ConfigurationError(f"{field}: expected NAME:VALUE, got {each!r}")
        found[name] = value
    return found


def parse_seconds(field: str, text: str) -> float:
    """Return a number of seconds; 0 for an empty text.

    Args:
        field: name of the field, for errors.
        text: the number.

    Raises:
        ConfigurationError: it is not a number, or negative.
    """
    if not text:
        return 0.0
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise ConfigurationError(f"{field}: must be a number of seconds, got {text!r}")
    return found
