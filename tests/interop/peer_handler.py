"""Handler that all servers of these tests share, with idlrt values."""

from __future__ import annotations

import collections
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from idlrt import request_metadata

PEERS_METADATA: ContextVar[Mapping[str, str] | None] = ContextVar("what came to a peer's server", default=None)


class Handler:
    """Serves `Peer`.

    Args:
        stubs: the module of our classes.
        version: what `version` says.
    """

    def __init__(self, stubs: ModuleType, version: str = "1.0") -> None:
        self._stubs = stubs
        self._version = version
        self._noted: list[str] = []
        self.was_noted = threading.Semaphore(0)

    def ping(self) -> None:
        pass

    def version(self) -> str:
        return self._version

    def flip(self, value: bool) -> bool:
        return not value

    def tiny(self, value: int) -> int:
        return value

    def small(self, value: int) -> int:
        return value

    def add(self, a: int, b: int) -> Any:
        return a + b

    def large(self, value: int) -> int:
        return value

    def half(self, value: float) -> float:
        return value / 2

    def greet(self, name: str) -> str:
        return f"hello {name}"

    def reversed(self, data: bytes) -> bytes:
        return data[::-1]

    def next_color(self, color: Any) -> Any:
        return self._stubs.Color(color + 1)

    def words(self, text: str) -> list[str]:
        return text.split()

    def unique(self, values: list[int]) -> set[int]:
        return set(values)

    def count(self, words: list[str]) -> dict[str, int]:
        return dict(collections.Counter(words))

    def shape(self, shape: Any) -> Any:
        return shape

    def echo(self, value: Any) -> Any:
        return value

    def page(
        self, after: str, size: int = 20, limit: int | None = None, fields: Any = None, color: int | None = None
    ) -> str:
        """Return the arguments. For an absent one a peer's server passes `None`, ours the default in Python or IDL."""
        return repr((after, size, limit, fields, color and int(color)))

    def find(self, id: int) -> Any:
        if id == 0:
            raise self._stubs.NotFound(id=id, reason="none has number 0")
        if id < 0:
            raise self._stubs.Refused(code=7, because=["negative", "ä"])
        return self._stubs.Point(x=id)

    def check(self, code: int) -> None:
        if code:
            raise self._stubs.Refused(code=code)

    def fail(self, how: str) -> None:
        raise ValueError(how)

    def note(self, text: str) -> None:
        self._noted.append(text)
        self.was_noted.release()

    def notes(self) -> list[str]:
        return self._noted

    def metadata(self) -> dict[str, str]:
        found = dict(request_metadata() or PEERS_METADATA.get() or {})
        # What our clients tell every server; ours keeps it to itself.
        found.pop("client_timeout", None)
        return found
