"""Plugins: implementations of an extension point, by name, found through entry points.

Built-ins are registered in `pyproject.toml` exactly as third-party packages are. Looking up entry points takes
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
    """There is no plugin of that name; the message lists the known ones."""


class Plugins(Generic[T]):
    """Plugins of one extension point. Threads may share it.

    Args:
        group: name of the entry-point group, for example `idlrt.framings`.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._lock = threading.Lock()
        self._found: dict[str, EntryPoint] | None = None
        self._loaded: dict[str, Callable[..., T]] = {}

    def _entries(self) -> dict[str, EntryPoint]:
        if self._found is None:
            from importlib.metadata import entry_points  # slow to import, and most programs need no lookup

            self._found = {entry.name: entry for entry in entry_points(group=self.group)}
        return self._found

    def names(self) -> list[str]:
        """Return all known names, sorted."""
        return sorted(self._entries())

    def get(self, name: str) -> Callable[..., T]:
        """Return the plugin `name`, which is loaded on first use.

        Raises:
            UnknownPlugin: there is no plugin of that name.
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
        """Create an instance of the plugin `name`.

        Raises:
            UnknownPlugin: there is no plugin of that name.
        """
        return self.get(name)(*arguments, **options)

    def _unknown(self, name: str) -> str:
        known = self.names()
        what = f"unknown {_noun(self.group)} {name!r}"
        if not known:
            return f"{what}: no entry points of {self.group} are installed; reinstall the package: pip install -e ."
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{what} (known: {', '.join(known)}){hint}"


def _noun(group: str) -> str:
    """Return what one plugin of a group is called: "fault mode" for `idlrt.fault_modes`."""
    plural = group.rpartition(".")[2].replace("_", " ")
    return f"{plural[:-3]}y" if plural.endswith("ies") else plural.removesuffix("s")
