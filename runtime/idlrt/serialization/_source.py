"""Source text of a function in the making: lines, constants, and the names they go by."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["Source"]


class Source:
    """Lines of Python and the names that they refer to.

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
        """Add one line at the present indentation."""
        self._lines.append(self._indent + text)

    @contextmanager
    def block(self, head: str) -> Generator[None, None, None]:
        """Add `head`, and indent what is added inside."""
        self.line(head)
        outer, self._indent = self._indent, self._indent + " "
        yield
        self._indent = outer

    def constant(self, prefix: str, value: Any, key: Any = None) -> str:
        """A name for `value`; the same name again for the same `key` (the value itself, if none is given)."""
        index = (prefix, value if key is None else key)
        name = self._constants.get(index)
        if name is None:
            name = self._constants[index] = f"{prefix}{len(self._constants)}"
            self.names[name] = value
        return name

    def local(self, prefix: str) -> str:
        """A name for a local variable that nothing else uses."""
        self._locals += 1
        return f"{prefix}{self._locals}"

    def function(self, name: str, file: str) -> Any:
        """Compile what was added, and return the function that it defines as `name`."""
        exec(compile("\n".join(self._lines), file, "exec"), self.names)
        return self.names[name]
