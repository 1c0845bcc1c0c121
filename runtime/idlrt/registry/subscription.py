"""Subscriptions to services: the latest snapshot, readable at any time without I/O.

The registry's thread updates a `Feed`, one per service; each consumer holds a `Subscription` to it. Snapshots are
immutable and replaced by a single assignment, so readers take no lock.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from idlrt.core import Change, Freshness, ServiceKey, Snapshot, difference
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.errors import RegistryError
from idlrt.printable import plural

if TYPE_CHECKING:
    from idlrt.registry.backend import ServiceData

__all__ = ["Feed", "Listener", "Subscription"]

_log = get_logger("idlrt.registry")

Listener = Callable[[Change], object]
"""Callback for new snapshots. It is called on the registry's thread, except that `listen` itself passes the snapshot
that is already known. It must return quickly and must not call the registry.
"""


class Feed:
    """Latest snapshot of a service, and its listeners. Written by the registry's thread only.

    Args:
        empty_protection: whether to keep the last known instances when the registry reports none.
        saved: called with each new snapshot from the registry, to save it to disk.

    Attributes:
        snapshot: latest snapshot; `None` before the first one.
        last_error: why the last request to the registry failed; `None` if it succeeded.
    """

    def __init__(self, key: ServiceKey, *, empty_protection: bool, saved: Callable[[Snapshot], object] | None) -> None:
        self.key = key
        self.snapshot: Snapshot | None = None
        self.last_error: RegistryError | None = None
        self.count = 0
        self._empty_protection = empty_protection
        self._saved = saved
        self._listeners: list[Listener] = []
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Reset after a fork: the parent's locks may be held."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # Held during notification, so that listeners see snapshots in order.
        self._notifying = threading.RLock()

    def publish(self, found: ServiceData) -> None:
        """Publish the state that the registry returned."""
        self.last_error = None
        instances = tuple(
            sorted(
                (
                    patch.apply(each) if (patch := found.patches.get(each.id)) is not None else each
                    for each in found.instances
                ),
                key=lambda each: each.id,
            )
        )
        freshness, last = Freshness.LIVE, self.snapshot
        if not instances and last is not None and last.instances and self._empty_protection:
            if last.freshness is not Freshness.PROTECTED:
                _log.warning(
                    "registry reports no instances of %s; keeping the last %s",
                    self.key,
                    plural(len(last.instances), "instance"),
                    extra={"service": str(self.key)},
                )
            instances, freshness = last.instances, Freshness.PROTECTED
        snapshot = Snapshot(
            key=self.key, instances=instances, settings=found.settings, revision=found.revision, freshness=freshness
        )
        if self._saved is not None and freshness is Freshness.LIVE and (last is None or last != snapshot):
            self._saved(snapshot)
        self._publish(snapshot)

    def publish_error(self, error: RegistryError) -> None:
        """Record a failed request, and mark the snapshot as possibly outdated."""
        self.last_error = error
        if self.snapshot is not None and self.snapshot.freshness is Freshness.LIVE:
            self._publish(msgspec.structs.replace(self.snapshot, freshness=Freshness.STALE))
        with self._changed:
            self._changed.notify_all()

    def publish_saved(self, saved: Snapshot) -> None:
        """Publish a snapshot saved by an earlier process, unless a newer one is known."""
        if self.snapshot is None:
            _log.warning(
                "using the saved snapshot of %s: the registry does not respond",
                self.key,
                extra={"service": str(self.key)},
            )
            self._publish(msgspec.structs.replace(saved, freshness=Freshness.SAVED))

    def _publish(self, snapshot: Snapshot) -> None:
        with self._notifying:
            with self._changed:
                last, self.snapshot = self.snapshot, snapshot
                listeners = list(self._listeners) if last != snapshot else []
                self._changed.notify_all()
            if listeners:
                change = difference(last, snapshot)
                for listener in listeners:
                    _notify(listener, change)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with the current snapshot, if any, and with each new one."""
        with self._notifying:
            with self._lock:
                self._listeners.append(listener)
                known = self.snapshot
            if known is not None:
                _notify(listener, difference(None, known))

    def leave(self, listener: Listener) -> None:
        """Remove `listener`."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def wait(self, timeout: float, is_over: Callable[[], bool]) -> Snapshot | None:
        """Return the latest snapshot. Wait for the first one at most `timeout` seconds; `is_over` is checked on each
        `wake` and ends the wait.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.snapshot is not None or is_over(), max(timeout, 0.0))
            return self.snapshot

    def wake(self) -> None:
        """Make all waiters check their `is_over`."""
        with self._changed:
            self._changed.notify_all()


def _notify(listener: Listener, change: Change) -> None:
    try:
        listener(change)
    except Exception:  # noqa: BLE001  # a failing listener must not affect the others
        key = change.snapshot.key
        _log.exception("subscription listener of %s failed", key, extra={"service": str(key)})


class Subscription:
    """Subscription of one consumer to a service. Made by `Registry.subscribe`; call `close` when done."""

    def __init__(
        self, feed: Feed, current: Callable[[], object], ended: Callable[[Feed], object], timeout: float = 5.0
    ) -> None:
        self._feed = feed
        self._timeout = timeout
        self._current = current
        self._ended = ended
        self._listeners: list[Listener] = []
        self._is_closed = False

    @property
    def key(self) -> ServiceKey:
        """The service that is watched."""
        return self._feed.key

    @property
    def snapshot(self) -> Snapshot | None:
        """Latest snapshot; `None` before the first one."""
        self._current()
        return self._feed.snapshot

    @property
    def last_error(self) -> RegistryError | None:
        """Why the last request to the registry failed; `None` if it succeeded."""
        return self._feed.last_error

    @property
    def trouble(self) -> RegistryError | None:
        """Deprecated name of `last_error`."""
        warnings.warn("Subscription.trouble is deprecated; use last_error", DeprecationWarning, stacklevel=2)
        return self.last_error

    def wait(self, timeout: float | None = None) -> Snapshot:
        """Return the latest snapshot; wait for the first one.

        Args:
            timeout: seconds; `None` for the registry's default.

        Raises:
            RegistryError: there is no snapshot after `timeout` seconds, or the subscription was closed.
        """
        timeout = self._timeout if timeout is None else timeout
        self._current()
        snapshot = self._feed.wait(timeout, lambda: self._is_closed)
        if snapshot is None:
            raise self.unknown(timeout)
        return snapshot

    def unknown(self, timeout: float) -> RegistryError:
        """Build the error for a missing snapshot after `timeout` seconds."""
        last_error = self._feed.last_error
        why = str(last_error) if last_error is not None else f"the registry did not respond within {timeout:.3g} s"
        if self._is_closed:
            why = "the subscription is closed"
        return (type(last_error) if last_error is not None else RegistryError)(
            f"cannot look up instances of {self.key}: {why}"
        )

    def listen(self, listener: Listener) -> None:
        """Call `listener` with the current snapshot, if any, and with each new one."""
        self._listeners.append(listener)
        self._feed.listen(listener)

    def leave(self, listener: Listener) -> None:
        """Remove `listener`."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        self._feed.leave(listener)

    def close(self) -> None:
        """End the subscription and remove its listeners. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            for listener in self._listeners:
                self._feed.leave(listener)
            self._feed.wake()
            self._ended(self._feed)
