"""Programs that push: which ones are there, when they came and went, and which ones were lost.

What happens to them becomes marks: a version that a service did not have before, instances that start and end, and
those that fall silent without a last report, whose counts since their last one are unknown.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from idlrt.collector.api import Packet
from idlrt.collector.marks import Event, EventKind, Marks
from idlrt.core.logs import get_logger

__all__ = ["LOST_AFTER_S", "Program", "Programs"]

_log: Final = get_logger("idlrt.collector")

LOST_AFTER_S: Final = 35.0
"""Seconds of silence after which a program is lost: three usual intervals, and some more."""

_FORGET_S: Final = 3600.0
_NOTE_S: Final = 60.0
_PROGRAM: Final = "program/"
_VERSIONS: Final = "versions/"
_MAX_VERSIONS: Final = 20


class Program(msgspec.Struct, kw_only=True):
    """A process that pushes.

    Attributes:
        id: random number of the process.
        resource: its identity: `service`, `instance`, `host`, `zone`, `version`.
        started_at: its start, in seconds since 1970.
        at: time of its last snapshot, on its own clock.
        seen_at: when its last packet has arrived, on the clock of the collector.
        state: `live`, `ended` after its last report, or `lost`.
        transport: how its last packet came.
        core: core services and methods that it serves.
    """

    id: int
    resource: Mapping[str, str]
    started_at: float
    at: float
    seen_at: float
    state: str = "live"
    transport: str = ""
    core: tuple[str, ...] = ()

    @property
    def service(self) -> str:
        """Name of its service."""
        return self.resource.get("service", "")

    @property
    def instance(self) -> str:
        """Name of the process."""
        return self.resource.get("instance", "")


class Programs:
    """Programs that push. Threads may share it.

    Args:
        marks: where marks are kept, and the state over restarts.
        lost_after: seconds of silence after which a program is lost.
        wall: returns seconds since 1970.
    """

    def __init__(
        self, marks: Marks, *, lost_after: float = LOST_AFTER_S, wall: Callable[[], float] = time.time
    ) -> None:
        self._marks = marks
        self._lost_after = lost_after
        self._wall = wall
        self._lock = threading.Lock()
        self._programs: dict[int, Program] = {}
        self._versions: dict[str, list[str]] = {}
        self._changed: set[str] = set()
        # After a restart of the collector programs have time to push again.
        self._since = self._noted_at = wall()
        for name, data in marks.notes().items():
            if name.startswith(_PROGRAM):
                found = msgspec.msgpack.decode(data, type=Program)
                self._programs[found.id] = found
            elif name.startswith(_VERSIONS):
                self._versions[name.removeprefix(_VERSIONS)] = msgspec.msgpack.decode(data, type=list[str])

    def seen(self, packet: Packet, transport: str) -> None:
        """Note a packet that was stored."""
        sender, now = packet.sender, self._wall()
        events: list[Event] = []
        with self._lock:
            found = self._programs.get(sender.id)
            if found is None or found.started_at != sender.started_at:
                earlier = self._live(sender.resource)
                found = Program(
                    id=sender.id, resource=sender.resource, started_at=sender.started_at, at=packet.at, seen_at=now
                )
                self._programs[sender.id] = found
                events += self._arrival(found, earlier)
                self._changed.add(f"{_PROGRAM}{sender.id}")
            elif found.state == "lost":
                found.state = "live"
                events.append(self._event("instance", found, packet.at, f"{found.instance} reports again"))
                self._changed.add(f"{_PROGRAM}{sender.id}")
            found.at, found.seen_at, found.transport = max(found.at, packet.at), now, transport
            if packet.core is not None:
                found.core = tuple(packet.core)
            if packet.is_last and found.state != "ended":
                found.state = "ended"
                events.append(self._event("instance", found, packet.at, f"{found.instance} ended"))
                self._changed.add(f"{_PROGRAM}{sender.id}")
        self._write(events)

    def _live(self, resource: Mapping[str, str]) -> Program | None:
        """Return the program of the same service and instance."""
        wanted = resource.get("service", ""), resource.get("instance", "")
        return next((each for each in self._programs.values() if (each.service, each.instance) == wanted), None)

    def _arrival(self, found: Program, earlier: Program | None) -> Iterable[Event]:
        version = found.resource.get("version", "")
        known = self._versions.setdefault(found.service, [])
        if version and version not in known:
            known.append(version)
            del known[:-_MAX_VERSIONS]
            self._changed.add(f"{_VERSIONS}{found.service}")
            yield self._event("deployment", found, found.started_at, f"version {version}")
        verb = "started" if earlier is None else "started again"
        yield self._event("instance", found, found.started_at, f"{found.instance} {verb}")

    def _event(self, kind: EventKind, program: Program, at: float, text: str) -> Event:
        return Event(at=min(at, self._wall()), kind=kind, service=program.service, text=text)

    def maintain(self) -> None:
        """Find programs that were lost, forget those that are gone, and write what has changed."""
        now = self._wall()
        events: list[Event] = []
        with self._lock:
            for found in list(self._programs.values()):
                if found.state == "live" and now - max(found.seen_at, self._since) > self._lost_after:
                    found.state = "lost"
                    self._changed.add(f"{_PROGRAM}{found.id}")
                    text = f"{found.instance} was lost; its counts after its last report are unknown"
                    events.append(self._event("lost", found, found.at, text))
                elif found.state != "live" and now - found.seen_at > _FORGET_S:
                    del self._programs[found.id]
                    self._changed.add(f"{_PROGRAM}{found.id}")
            if now - self._noted_at >= _NOTE_S:
                # After a restart the time of the last report of a lost program is still known, to a minute.
                self._noted_at = now
                self._changed.update(f"{_PROGRAM}{each.id}" for each in self._programs.values() if each.state == "live")
            notes = [(name, self._note(name)) for name in self._changed]
            self._changed.clear()
        self._write(events)
        try:
            self._marks.remember(notes)
            self._marks.maintain()
        except sqlite3.Error as error:
            _log.warning("cannot write the programs that push: %s", error, extra={"kind": "marks"})
            with self._lock:
                self._changed.update(name for name, _ in notes)

    def _note(self, name: str) -> bytes:
        if name.startswith(_VERSIONS):
            return msgspec.msgpack.encode(self._versions.get(name.removeprefix(_VERSIONS), []))
        found = self._programs.get(int(name.removeprefix(_PROGRAM)))
        return msgspec.msgpack.encode(found) if found is not None else b""

    def _write(self, events: Iterable[Event]) -> None:
        for each in events:
            try:
                self._marks.add(each)
            except sqlite3.Error as error:
                fields = {"kind": each.kind, "service": each.service}
                _log.warning("cannot write a mark of %s: %s", each.service, error, extra=fields)

    def all(self) -> list[Program]:
        """Return copies of all programs, by service and instance."""
        with self._lock:
            found = [msgspec.structs.replace(each) for each in self._programs.values()]
        return sorted(found, key=lambda each: (each.service, each.instance, each.started_at))

    def core_services(self) -> frozenset[str]:
        """Return the names of programs that serve something core."""
        with self._lock:
            return frozenset(each.service for each in self._programs.values() if each.core)

    def core_methods(self) -> frozenset[str]:
        """Return the names of core services of the IDL and of core methods."""
        with self._lock:
            return frozenset(name for each in self._programs.values() for name in each.core)
