"""Marks of a registry: changed settings and rules of services, overridden instances, and instances that come and go.

The collector subscribes to all services of a registry, as clients do. Versions of settings have the time, the user and
the note of the change, so those that were made while the collector was away become marks, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from idlrt.collector.marks import Event, EventKind, Marks
from idlrt.config.schema import RESERVED_PREFIX
from idlrt.config.store import history
from idlrt.core import Instance, Snapshot
from idlrt.core.logs import get_logger
from idlrt.errors import RegistryError
from idlrt.printable import printable
from idlrt.registry import Registry
from idlrt.registry.subscription import Subscription

__all__ = ["RegistryMarks", "ServiceSettings"]

_log: Final = get_logger("idlrt.collector")

_POLL_S: Final = 1.0
_LIST_S: Final = 10.0
_LOG_S: Final = 60.0
_MAX_SERVICES: Final = 1000
_MAX_TEXT: Final = 160


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a service in the registry.

    Attributes:
        service: name of the service in the registry.
        settings: values by dotted keys.
        version: number of the version; 0 if nothing was set.
        at: time of the change in seconds since 1970; 0 if unknown.
        by: user who made it.
        note: reason.
    """

    service: str
    settings: Mapping[str, str]
    version: int
    at: float
    by: str
    note: str


class RegistryMarks:
    """Watches a registry, on a thread.

    Args:
        url: URL of the registry.
        marks: where marks are added.
        wall: returns seconds since 1970.

    Raises:
        ConfigurationError: the URL is invalid, or a package is missing.
    """

    def __init__(self, url: str, marks: Marks, wall: Callable[[], float] = time.time) -> None:
        self._registry = Registry.connect(url)
        self._marks = marks
        self._wall = wall
        self._subscriptions: dict[str, Subscription] = {}
        self._seen: dict[str, Snapshot] = {}
        self._settings: dict[str, ServiceSettings] = {}
        self._is_closed = threading.Event()
        self._logged_at = -_LOG_S
        self._thread = threading.Thread(target=self._work, name="idlrt registry marks", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and release the connection."""
        self._is_closed.set()
        if self._thread.is_alive():
            self._thread.join()
        self._registry.close()

    @property
    def settings(self) -> list[ServiceSettings]:
        """Settings of all services that have some, by service."""
        return sorted(self._settings.copy().values(), key=lambda each: each.service)

    def _work(self) -> None:
        list_at = 0.0
        while not self._is_closed.wait(_POLL_S):
            try:
                if time.monotonic() >= list_at:
                    list_at = time.monotonic() + _LIST_S
                    self._subscribe()
            except RegistryError as error:
                self._log(error)
            for service, subscription in self._subscriptions.items():
                try:
                    self._look(service, subscription)
                except Exception as error:  # noqa: BLE001  # what one service has must not end the thread
                    self._log(error)

    def _look(self, service: str, subscription: Subscription) -> None:
        snapshot, before = subscription.snapshot, self._seen.get(service)
        if snapshot is not None and snapshot is not before:
            self._compare(service, before, snapshot)
            self._seen[service] = snapshot

    def _log(self, error: Exception) -> None:
        if time.monotonic() - self._logged_at >= _LOG_S:
            self._logged_at = time.monotonic()
            _log.warning("cannot read the registry %s: %s; retrying", self._registry, error, extra={"kind": "marks"})

    def _subscribe(self) -> None:
        for service in self._registry.services()[:_MAX_SERVICES]:
            if service not in self._subscriptions:
                self._subscriptions[service] = self._registry.subscribe(service)

    def _compare(self, service: str, before: Snapshot | None, now: Snapshot) -> None:
        if before is None or _plain(before.settings) != _plain(now.settings):
            self._read_settings(service, now)
        if before is not None:
            for event in self._changes(service, before, now):
                self._marks.add(event)

    def _read_settings(self, service: str, now: Snapshot) -> None:
        """Add the versions of settings; those that are there already change nothing."""
        versions = history(self._registry, service)
        for before, each in zip(({}, *(each.settings for each in versions)), versions, strict=False):
            if each.at:
                by = f" by {each.by}" if each.by else ""
                note = f" ({each.note})" if each.note else ""
                text = f"settings version {each.version}{by}: {_difference(before, each.settings)}{note}"
                self._marks.add(self._event("settings", service, each.at, text))
        latest = versions[-1]
        if latest.settings:
            self._settings[service] = ServiceSettings(
                service=service,
                settings=_plain(now.settings),
                version=latest.version,
                at=latest.at,
                by=latest.by,
                note=latest.note,
            )
        else:
            self._settings.pop(service, None)

    def _changes(self, service: str, before: Snapshot, now: Snapshot) -> Iterator[Event]:
        """Yield what happened to instances."""
        at = self._wall()
        known = {each.id: each for each in before.instances}
        for each in now.instances:
            earlier = known.pop(each.id, None)
            if earlier is None:
                yield self._event("instance", service, at, f"{each.id} registered")
                continue
            changes = ", ".join(_attributes(earlier, each))
            if changes:
                yield self._event("override", service, at, f"{each.id}: {changes}")
        for gone in known.values():
            yield self._event("instance", service, at, f"{gone.id} no longer registered")

    def _event(self, kind: EventKind, service: str, at: float, text: str) -> Event:
        return Event(at=at, kind=kind, service=service, text=printable(text))


def _plain(settings: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if not key.startswith(RESERVED_PREFIX)}


def _difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return what was changed between two versions of settings: `fault=hedge, timeout removed`."""
    parts = [f"{key}={value}" for key, value in sorted(now.items()) if before.get(key) != value]
    parts += [f"{key} removed" for key in sorted(before.keys() - now.keys())]
    text = ", ".join(parts) or "nothing changed"
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."


def _attributes(before: Instance, now: Instance) -> Iterator[str]:
    """Yield what was changed about an instance."""
    if before.status is not now.status:
        yield f"status {now.status}"
    if before.weight != now.weight:
        yield f"weight {now.weight}, was {before.weight}"
    if before.tags != now.tags:
        yield f"tags {_difference(before.tags, now.tags)}"
