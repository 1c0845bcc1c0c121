"""The registry as programs see it: servers register, clients subscribe, operators look and change.

Everything goes on on one background thread (`idlrt.registry.engine`). Registering and subscribing return at once and
are kept up for ever: a registry that is down, slow or forgetful is no trouble of those who serve and call. Only
questions wait for an answer, and say so when none comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from idlrt.core import DEFAULT_GROUP, Instance, Patch, ServiceKey, Snapshot, Status
from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError, RegistryError, RegistryRefused, RegistryUnavailable
from idlrt.registry.backend import Backend, Update, make_backend
from idlrt.registry.cache import SnapshotCache, default_folder
from idlrt.registry.engine import Engine
from idlrt.registry.questions import remove_from, snapshot_of, update_since
from idlrt.registry.registrar import Entry
from idlrt.registry.registration import GOODBYE, TIMEOUT, Registration
from idlrt.registry.subscription import Feed, Subscription
from idlrt.registry.thread import LoopThread
from idlrt.registry.url import RegistryUrl

__all__ = ["Registry"]

T = TypeVar("T")

# They are there whenever the program is.
_NOT_KEPT = ("memory", "static")


class Registry:
    """A registry, as one program uses it. Safe for threads, and for programs that fork: in a child subscriptions go on,
    while what the parent registered stays the parent's.

    Use it in a `with`, or call `close` at the end.
    """

    def __init__(
        self,
        make: Callable[[], Backend],
        name: str,
        *,
        cache: SnapshotCache | None = None,
        empty_protection: bool = True,
        timeout: float = TIMEOUT,
    ) -> None:
        self._make = make
        self._timeout = timeout
        self._name = name
        self._cache = cache
        self._empty_protection = empty_protection
        self._lock = threading.RLock()
        self._feeds: dict[ServiceKey, Feed] = {}
        self._thread: LoopThread | None = None
        self._engine: Engine | None = None
        self._beside: dict[object, Callable[[], Coroutine[Any, Any, None]]] = {}
        self._running_beside: dict[object, Future[None]] = {}
        self._is_closed = False
        self._forks = forks.count
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process that used it: its thread and connections are the parent's. New ones are made when
        a subscription is looked at.
        """
        self._lock = threading.RLock()
        self._thread = self._engine = None
        self._running_beside = {}

    @classmethod
    def connect(
        cls,
        url: str | RegistryUrl,
        *,
        cache: bool | str | Path = True,
        empty_protection: bool = True,
        timeout: float = TIMEOUT,
    ) -> Self:
        """The registry at `url`. Returns at once; it is connected to when it is first used.

        Args:
            url: `embedded://127.0.0.1:7400`, `zookeeper://...`, `etcd://...`, `dns://...`, `static://h1:9090,h2:9090`,
                `memory://name`.
            cache: the folder in which the last good snapshots are kept for starts without the registry; `True` for
                `$IDLRT_CACHE_DIR`, or `idlrt` in the user's cache folder.
            empty_protection: keep the last instances when the registry suddenly has none.
            timeout: default of every `timeout` of this registry, of its registrations and subscriptions, in seconds.

        Raises:
            ConfigurationError: the URL is none, or there is no such kind of registry.
        """
        parsed = url if isinstance(url, RegistryUrl) else RegistryUrl.parse(url)
        make_backend(parsed)  # what is wrong with the URL is said now
        name = str(parsed)
        kept = None
        if cache is not False and parsed.scheme not in _NOT_KEPT:
            kept = SnapshotCache(default_folder() if cache is True else Path(cache), name)
        return cls(lambda: make_backend(parsed), name, cache=kept, empty_protection=empty_protection, timeout=timeout)

    def __repr__(self) -> str:
        return f"<Registry {self._name}>"

    def __str__(self) -> str:
        return self._name

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be registered or changed there."""
        return self._make().is_read_only

    @property
    def trouble(self) -> RegistryError | None:
        """Why the registry cannot be used at the moment; `None` if it can, or has not been used yet."""
        engine = self._engine
        return engine.trouble if engine is not None else None

    @property
    def is_connected(self) -> bool:
        """Whether a session with the registry is open."""
        engine = self._engine
        return engine is not None and engine.is_open

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    # Life.

    def _running(self) -> tuple[LoopThread, Engine]:
        with self._lock:
            if self._is_closed:
                raise ConfigurationError(f"the registry {self._name} is closed")
            self._forks = forks.count
            if self._thread is None or self._engine is None:
                thread = LoopThread("idlrt registry")
                engine = thread.run(self._start()).result()
                self._thread, self._engine = thread, engine
                for feed in self._feeds.values():
                    thread.call(engine.follow, feed)
                self._running_beside = {key: thread.run(work()) for key, work in self._beside.items()}
            return self._thread, self._engine

    async def _start(self) -> Engine:
        engine = Engine(self._make(), self._cache, self._name)
        engine.start()
        return engine

    def _current(self) -> None:
        """A subscription is looked at."""
        if self._forks != forks.count and not self._is_closed:
            self._running()

    def close(self, timeout: float = GOODBYE) -> None:
        """Deregister what is registered, as far as that can be done in `timeout` seconds, and end. Allowed twice, and
        by a listener, which does not wait for it.
        """
        with self._lock:
            thread, engine = self._thread, self._engine
            self._thread = self._engine = None
            self._is_closed = True
            beside = list(self._running_beside.values())
        for each in beside:
            each.cancel()
        if thread is None or engine is None:
            return
        if thread.is_current:
            threading.Thread(target=_end, args=(thread, engine, timeout), name="idlrt goodbye", daemon=True).start()
        else:
            _end(thread, engine, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Servers.

    def register(self, instance: Instance) -> Registration:
        """Register `instance` and keep it registered until it is deregistered or the registry closed.

        Returns at once; `Registration.wait` waits for the registry's acknowledgement. Another live instance with the
        same id is not replaced: `wait` and `Registration.error` say so, and it is tried again with each heartbeat.
        """
        thread, engine = self._running()
        if engine.backend.is_read_only:
            raise ConfigurationError(f"nothing can be registered at {self._name}: it can only be read")
        entry = Entry(instance)
        thread.call(engine.add, entry)
        return Registration(entry, thread.call, self._timeout)

    # Clients.

    def subscribe(self, service: str, group: str = DEFAULT_GROUP) -> Subscription:
        """Follow the instances of a service until the subscription is closed. Returns at once."""
        key = ServiceKey(service, group)
        with self._lock:
            thread, engine = self._running()
            feed = self._feeds.get(key)
            if feed is None:
                saved = engine.save if self._cache is not None else None
                feed = self._feeds[key] = Feed(key, keeps_last=self._empty_protection, saved=saved)
                thread.call(engine.follow, feed)
            feed.count += 1
            return Subscription(feed, self._current, self._ended, self._timeout)

    def run_beside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        """Run something on the registry's thread until it is ended by what this returns. It must be quick between two
        waits; after a fork it is begun anew in the child.
        """
        key = object()
        with self._lock:
            thread, _ = self._running()
            self._beside[key] = work
            self._running_beside[key] = thread.run(work())

        def end() -> None:
            with self._lock:
                self._beside.pop(key, None)
                running = self._running_beside.pop(key, None)
            if running is not None:
                running.cancel()

        return end

    def _ended(self, feed: Feed) -> None:
        with self._lock:
            feed.count -= 1
            if feed.count == 0 and self._feeds.get(feed.key) is feed:
                del self._feeds[feed.key]
                if self._thread is not None and self._engine is not None:
                    self._thread.call(self._engine.unfollow, feed)

    # Questions.

    def instances(self, service: str, group: str = DEFAULT_GROUP, *, timeout: float | None = None) -> Snapshot:
        """What the registry has about a service now, as its clients are to see it.

        Args:
            timeout: seconds to wait for the answer; `None` for the registry's default. So for all that follow.

        Raises:
            RegistryError: it cannot be told.
        """
        key = ServiceKey(service, group)
        return snapshot_of(key, self._ask(lambda backend: backend.find(key), timeout))

    def changes(self, service: str, since: int, group: str = DEFAULT_GROUP, *, timeout: float | None = None) -> Update:
        """What has changed in a service since the revision `since`, as far as the registry remembers; else all it
        has.
        """
        key = ServiceKey(service, group)
        return self._ask(lambda backend: update_since(backend, key, since), timeout)

    def groups(self, *, timeout: float | None = None) -> list[str]:
        """The groups that there are, sorted."""
        return sorted(self._ask(lambda backend: backend.groups(), timeout))

    def services(self, group: str = DEFAULT_GROUP, *, timeout: float | None = None) -> list[str]:
        """The services of a group, sorted."""
        return sorted(self._ask(lambda backend: backend.services(group), timeout))

    # Operators.

    def modify(
        self,
        service: str,
        id: str,
        group: str = DEFAULT_GROUP,
        *,
        weight: int | None = None,
        status: Status | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Instance:
        """Say what counts more than what an instance says of itself; what is left out stays as it is.

        Returns:
            The instance as its clients see it from now on.

        Raises:
            RegistryRefused: there is no such instance, or this client may not change it.
        """
        said = Patch(weight=weight, status=status, tags=tags or {})
        return self._change(ServiceKey(service, group), id, lambda patch: patch.merge(said), timeout)

    def reset(self, service: str, id: str, group: str = DEFAULT_GROUP, *, timeout: float | None = None) -> Instance:
        """Take back what `modify` has said about an instance."""
        return self._change(ServiceKey(service, group), id, lambda _: Patch(), timeout)

    def _change(self, key: ServiceKey, id: str, change: Callable[[Patch], Patch], timeout: float | None) -> Instance:
        async def ask(backend: Backend) -> Instance:
            found = await backend.find(key)
            instance = next((each for each in found.instances if each.id == id), None)
            if instance is None:
                known = ", ".join(sorted(each.id for each in found.instances)[:10]) or "none"
                raise RegistryRefused(f"there is no instance {id!r} of {key} at {self._name}; there are: {known}")
            patch = change(found.patches.get(id, Patch()))
            await backend.patch(key, id, patch or None)
            return patch.apply(instance)

        return self._ask(ask, timeout)

    def configure(
        self,
        service: str,
        settings: Mapping[str, str | None],
        group: str = DEFAULT_GROUP,
        *,
        timeout: float | None = None,
    ) -> Mapping[str, str]:
        """Change settings of a service: those that are named, `None` to take one away.

        Returns:
            All settings of the service from now on.
        """
        key = ServiceKey(service, group)

        async def ask(backend: Backend) -> Mapping[str, str]:
            found = await backend.find(key)
            merged = {**found.settings, **settings}
            kept = {name: value for name, value in merged.items() if value is not None}
            await backend.configure(key, kept)
            return kept

        return self._ask(ask, timeout)

    def remove(
        self, service: str, group: str = DEFAULT_GROUP, *, id: str | None = None, timeout: float | None = None
    ) -> None:
        """Remove a service that has no instances: its settings, its patches and its name.

        Args:
            id: remove only the patch of this instance, which is not there any more.

        Raises:
            RegistryRefused: the service has instances, or the instance is there; there is nothing to remove; or this
                client may not.
        """
        key = ServiceKey(service, group)
        self._ask(lambda backend: remove_from(backend, key, id, self._name), timeout)

    def _ask(self, ask: Callable[[Backend], Coroutine[Any, Any, T]], seconds: float | None) -> T:
        timeout = self._timeout if seconds is None else seconds
        thread, engine = self._running()
        if thread.is_current:
            raise ConfigurationError("a listener must not ask the registry: it would wait for itself")

        async def work() -> T:
            await engine.ready(timeout)
            return await ask(engine.backend)

        future: Future[T] = thread.run(work())
        try:
            return future.result(timeout)
        except CancelledError:
            raise RegistryUnavailable(f"{self._name} was closed before it answered") from None
        except TimeoutError:
            if future.done() and isinstance(future.exception(), RegistryError):
                raise
            future.cancel()
            why = f": {engine.trouble}" if engine.trouble is not None else ""
            raise RegistryUnavailable(f"{self._name} has not answered within {timeout:.3g} s{why}") from None


def _end(thread: LoopThread, engine: Engine, timeout: float) -> None:
    thread.run(engine.stop(timeout)).result()
    thread.stop()
