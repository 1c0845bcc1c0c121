"""Wording of messages."""

from __future__ import annotations

__all__ = ["plural"]


def plural(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: `1 file`, `2 files`.

    Args:
        noun: singular of the noun.
        plural: plural of the noun; empty: the singular with an `s`.
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
