"""Source of a generated function: lines, constants and their names."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["Source"]


class Source:
    """Lines of Python and the objects that they refer to by name.

    Attributes:
        names: what the text finds as its globals when it runs.
    """

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self._lines: list[str] = []
        self._indent = ""
        self._constants: dict[tuple[str, Any], str] = {}
        self._locals = 0

    def line(self, text: str) -> None:
        """Add a line at the current indentation."""
        self._lines.append(self._indent + text)

    @contextmanager
    def block(self, head: str) -> Generator[None, None, None]:
        """Add `head`, and indent the lines that are added inside."""
        self.line(head)
        outer, self._indent = self._indent, self._indent + " "
        yield
        self._indent = outer

    def constant(self, prefix: str, value: Any, key: Any = None) -> str:
        """Return a name for `value`; the same name for the same `key` (by default the value)."""
        index = (prefix, value if key is None else key)
        name = self._constants.get(index)
        if name is None:
            name = self._constants[index] = f"{prefix}{len(self._constants)}"
            self.names[name] = value
        return name

    def local(self, prefix: str) -> str:
        """Return an unused name for a local variable."""
        self._locals += 1
        return f"{prefix}{self._locals}"

    def function(self, name: str, file: str) -> Any:
        """Compile the source and return its function `name`."""
        exec(compile("\n".join(self._lines), file, "exec"), self.names)
        return self.names[name]
