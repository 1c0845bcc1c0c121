"""What a consumer has of a registry: the newest snapshot of a service, without ever waiting for the registry.

A `Feed` is what a registry's thread keeps up to date; a `Subscription` is one consumer's hold on it. Snapshots are
immutable and replaced by one assignment, so reading one takes no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from idlrt.core import Change, Freshness, ServiceKey, Snapshot, difference
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.errors import RegistryError

if TYPE_CHECKING:
    from idlrt.registry.backend import Found

__all__ = ["Feed", "Listener", "Subscription"]

_log = get_logger("idlrt.registry")

Listener = Callable[[Change], object]
"""Is told of each new snapshot, on the registry's thread; of what is known already by `listen` itself. It must be
quick, and must not ask the registry.
"""


class Feed:
    """The snapshots of a service. Written by the registry's thread only.

    Args:
        keeps_last: whether the last instances are kept when the registry says that there are none any more.
        saved: is given each new snapshot that came from the registry, to be kept on disk.

    Attributes:
        snapshot: the newest one; `None` as long as nothing is known.
        trouble: why the registry could not be asked the last time; `None` if it could.
    """

    def __init__(self, key: ServiceKey, *, keeps_last: bool, saved: Callable[[Snapshot], object] | None) -> None:
        self.key = key
        self.snapshot: Snapshot | None = None
        self.trouble: RegistryError | None = None
        self.count = 0
        self._keeps_last = keeps_last
        self._saved = saved
        self._listeners: list[Listener] = []
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process that made it: nobody holds its locks."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # Held while listeners are told, so that nobody hears of an older snapshot after a newer one.
        self._telling = threading.RLock()

    def found(self, found: Found) -> None:
        """The registry has told what there is."""
        self.trouble = None
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
        if not instances and last is not None and last.instances and self._keeps_last:
            if last.freshness is not Freshness.PROTECTED:
                _log.warning(
                    "the registry has no instance of %s any more; keeping the last %d", self.key, len(last.instances)
                )
            instances, freshness = last.instances, Freshness.PROTECTED
        snapshot = Snapshot(
            key=self.key, instances=instances, settings=found.settings, revision=found.revision, freshness=freshness
        )
        if self._saved is not None and freshness is Freshness.LIVE and (last is None or last != snapshot):
            self._saved(snapshot)
        self._publish(snapshot)

    def failed(self, error: RegistryError) -> None:
        """The registry cannot be asked: what is known may be out of date."""
        self.trouble = error
        if self.snapshot is not None and self.snapshot.freshness is Freshness.LIVE:
            self._publish(msgspec.structs.replace(self.snapshot, freshness=Freshness.STALE))
        with self._changed:
            self._changed.notify_all()

    def remember(self, saved: Snapshot) -> None:
        """Use what an earlier process has kept, unless something better is known."""
        if self.snapshot is None:
            _log.warning("using the saved instances of %s: the registry does not answer", self.key)
            self._publish(msgspec.structs.replace(saved, freshness=Freshness.SAVED))

    def _publish(self, snapshot: Snapshot) -> None:
        with self._telling:
            with self._changed:
                last, self.snapshot = self.snapshot, snapshot
                listeners = list(self._listeners) if last != snapshot else []
                self._changed.notify_all()
            if listeners:
                change = difference(last, snapshot)
                for listener in listeners:
                    _tell(listener, change)

    def listen(self, listener: Listener) -> None:
        """Tell `listener` from now on, and of what is known already."""
        with self._telling:
            with self._lock:
                self._listeners.append(listener)
                known = self.snapshot
            if known is not None:
                _tell(listener, difference(None, known))

    def leave(self, listener: Listener) -> None:
        """Tell it no more."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def wait(self, timeout: float, is_over: Callable[[], bool]) -> Snapshot | None:
        """The newest snapshot, the first one being waited for at most `timeout` seconds, or until `is_over` when
        `wake` is called.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.snapshot is not None or is_over(), max(timeout, 0.0))
            return self.snapshot

    def wake(self) -> None:
        """Let those who wait look whether it is over."""
        with self._changed:
            self._changed.notify_all()


def _tell(listener: Listener, change: Change) -> None:
    try:
        listener(change)
    except Exception:  # noqa: BLE001  # one consumer's trouble is not another's
        _log.exception("a listener of %s failed", change.snapshot.key)


class Subscription:
    """One consumer's hold on the snapshots of a service. Made by `Registry.subscribe`; close it at the end."""

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
        """The service."""
        return self._feed.key

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot; `None` as long as nothing is known."""
        self._current()
        return self._feed.snapshot

    @property
    def trouble(self) -> RegistryError | None:
        """Why the registry could not be asked the last time; `None` if it could."""
        return self._feed.trouble

    def wait(self, timeout: float | None = None) -> Snapshot:
        """The newest snapshot, the first one being waited for.

        Args:
            timeout: in seconds; `None` for the registry's default.

        Raises:
            RegistryError: nothing is known after `timeout` seconds, or when it is closed.
        """
        timeout = self._timeout if timeout is None else timeout
        self._current()
        snapshot = self._feed.wait(timeout, lambda: self._is_closed)
        if snapshot is None:
            raise self.unknown(timeout)
        return snapshot

    def unknown(self, timeout: float) -> RegistryError:
        """Why nothing is known after `timeout` seconds."""
        trouble = self._feed.trouble
        why = str(trouble) if trouble is not None else f"the registry has not answered within {timeout:.3g} s"
        if self._is_closed:
            why = "the subscription was closed"
        return (type(trouble) if trouble is not None else RegistryError)(
            f"cannot tell the instances of {self.key}: {why}"
        )

    def listen(self, listener: Listener) -> None:
        """Have `listener` told of each new snapshot, and of the one that is known already."""
        self._listeners.append(listener)
        self._feed.listen(listener)

    def leave(self, listener: Listener) -> None:
        """Have it told no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        self._feed.leave(listener)

    def close(self) -> None:
        """Let go. Allowed twice."""
        if not self._is_closed:
            self._is_closed = True
            for listener in self._listeners:
                self._feed.leave(listener)
            self._feed.wake()
            self._ended(self._feed)
