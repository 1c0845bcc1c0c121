"""Sources of metrics of this process, read together.

An object that measures registers itself here. `PROCESS` has all of them; whether clients measure depends on whether
metrics are enabled: by `enable()`, by a server with an admin port or `metrics=True`, or by the environment variable
`IDLRT_METRICS`.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeAlias

from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.observe.metric import Series, merged

__all__ = ["METRICS_VARIABLE", "PROCESS", "SERVERS", "Source", "Sources", "enable", "read_all"]

_log: Final = get_logger("idlrt.observe")

METRICS_VARIABLE: Final = "IDLRT_METRICS"
"""Environment variable that enables metrics of clients, unless it is empty or `0`."""


class Source(Protocol):
    """An object that measures."""

    def read(self) -> Iterable[Series]:
        """Return what it has measured so far. Called on any thread."""
        ...


_Call: TypeAlias = Callable[[], object]


class Sources:
    """Sources that are read together. Threads may share it.

    Args:
        is_enabled: whether clients measure by default.
        is_inherited: whether a forked child goes on with the sources.
    """

    def __init__(self, *, is_enabled: bool = False, is_inherited: bool = True) -> None:
        self._is_inherited = is_inherited
        self._sources: weakref.WeakSet[Any] = weakref.WeakSet()
        self._retired: list[Series] = []
        self._core: frozenset[str] = frozenset()
        self._waiting: list[weakref.WeakMethod[_Call]] = []
        self._is_enabled = is_enabled
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the lock in a forked child, and forget what the parent has counted."""
        self._lock = threading.RLock()
        self._retired = []
        if not self._is_inherited:
            self._sources = weakref.WeakSet()
            self._core = frozenset()

    @property
    def is_enabled(self) -> bool:
        """Whether clients measure by default."""
        return self._is_enabled

    def enable(self) -> None:
        """Let clients measure, also those that exist already. Idempotent."""
        with self._lock:
            if self._is_enabled:
                return
            self._is_enabled = True
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            call = each()
            if call is not None:
                call()

    def when_enabled(self, method: _Call) -> None:
        """Call a bound method once metrics are enabled; its object is referenced weakly."""
        with self._lock:
            if not self._is_enabled:
                self._waiting = [each for each in self._waiting if each() is not None]
                self._waiting.append(weakref.WeakMethod(method))
                return
        method()

    def add(self, source: Source, core: Iterable[str] = ()) -> None:
        """Register a source, weakly: it is read until it is removed, or no longer referenced.

        Args:
            source: the source.
            core: names of core services and methods among what it measures.
        """
        with self._lock:
            self._sources.add(source)
            self._core = self._core.union(core)

    @property
    def core(self) -> frozenset[str]:
        """Names of core services and methods of all sources that were ever added."""
        return self._core

    def remove(self, source: Source | None) -> None:
        """Remove a source. Its counters and histograms stay, because counters must not decrease."""
        with self._lock:
            if source is None or source not in self._sources:
                return
            self._sources.discard(source)
            last = [each for each in self._read(source) if each.metric.kind != "gauge"]
            self._retired = merged([*self._retired, *last])

    def read(self) -> list[Series]:
        """Return the series of all sources. Equal metrics of several sources are combined."""
        with self._lock:
            sources, parts = list(self._sources), list(self._retired)
        for each in sources:
            parts += self._read(each)
        return merged(parts)

    def _read(self, source: Source) -> list[Series]:
        try:
            return list(source.read())
        except Exception:  # noqa: BLE001
            # One source must not make all metrics unreadable.
            _log.exception("cannot read the metrics of %s", type(source).__name__, extra={"kind": "observe"})
            return []


PROCESS: Final = Sources(is_enabled=os.environ.get(METRICS_VARIABLE, "") not in ("", "0"))
"""Sources of this process, without its servers."""

SERVERS: Final = Sources(is_inherited=False)
"""Sources of the servers of this process. The admin port of a server shows its own metrics, not those of the others."""


def read_all() -> list[Series]:
    """Return all series of this process, with those of its servers."""
    return merged([*SERVERS.read(), *PROCESS.read()])


def enable() -> None:
    """Let all clients of this process measure, also those that exist already. Idempotent."""
    PROCESS.enable()
