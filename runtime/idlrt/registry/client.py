"""Registry client: servers register instances, clients subscribe to services, operators inspect and change both.

All I/O runs on one background thread (`idlrt.registry.engine`). `register` and `subscribe` return at once and are
maintained in the background, with retries without limit, so an unavailable or slow registry, or one that has lost its
data, never blocks serving or calling. Only queries wait for a response and raise if none arrives.
"""

from __future__ import annotations

import threading
import warnings
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
from idlrt.registry.queries import remove_from, snapshot_of, update_since
from idlrt.registry.registrar import Entry
from idlrt.registry.registration import CLOSE_TIMEOUT, TIMEOUT, Registration
from idlrt.registry.subscription import Feed, Subscription
from idlrt.registry.thread import LoopThread
from idlrt.registry.url import RegistryUrl

__all__ = ["Registry"]

T = TypeVar("T")

# These registries are in the process or in the URL, so they are always available.
_NOT_CACHED = ("memory", "static")


class Registry:
    """Client of a registry. Thread-safe and fork-safe: in a child process subscriptions continue, while registrations
    stay with the parent.

    Use it in a `with` statement, or call `close`.
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
        self._background_tasks: dict[object, Callable[[], Coroutine[Any, Any, None]]] = {}
        self._running_tasks: dict[object, Future[None]] = {}
        self._is_closed = False
        self._forks = forks.count
        forks.register(self)

    def after_fork(self) -> None:
        """Reset after a fork: the thread and the connections belong to the parent. The child creates new ones when a
        subscription is read.
        """
        self._lock = threading.RLock()
        self._thread = self._engine = None
        self._running_tasks = {}

    @classmethod
    def connect(
        cls,
        url: str | RegistryUrl,
        *,
        cache: bool | str | Path = True,
        empty_protection: bool = True,
        timeout: float = TIMEOUT,
    ) -> Self:
        """Return the registry at `url`, without connecting: the first use connects.

        Args:
            url: `embedded://127.0.0.1:7400`, `zookeeper://...`, `etcd://...`, `dns://...`, `static://h1:9090,h2:9090`,
                `memory://name`.
            cache: folder of the snapshot cache, for starts while the registry is down; `True` for `$IDLRT_CACHE_DIR`,
                or `idlrt` in the user's cache folder; `False` disables it.
            empty_protection: keep the last known instances when the registry reports none.
            timeout: default of all `timeout` arguments of this registry, its registrations and its subscriptions, in
                seconds.

        Raises:
            ConfigurationError: the URL is invalid, or its scheme is unknown.
        """
        parsed = url if isinstance(url, RegistryUrl) else RegistryUrl.parse(url)
        make_backend(parsed)  # validates the URL now instead of on first use
        name = str(parsed)
        cached = None
        if cache is not False and parsed.scheme not in _NOT_CACHED:
            cached = SnapshotCache(default_folder() if cache is True else Path(cache), name)
        return cls(lambda: make_backend(parsed), name, cache=cached, empty_protection=empty_protection, timeout=timeout)

    def __repr__(self) -> str:
        return f"<Registry {self._name}>"

    def __str__(self) -> str:
        return self._name

    @property
    def is_read_only(self) -> bool:
        """Whether the registry can only be read."""
        return self._make().is_read_only

    @property
    def last_error(self) -> RegistryError | None:
        """Last error, if the registry is currently unavailable; `None` if it is available or was not used yet."""
        engine = self._engine
        return engine.last_error if engine is not None else None

    @property
    def trouble(self) -> RegistryError | None:
        """Deprecated name of `last_error`."""
        warnings.warn("Registry.trouble is deprecated; use last_error", DeprecationWarning, stacklevel=2)
        return self.last_error

    @property
    def is_connected(self) -> bool:
        """Whether a session with the registry is open."""
        engine = self._engine
        return engine is not None and engine.is_open

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    # Lifecycle.

    def _running(self) -> tuple[LoopThread, Engine]:
        with self._lock:
            if self._is_closed:
                raise ConfigurationError(f"cannot use {self._name}: the registry is closed")
            self._forks = forks.count
            if self._thread is None or self._engine is None:
                thread = LoopThread("idlrt registry")
                engine = thread.run(self._start()).result()
                self._thread, self._engine = thread, engine
                for feed in self._feeds.values():
                    thread.call(engine.follow, feed)
                self._running_tasks = {key: thread.run(work()) for key, work in self._background_tasks.items()}
            return self._thread, self._engine

    async def _start(self) -> Engine:
        engine = Engine(self._make(), self._cache, self._name)
        engine.start()
        return engine

    def _current(self) -> None:
        """Start the thread again if this is a forked child. Called when a subscription is read."""
        if self._forks != forks.count and not self._is_closed:
            self._running()

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Deregister all instances, for at most `timeout` seconds, and stop the thread. Idempotent. A listener may call
        it; the call then returns without waiting.
        """
        with self._lock:
            thread, engine = self._thread, self._engine
            self._thread = self._engine = None
            self._is_closed = True
            running = list(self._running_tasks.values())
        for each in running:
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

    # For servers.

    def register(self, instance: Instance) -> Registration:
        """Register `instance` and keep it registered until it is deregistered or the registry is closed.

        Returns at once; `Registration.wait` waits for the acknowledgement. A different live instance with the same id
        is not replaced: `wait` and `Registration.error` report the conflict, and each heartbeat retries.
        """
        thread, engine = self._running()
        if engine.backend.is_read_only:
            raise ConfigurationError(
                f"cannot register {instance.id} of {instance.key} at {self._name}: the registry is read-only"
            )
        entry = Entry(instance)
        thread.call(engine.add, entry)
        return Registration(entry, thread.call, self._timeout)

    # For clients.

    def subscribe(self, service: str, group: str = DEFAULT_GROUP) -> Subscription:
        """Watch the instances of a service until the subscription is closed. Returns at once."""
        key = ServiceKey(service, group)
        with self._lock:
            thread, engine = self._running()
            feed = self._feeds.get(key)
            if feed is None:
                saved = engine.save if self._cache is not None else None
                feed = self._feeds[key] = Feed(key, empty_protection=self._empty_protection, saved=saved)
                thread.call(engine.follow, feed)
            feed.count += 1
            return Subscription(feed, self._current, self._ended, self._timeout)

    def run_in_background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        """Run a background task on the registry's thread and return a function that cancels it. The task must not block
        between two awaits. After a fork it is started again in the child.
        """
        key = object()
        with self._lock:
            thread, _ = self._running()
            self._background_tasks[key] = work
            self._running_tasks[key] = thread.run(work())

        def end() -> None:
            with self._lock:
                self._background_tasks.pop(key, None)
                running = self._running_tasks.pop(key, None)
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

    # Queries.

    def instances(self, service: str, group: str = DEFAULT_GROUP, *, timeout: float | None = None) -> Snapshot:
        """Read the current instances of a service, with patches applied.

        Args:
            timeout: seconds to wait for the response; `None` for the registry's default. Likewise in the methods below.

        Raises:
            RegistryError: the query failed.
        """
        key = ServiceKey(service, group)
        return snapshot_of(key, self._ask(lambda backend: backend.find(key), timeout))

    def changes(self, service: str, since: int, group: str = DEFAULT_GROUP, *, timeout: float | None = None) -> Update:
        """Return the changes of a service since the revision `since`, or all instances if the registry's history does
        not reach back to it.
        """
        key = ServiceKey(service, group)
        return self._ask(lambda backend: update_since(backend, key, since), timeout)

    def groups(self, *, timeout: float | None = None) -> list[str]:
        """List the groups, sorted."""
        return sorted(self._ask(lambda backend: backend.groups(), timeout))

    def services(self, group: str = DEFAULT_GROUP, *, timeout: float | None = None) -> list[str]:
        """List the services of a group, sorted."""
        return sorted(self._ask(lambda backend: backend.services(group), timeout))

    # For operators.

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
        """Override attributes of an instance; those left out stay unchanged.

        Returns:
            The instance as clients now see it.

        Raises:
            RegistryRefused: there is no such instance, or this client is not permitted to change it.
        """
        override = Patch(weight=weight, status=status, tags=tags or {})
        return self._change(ServiceKey(service, group), id, lambda patch: patch.merge(override), timeout)

    def reset(self, service: str, id: str, group: str = DEFAULT_GROUP, *, timeout: float | None = None) -> Instance:
        """Remove all overrides set by `modify`."""
        return self._change(ServiceKey(service, group), id, lambda _: Patch(), timeout)

    def _change(self, key: ServiceKey, id: str, change: Callable[[Patch], Patch], timeout: float | None) -> Instance:
        async def ask(backend: Backend) -> Instance:
            found = await backend.find(key)
            instance = next((each for each in found.instances if each.id == id), None)
            if instance is None:
                known = ", ".join(sorted(each.id for each in found.instances)[:10]) or "none"
                raise RegistryRefused(f"there is no instance {id!r} of {key} at {self._name}; known instances: {known}")
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
        """Change settings of a service: only those given; `None` deletes one.

        Returns:
            All settings of the service after the change.
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
            id: remove only the patch of this instance, which must not be registered any more.

        Raises:
            RegistryRefused: the service has instances or the instance is registered; there is nothing to remove; or
                this client is not permitted to remove it.
        """
        key = ServiceKey(service, group)
        self._ask(lambda backend: remove_from(backend, key, id, self._name), timeout)

    def _ask(self, ask: Callable[[Backend], Coroutine[Any, Any, T]], seconds: float | None) -> T:
        timeout = self._timeout if seconds is None else seconds
        thread, engine = self._running()
        if thread.is_current:
            raise ConfigurationError(f"cannot query {self._name} from a listener: the registry's thread would deadlock")

        async def work() -> T:
            await engine.ready(timeout)
            return await ask(engine.backend)

        future: Future[T] = thread.run(work())
        try:
            return future.result(timeout)
        except CancelledError:
            raise RegistryUnavailable(f"{self._name} was closed before it responded") from None
        except TimeoutError:
            if future.done() and isinstance(future.exception(), RegistryError):
                raise
            future.cancel()
            why = f": {engine.last_error}" if engine.last_error is not None else ""
            raise RegistryUnavailable(f"{self._name} did not respond within {timeout:.3g} s{why}") from None


def _end(thread: LoopThread, engine: Engine, timeout: float) -> None:
    thread.run(engine.stop(timeout)).result()
    thread.stop()
