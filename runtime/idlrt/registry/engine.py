"""Background work of a `Registry`: maintains the session, the registrations and the subscriptions.

One task opens the *session*, sends heartbeats and opens a new one when it is lost; one task per *feed* watches a
service and restarts the watch when it breaks. The `Registrar` maintains the registrations.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from idlrt.core import ServiceKey, Snapshot
from idlrt.core.logs import get_logger
from idlrt.errors import RegistryError, RegistryRefused, RegistryUnavailable
from idlrt.registry.backend import Backend, SessionLost
from idlrt.registry.backoff import Backoff
from idlrt.registry.cache import SnapshotCache
from idlrt.registry.registrar import REFUSED_DELAY, REQUEST_TIMEOUT, Entry, Registrar, to_registry_error
from idlrt.registry.subscription import Feed

__all__ = ["Engine", "Entry"]

_log = get_logger("idlrt.registry")

# Seconds to wait for the registry at startup before the saved snapshot is used.
_SAVED_AFTER: Final = 0.5
_SAVE_EVERY: Final = 1.0
# Seconds; after a session that ends sooner, back off before opening the next one.
_SHORT_SESSION: Final = 1.0
# Maximum number of services listed concurrently, so that after a lost session a heartbeat does not queue behind
# thousands of them.
_MAX_CONCURRENT: Final = 64


class Engine:
    """Session and tasks of one `Registry`. Use all but the constructor and `is_open` on the registry's thread only."""

    def __init__(self, backend: Backend, cache: SnapshotCache | None, name: str) -> None:
        self.backend = backend
        self.name = name
        self.last_error: RegistryError | None = None
        self._is_open = asyncio.Event()
        self._is_lost = asyncio.Event()
        self._registrar = Registrar(backend, name, self._is_lost.set)
        # Set when an attempt to open a session has succeeded or failed; waiters replace it.
        self._attempted = asyncio.Event()
        self._cache = cache
        self._unsaved: dict[ServiceKey, Snapshot] = {}
        self._feeds: dict[Feed, asyncio.Task[None]] = {}
        self._watching: dict[Feed, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._list_slots = asyncio.Semaphore(_MAX_CONCURRENT)

    @property
    def is_open(self) -> bool:
        """Whether there is a session. Readable from any thread."""
        return self._is_open.is_set()

    def start(self) -> None:
        """Start the tasks."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep_session())]
        if self._cache is not None:
            self._tasks.append(loop.create_task(self._save(self._cache)))

    async def ready(self, seconds: float) -> None:
        """Wait for a session.

        Raises:
            RegistryError: none was opened within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                while not self._is_open.is_set():
                    if isinstance(self.last_error, RegistryRefused):
                        raise self.last_error
                    if self._attempted.is_set():
                        self._attempted = asyncio.Event()
                    await self._attempted.wait()
        except TimeoutError:
            why = f": {self.last_error}" if self.last_error is not None else "; check that it is running and reachable"
            raise RegistryUnavailable(f"{self.name} did not respond within {seconds:.3g} s{why}") from None

    # The session.

    async def _keep_session(self) -> None:
        backoff, short_session_backoff = Backoff(), Backoff()
        loop = asyncio.get_running_loop()
        while True:
            self._is_lost.clear()
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT):
                    await self.backend.open(self._is_lost.set)
            except RegistryRefused as error:
                self._failed(error)
                await asyncio.sleep(REFUSED_DELAY)
                continue
            except Exception as error:  # noqa: BLE001  # no error may end the task
                self._failed(to_registry_error(error, self.name))
                await asyncio.sleep(backoff.next_delay())
                continue
            backoff.reset()
            if self.last_error is not None:
                _log.info("reconnected to %s", self.name, extra={"registry": self.name})
            self.last_error = None
            self._is_open.set()
            self._attempted.set()
            self._registrar.session_began()
            began = loop.time()
            await self._send_heartbeats()
            self._is_open.clear()
            self._registrar.session_ended()
            _log.warning("lost the session with %s; registering again", self.name, extra={"registry": self.name})
            if loop.time() - began < _SHORT_SESSION:
                await asyncio.sleep(short_session_backoff.next_delay())
            else:
                short_session_backoff.reset()

    async def _send_heartbeats(self) -> None:
        """Send heartbeats until the session ends."""
        backoff = Backoff(max_delay=self.backend.heartbeat)
        delay = self.backend.heartbeat
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._is_lost.wait()
                return
            try:
                registered = self._registrar.registered()
                async with asyncio.timeout(max(self.backend.heartbeat, 1.0)):
                    missing = await self.backend.keep([instance for _, (_, instance) in registered])
                self._registrar.report_missing(registered, missing)
            except SessionLost:
                return
            except Exception as error:  # noqa: BLE001  # no error may end the task
                if self.last_error is None:
                    # The watches may not have noticed: restart them.
                    for task in self._watching.values():
                        task.cancel()
                self._failed(to_registry_error(error, self.name))
                delay = backoff.next_delay()
            else:
                self.last_error = None
                delay = self.backend.heartbeat
                backoff.reset()

    def _failed(self, error: RegistryError) -> None:
        if self.last_error is None or type(self.last_error) is not type(error):
            _log.warning("registry %s unavailable: %s; retrying", self.name, error, extra={"registry": self.name})
        self.last_error = error
        self._attempted.set()
        if not self._is_open.is_set():
            for feed in self._feeds:
                self._publish_saved(feed)
                feed.publish_error(error)

    # Registrations.

    def add(self, entry: Entry) -> None:
        """Register `entry` and keep it registered."""
        self._registrar.add(entry)

    # Subscriptions.

    def follow(self, feed: Feed) -> None:
        """Keep `feed` up to date."""
        self._feeds[feed] = asyncio.get_running_loop().create_task(self._follow(feed))

    def unfollow(self, feed: Feed) -> None:
        """Stop updating `feed`."""
        task = self._feeds.pop(feed, None)
        if task is not None:
            task.cancel()

    async def _follow(self, feed: Feed) -> None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        fallback = loop.call_later(_SAVED_AFTER, self._publish_saved, feed)
        try:
            while True:
                if not self._is_open.is_set():
                    if self.last_error is not None:
                        self._publish_saved(feed)
                        feed.publish_error(self.last_error)
                    await self._is_open.wait()
                watching = self._watching[feed] = loop.create_task(self._watch(feed, backoff))
                try:
                    await watching
                except RegistryRefused as error:
                    feed.publish_error(error)
                    await asyncio.sleep(REFUSED_DELAY)
                    continue
                except Exception as error:  # noqa: BLE001  # no error may end the task
                    feed.publish_error(to_registry_error(error, self.name))
                except asyncio.CancelledError:
                    if not watching.done():
                        raise  # this task was cancelled, not the watch
                    if feed not in self._feeds:
                        raise
                    feed.publish_error(self.last_error or RegistryUnavailable(f"{self.name} did not respond in time"))
                finally:
                    self._watching.pop(feed, None)
                    watching.cancel()
                await asyncio.sleep(backoff.next_delay())
        finally:
            fallback.cancel()

    async def _watch(self, feed: Feed, backoff: Backoff) -> None:
        async with contextlib.AsyncExitStack() as turn:
            await turn.enter_async_context(self._list_slots)
            async for found in self.backend.watch(feed.key):
                await turn.aclose()  # the full list has arrived; only changes follow
                feed.publish(found)
                backoff.reset()

    def _publish_saved(self, feed: Feed) -> None:
        if feed.snapshot is None and self._cache is not None:
            saved = self._cache.load(feed.key)
            if saved is not None:
                feed.publish_saved(saved)

    # Snapshots on disk.

    def save(self, snapshot: Snapshot) -> None:
        """Schedule `snapshot` to be written to disk within a second."""
        self._unsaved[snapshot.key] = snapshot

    async def _save(self, cache: SnapshotCache) -> None:
        try:
            while True:
                await asyncio.sleep(_SAVE_EVERY)
                if self._unsaved:
                    await asyncio.to_thread(_save_all, cache, self._take_unsaved())
        finally:
            _save_all(cache, self._take_unsaved())

    def _take_unsaved(self) -> list[Snapshot]:
        unsaved, self._unsaved = self._unsaved, {}
        return list(unsaved.values())

    # Shutdown.

    async def stop(self, seconds: float) -> None:
        """Deregister all instances, for at most `seconds`, close the backend and end all tasks."""
        # Stop the feeds first, so that their listeners do not see the deregistrations.
        feeds = list(self._feeds.values())
        self._feeds.clear()
        for task in feeds:
            task.cancel()
        await self._registrar.stop(seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *feeds, return_exceptions=True)
        try:
            async with asyncio.timeout(seconds):
                await self.backend.close()
        except Exception as error:  # noqa: BLE001  # the session expires anyway
            _log.info(
                "closed %s without ending the session: %s",
                self.name,
                to_registry_error(error, self.name),
                extra={"registry": self.name},
            )


def _save_all(cache: SnapshotCache, snapshots: list[Snapshot]) -> None:
    for each in snapshots:
        try:
            cache.save(each)
        except Exception:  # noqa: BLE001  # no error may end the task
            _log.exception("cannot save the snapshot of %s", each.key, extra={"service": str(each.key)})
