"""Named implementations, found by entry point.

Built-ins register in `pyproject.toml` exactly as a stranger's package does. Looking an entry point up costs
milliseconds, so it happens on first use and never at import.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from idlrt.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Plugins", "UnknownPlugin"]

T = TypeVar("T")


class UnknownPlugin(ConfigurationError):
    """No implementation has that name; the message lists those that are known."""


class Plugins(Generic[T]):
    """The implementations of one extension point.

    Args:
        group: the entry-point group, for example `idlrt.framings`.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._lock = threading.Lock()
        self._found: dict[str, EntryPoint] | None = None
        self._loaded: dict[str, Callable[..., T]] = {}

    def _entries(self) -> dict[str, EntryPoint]:
        if self._found is None:
            from importlib.metadata import entry_points  # dear to import, and most programs need no look-up

            self._found = {entry.name: entry for entry in entry_points(group=self.group)}
        return self._found

    def names(self) -> list[str]:
        """All known names, sorted."""
        return sorted(self._entries())

    def get(self, name: str) -> Callable[..., T]:
        """The implementation called `name`.

        Raises:
            UnknownPlugin: there is none.
        """
        with self._lock:
            loaded = self._loaded.get(name)
            if loaded is None:
                entry = self._entries().get(name)
                if entry is None:
                    raise UnknownPlugin(self._unknown(name))
                loaded = self._loaded[name] = cast("Callable[..., T]", entry.load())
            return loaded

    def make(self, name: str, *arguments: Any, **options: Any) -> T:
        """A new instance of the implementation called `name`."""
        return self.get(name)(*arguments, **options)

    def _unknown(self, name: str) -> str:
        known = self.names()
        if not known:
            return f"no {self.group} named {name!r}: none is registered; reinstall the package with `pip install -e .`"
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"no {self.group} named {name!r}; known: {', '.join(known)}{hint}"
