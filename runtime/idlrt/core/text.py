"""Wording of messages."""

from __future__ import annotations

__all__ = ["plural"]


def plural(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: `1 byte`, `2 bytes`; `plural` is for nouns whose plural is irregular."""
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"
