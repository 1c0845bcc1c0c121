"""YAML text of plain data: maps, lists, text and numbers, as configuration files of Prometheus have them.

Text is quoted as in JSON wherever YAML could read it as something else.

Source: https://yaml.org/spec/1.2.2/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

__all__ = ["yaml_text"]

# Neither a number, a duration, a word with a meaning, nor with characters that have one.
_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def yaml_text(value: Mapping[str, Any], comment: str = "") -> str:
    """Return a document.

    Args:
        value: the data.
        comment: lines at its start.
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join((*lines, *_map(value))) + "\n"


def _map(value: Mapping[str, Any]) -> Iterator[str]:
    for key, each in value.items():
        name = _scalar(key)
        lines = _lines(each)
        if lines:
            yield f"{name}:"
            yield from (f"  {line}" for line in lines)
        else:
            yield f"{name}: {_scalar(each)}"


def _list(value: Sequence[Any]) -> Iterator[str]:
    for each in value:
        lines = _lines(each) or [_scalar(each)]
        yield f"- {lines[0]}"
        yield from (f"  {line}" for line in lines[1:])


def _lines(value: Any) -> list[str]:
    """Return the lines of a map or a list; none for other values, and for empty ones."""
    if isinstance(value, Mapping):
        return list(_map(cast("Mapping[str, Any]", value)))
    if isinstance(value, list | tuple):
        return list(_list(cast("Sequence[Any]", value)))
    return []


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
