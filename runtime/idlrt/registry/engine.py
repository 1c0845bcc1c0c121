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
from idlrt.registry.cache import SnapshotCache
from idlrt.registry.pauses import Pauses
from idlrt.registry.registrar import PATIENCE, REFUSED_PAUSE, Entry, Registrar, named
from idlrt.registry.subscription import Feed

__all__ = ["Engine", "Entry"]

_log = get_logger("idlrt.registry")

# Seconds to wait for the registry at startup before the saved snapshot is used.
_SAVED_AFTER: Final = 0.5
_SAVE_EVERY: Final = 1.0
# Seconds; after a session that ends sooner, back off before opening the next one.
_SHORT: Final = 1.0
# Maximum number of services listed concurrently, so that after a lost session a heartbeat does not queue behind
# thousands of them.
_AT_ONCE: Final = 64


class Engine:
    """Session and tasks of one `Registry`. Use all but the constructor and `is_open` on the registry's thread only."""

    def __init__(self, backend: Backend, cache: SnapshotCache | None, name: str) -> None:
        self.backend = backend
        self.name = name
        self.trouble: RegistryError | None = None
        self._is_open = asyncio.Event()
        self._is_lost = asyncio.Event()
        self._registrar = Registrar(backend, name, self._is_lost.set)
        # Set when an attempt to open a session has succeeded or failed; waiters replace it.
        self._news = asyncio.Event()
        self._cache = cache
        self._unsaved: dict[ServiceKey, Snapshot] = {}
        self._feeds: dict[Feed, asyncio.Task[None]] = {}
        self._watching: dict[Feed, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._listing = asyncio.Semaphore(_AT_ONCE)

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
                    if isinstance(self.trouble, RegistryRefused):
                        raise self.trouble
                    if self._news.is_set():
                        self._news = asyncio.Event()
                    await self._news.wait()
        except TimeoutError:
            why = f": {self.trouble}" if self.trouble is not None else "; check that it is running and reachable"
            raise RegistryUnavailable(f"{self.name} did not respond within {seconds:.3g} s{why}") from None

    # The session.

    async def _keep_session(self) -> None:
        pauses, after_short_ones = Pauses(), Pauses()
        loop = asyncio.get_running_loop()
        while True:
            self._is_lost.clear()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.backend.open(self._is_lost.set)
            except RegistryRefused as error:
                self._failed(error)
                await asyncio.sleep(REFUSED_PAUSE)
                continue
            except Exception as error:  # noqa: BLE001  # no error may end the task
                self._failed(named(error, self.name))
                await asyncio.sleep(pauses.next())
                continue
            pauses.reset()
            if self.trouble is not None:
                _log.info("reconnected to %s", self.name, extra={"registry": self.name})
            self.trouble = None
            self._is_open.set()
            self._news.set()
            self._registrar.session_began()
            began = loop.time()
            await self._beat()
            self._is_open.clear()
            self._registrar.session_ended()
            _log.warning("lost the session with %s; registering again", self.name, extra={"registry": self.name})
            if loop.time() - began < _SHORT:
                await asyncio.sleep(after_short_ones.next())
            else:
                after_short_ones.reset()

    async def _beat(self) -> None:
        """Send heartbeats until the session ends."""
        pauses = Pauses(longest=self.backend.heartbeat)
        pause = self.backend.heartbeat
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._is_lost.wait()
                return
            try:
                registered = self._registrar.registered()
                async with asyncio.timeout(max(self.backend.heartbeat, 1.0)):
                    missing = await self.backend.keep([instance for _, (_, instance) in registered])
                self._registrar.missed(registered, missing)
            except SessionLost:
                return
            except Exception as error:  # noqa: BLE001  # no error may end the task
                if self.trouble is None:
                    # The watches may not have noticed: restart them.
                    for task in self._watching.values():
                        task.cancel()
                self._failed(named(error, self.name))
                pause = pauses.next()
            else:
                self.trouble = None
                pause = self.backend.heartbeat
                pauses.reset()

    def _failed(self, error: RegistryError) -> None:
        if self.trouble is None or type(self.trouble) is not type(error):
            _log.warning("registry %s unavailable: %s; retrying", self.name, error, extra={"registry": self.name})
        self.trouble = error
        self._news.set()
        if not self._is_open.is_set():
            for feed in self._feeds:
                self._use_saved(feed)
                feed.failed(error)

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
        pauses = Pauses()
        loop = asyncio.get_running_loop()
        rescue = loop.call_later(_SAVED_AFTER, self._use_saved, feed)
        try:
            while True:
                if not self._is_open.is_set():
                    if self.trouble is not None:
                        self._use_saved(feed)
                        feed.failed(self.trouble)
                    await self._is_open.wait()
                watching = self._watching[feed] = loop.create_task(self._watch(feed, pauses))
                try:
                    await watching
                except RegistryRefused as error:
                    feed.failed(error)
                    await asyncio.sleep(REFUSED_PAUSE)
                    continue
                except Exception as error:  # noqa: BLE001  # no error may end the task
                    feed.failed(named(error, self.name))
                except asyncio.CancelledError:
                    if not watching.done():
                        raise  # this task was cancelled, not the watch
                    if feed not in self._feeds:
                        raise
                    feed.failed(self.trouble or RegistryUnavailable(f"{self.name} did not respond in time"))
                finally:
                    self._watching.pop(feed, None)
                    watching.cancel()
                await asyncio.sleep(pauses.next())
        finally:
            rescue.cancel()

    async def _watch(self, feed: Feed, pauses: Pauses) -> None:
        async with contextlib.AsyncExitStack() as turn:
            await turn.enter_async_context(self._listing)
            async for found in self.backend.watch(feed.key):
                await turn.aclose()  # the full list has arrived; only changes follow
                feed.found(found)
                pauses.reset()

    def _use_saved(self, feed: Feed) -> None:
        if feed.snapshot is None and self._cache is not None:
            saved = self._cache.load(feed.key)
            if saved is not None:
                feed.remember(saved)

    # Snapshots on disk.

    def save(self, snapshot: Snapshot) -> None:
        """Schedule `snapshot` to be written to disk within a second."""
        self._unsaved[snapshot.key] = snapshot

    async def _save(self, cache: SnapshotCache) -> None:
        try:
            while True:
                await asyncio.sleep(_SAVE_EVERY)
                if self._unsaved:
                    await asyncio.to_thread(_save_all, cache, self._to_be_saved())
        finally:
            _save_all(cache, self._to_be_saved())

    def _to_be_saved(self) -> list[Snapshot]:
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
                named(error, self.name),
                extra={"registry": self.name},
            )


def _save_all(cache: SnapshotCache, snapshots: list[Snapshot]) -> None:
    for each in snapshots:
        try:
            cache.save(each)
        except Exception:  # noqa: BLE001  # no error may end the task
            _log.exception("cannot save the snapshot of %s", each.key, extra={"service": str(each.key)})
