"""Polls: the metrics of all instances at one time, and what was added since the poll before.

Instances are read by a few threads. One that does not respond delays the others by no more than the timeout. Counters
are cumulative, so a poll that fails costs resolution and no counts: the next one covers the time of both.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from idlrt.observe.snapshot import Snapshot
from idlrt.tools.instances import AdminUrl, Target
from idlrt.tools.top.cells_page import MetricsUnavailable

__all__ = ["Poll", "Poller", "Reading"]

_MAX_THREADS: Final = 64
_ANY_HOST: Final = ("", "0.0.0.0", "[::]")  # compared with, not listened on


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """State of one instance in a poll.

    Attributes:
        name: its name, different from those of the others.
        url: its admin port; empty if it is unknown.
        error: why it could not be read; empty if it was.
        total: its metrics since its start; the last known ones if it could not be read, `None` if it never was.
        added: what was added since it was read before; `None` if it was read less than twice, or not in this poll.
    """

    name: str
    url: str = ""
    error: str = ""
    total: Snapshot | None = None
    added: Snapshot | None = None

    @property
    def is_up(self) -> bool:
        """Whether it was read in this poll."""
        return not self.error


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """State of all instances.

    Attributes:
        at: time, in seconds since 1970.
        readings: the instances, ordered by name.
    """

    at: float
    readings: Sequence[Reading] = ()

    @property
    def up(self) -> int:
        """Number of instances that could be read."""
        return sum(each.is_up for each in self.readings)

    @property
    def totals(self) -> list[Snapshot]:
        """Metrics since the start, with the last known ones of instances that could not be read."""
        return [each.total for each in self.readings if each.total is not None]

    @property
    def added(self) -> list[Snapshot]:
        """Metrics since the poll before."""
        return [each.added for each in self.readings if each.added is not None]


class _Known:
    """State of an instance between polls."""

    def __init__(self) -> None:
        self.is_busy = False
        self.is_read = False
        self.error = ""
        self.total: Snapshot | None = None
        self.added: Snapshot | None = None


class Poller:
    """Reads instances again and again. Its threads end with the process.

    Args:
        targets: returns the instances.
        read: reads one; raises `MetricsUnavailable`.
        timeout: seconds for a poll.
        now: clock, in seconds since 1970.
    """

    def __init__(
        self,
        targets: Callable[[], Sequence[Target]],
        read: Callable[[AdminUrl], Snapshot],
        *,
        timeout: float = 2.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._targets = targets
        self._read = read
        self._timeout = timeout
        self._now = now
        self._known: dict[str, _Known] = {}
        self._jobs: queue.SimpleQueue[tuple[_Known, AdminUrl]] = queue.SimpleQueue()
        self._threads = 0
        self._changed = threading.Condition()

    def poll(self) -> Poll:
        """Read all instances, and return what was found within the timeout."""
        targets = self._targets()
        known = {each.key: self._known.get(each.key) or _Known() for each in targets}
        self._known = known
        jobs: list[_Known] = []
        for each in targets:
            state = known[each.key]
            state.is_read = False
            if each.url is None:
                state.error = each.error
            elif not state.is_busy:
                state.is_busy = True
                self._jobs.put((state, each.url))
                jobs.append(state)
        self._start_threads(len(jobs))
        with self._changed:
            # Reading ends at the timeout by itself, except while a name is looked up.
            self._changed.wait_for(lambda: not any(each.is_busy for each in jobs), self._timeout * 1.25)
            readings = [_reading(each, known[each.key], self._timeout) for each in targets]
        return Poll(at=self._now(), readings=sorted(_distinct(readings), key=lambda each: each.name))

    def _start_threads(self, wanted: int) -> None:
        while self._threads < min(wanted, _MAX_THREADS):
            self._threads += 1
            threading.Thread(target=self._work, name=f"idlrt top {self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            state, url = self._jobs.get()
            found: Snapshot | None = None
            error = ""
            try:
                found = self._read(url)
            except MetricsUnavailable as caught:
                error = str(caught)
            except Exception as caught:  # noqa: BLE001  # whatever an instance sends, the others are read
                error = f"{type(caught).__name__}: {caught}"
            with self._changed:
                if found is not None:
                    state.added = found.since(state.total) if state.total is not None else None
                    state.total = found
                state.error, state.is_read, state.is_busy = error, found is not None, False
                self._changed.notify_all()


def _reading(target: Target, state: _Known, timeout: float) -> Reading:
    error = state.error
    if not state.is_read and not error:
        error = f"no response within {timeout:g} s"
    total = state.total
    return Reading(
        name=target.name or (_name(total.resource) if total is not None else "") or target.key.removeprefix("http://"),
        url=str(target.url) if target.url is not None else "",
        error=error,
        total=total,
        added=state.added if not error else None,
    )


def _name(resource: Mapping[str, str]) -> str:
    """Return the name of an instance: its address; with the name of its host if it listens on all interfaces."""
    name = resource.get("instance", "")
    host, _, port = name.rpartition(":")
    return f"{resource.get('host', '')}:{port}" if host in _ANY_HOST and port else name


def _distinct(readings: Sequence[Reading]) -> list[Reading]:
    """Let an instance that is read twice count once, give equal names different ones, and put them into the metrics."""
    seen: dict[tuple[float, str, str], Reading] = {}
    single: list[Reading] = []
    for each in sorted(readings, key=lambda each: not each.is_up):
        if each.total is not None:
            resource = each.total.resource
            identity = (each.total.started_at, resource.get("host", ""), resource.get("instance", ""))
            first = seen.setdefault(identity, each)
            if first is not each:
                changes: dict[str, Any] = {"name": each.url, "total": None, "added": None}
                changes["error"] = f"the same instance as {first.url}"
                single.append(msgspec.structs.replace(each, **changes))
                continue
        single.append(each)
    names = [each.name for each in single]
    return [
        _renamed(each, each.name if names.count(each.name) == 1 else f"{each.name} ({each.url})") for each in single
    ]


def _renamed(reading: Reading, name: str) -> Reading:
    changes: dict[str, Any] = {"total": _identified(reading.total, name), "added": _identified(reading.added, name)}
    return msgspec.structs.replace(reading, name=name, **changes)


def _identified(snapshot: Snapshot | None, name: str) -> Snapshot | None:
    if snapshot is None:
        return None
    return msgspec.structs.replace(snapshot, resource={**snapshot.resource, "instance": name})
