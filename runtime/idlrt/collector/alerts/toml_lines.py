"""Lines of the keys of a TOML file, for error messages: the parser of the standard library does not tell them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from idlrt.config import Problem

__all__ = ["TomlLines"]

_HEADER: Final = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY: Final = re.compile(r"\s*([\w.\-\"' ]+?)\s*=")
_LAST_PART: Final = re.compile(r"[.\[][^.\[]*$")


class TomlLines:
    """Lines of the tables and keys of a file. Keys of inline tables are those of their table.

    Args:
        text: the file.
    """

    def __init__(self, text: str) -> None:
        self._found: dict[str, int] = {}
        table = ""
        for number, line in enumerate(text.splitlines(), 1):
            if match := _HEADER.match(line):
                table = _plain(match[1])
                self._found.setdefault(table.partition(".")[0], number)
                self._found.setdefault(table, number)
            elif match := _KEY.match(line):
                key = _plain(match[1])
                self._found.setdefault(f"{table}.{key}" if table else key, number)

    def of(self, key: str) -> int:
        """Return the line of a key, or of the nearest table around it; 0 if there is none."""
        while key not in self._found:
            around = _LAST_PART.sub("", key)
            if around == key:
                return 0
            key = around
        return self._found[key]

    def placed(self, problems: Sequence[Problem]) -> list[Problem]:
        """Return problems with their lines, in the order of the file."""
        found = sorted(((self.of(each.key), each) for each in problems), key=lambda each: each[0])
        return [Problem(f"line {line}, {each.key}" if line else each.key, each.why) for line, each in found]


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))
