"""Wording of messages."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["enumeration", "plural", "with_article"]


def enumeration(names: Sequence[str]) -> str:
    """Return names as a list in words: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def plural(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: `1 file`, `2 files`.

    Args:
        noun: singular of the noun.
        plural: plural of the noun; empty: the singular with an `s`.
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def with_article(noun: str) -> str:
    """Return a noun with its indefinite article: `a struct`, `an enum`."""
    return f"an {noun}" if noun[:1] in "aeioAEIO" else f"a {noun}"
