"""Server of the embedded registry: implements the service of `registry.idl` on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from idlrt.core import ServiceKey
from idlrt.core.logs import get_logger
from idlrt.embedded.access import Access
from idlrt.embedded.api import Changes, Correction, InstanceName, NoSession, Part, Record, Refused, Session, registry
from idlrt.embedded.limits import Limits
from idlrt.embedded.permissions import warn_if_exposed
from idlrt.embedded.state import Operation, State
from idlrt.embedded.storage import Storage, new_state
from idlrt.embedded.values import instance_of, patch_of
from idlrt.errors import ApplicationError, ConfigurationError, RegistryRefused
from idlrt.printable import plural
from idlrt.registry.thread import LoopThread
from idlrt.server import AsyncServer

if TYPE_CHECKING:
    from idlrt import Tls

__all__ = ["DEFAULT_PORT", "RegistryServer"]

T = TypeVar("T")

_log = get_logger("idlrt.registry")

DEFAULT_PORT: Final = 7400

_MAX_WAIT: Final = 60.0
_TICK: Final = 0.25
_CLEAN_UP_EVERY: Final = 30.0


class _Handler:
    """Handler of the service in `registry.idl`."""

    def __init__(self, state: State, storage: Storage) -> None:
        self._state = state
        self._storage = storage
        self._waiters: set[Callable[[], object]] = set()
        self._is_stopping = False
        # Reason for refusing changes; empty if changes are allowed.
        self._read_only_reason = f"it serves data recovered from {storage.path}" if storage.is_read_only else ""

    def stop(self) -> None:
        """Complete all long polls."""
        self._is_stopping = True
        for notify in list(self._waiters):
            notify()

    async def begin(self, client: str, timeout_ms: int) -> Session:
        lease = self._state.begin(client, timeout_ms / 1000)
        try:
            await self._stored(self._storage.keep_session(lease))
        except ApplicationError:
            self._state.forget(lease)
            raise
        return Session(id=lease.id, timeout_ms=int(lease.timeout * 1000))

    async def keep(self, session: int) -> None:
        self._state.keep(session)

    async def renew(self, session: int, instances: list[InstanceName]) -> list[InstanceName]:
        names = _check(lambda: [(ServiceKey(each.service, each.group), each.id) for each in instances])
        missing = self._state.missing(session, names)
        return [InstanceName(group=key.group, service=key.service, id=id) for key, id in missing]

    async def end(self, session: int) -> None:
        lease = self._state.leases.get(session)
        if lease is not None and not (self._read_only_reason and lease.owned):
            await self._end(session)

    async def register(self, session: int, record: Record) -> int:
        return await self._register(session, record, reclaims=False)

    async def reclaim(self, session: int, record: Record) -> int:
        return await self._register(session, record, reclaims=True)

    async def _register(self, session: int, record: Record, *, reclaims: bool) -> int:
        self._check_writable()
        if _check(lambda: instance_of(record)).id != record.id:
            raise Refused(message=f"cannot register an instance of {record.service}: the id must not be empty")
        operation = self._state.prepare_record(session, record, reclaims=reclaims)
        await self._change(operation)
        if session not in self._state.leases:
            # The session ended during the write, without knowing of this record.
            await self._change(self._state.removal(operation.key, record.id, session))
            raise NoSession
        return operation.revision

    async def deregister(self, session: int, group: str, service: str, id: str) -> None:
        operation = self._state.prepare_removal(session, group, service, id)
        if operation is not None:
            await self._change(operation)

    async def changes(self, group: str, service: str, epoch: int, since: int, wait_ms: int) -> Changes:
        key = _check(lambda: ServiceKey(service, group))
        if wait_ms > 0 and not self._state.has_changed(key, epoch, since):
            await self._wait_for_change(key, min(wait_ms / 1000, _MAX_WAIT))
        return self._state.changes(key, epoch, since)

    async def part(self, group: str, service: str, epoch: int, since: int, wait_ms: int, cursor: str) -> Part:
        key = _check(lambda: ServiceKey(service, group))
        if wait_ms > 0 and not cursor and not self._state.has_changed(key, epoch, since):
            await self._wait_for_change(key, min(wait_ms / 1000, _MAX_WAIT))
        return self._state.part(key, epoch, since, cursor)

    async def _wait_for_change(self, key: ServiceKey, seconds: float) -> None:
        """Wait until a service changes, at most `seconds`."""
        loop = asyncio.get_running_loop()
        changed: asyncio.Future[None] = loop.create_future()

        def notify() -> None:
            if not changed.done():
                changed.set_result(None)

        forget = self._state.wait(key, notify)
        timer = loop.call_later(seconds, notify)
        if self._is_stopping:
            notify()
        self._waiters.add(notify)
        try:
            await changed
        finally:
            timer.cancel()
            forget()
            self._waiters.discard(notify)

    async def groups(self) -> list[str]:
        return self._state.groups()

    async def services(self, group: str) -> list[str]:
        return self._state.services(group)

    async def groups_after(self, name: str) -> list[str]:
        return self._state.page(self._state.groups(), name)

    async def services_after(self, group: str, name: str) -> list[str]:
        return self._state.page(self._state.services(group), name)

    async def correct(self, group: str, service: str, id: str, correction: Correction) -> None:
        _check(lambda: patch_of(correction))
        await self._change(self._state.prepare_correction(group, service, id, correction))

    async def configure(self, group: str, service: str, settings: dict[str, str]) -> None:
        await self._change(self._state.prepare_settings(group, service, settings))

    async def remove(self, group: str, service: str) -> None:
        await self._change(*self._state.prepare_service_removal(group, service))

    async def _change(self, *operations: Operation) -> None:
        """Store and apply changes, all or none, and notify watchers."""
        self._check_writable()
        made = list(operations)
        if made:
            await self._stored(self._storage.keep(made, lambda: self._apply(made), lambda: self._roll_back(made)))

    def _check_writable(self) -> None:
        if self._read_only_reason:
            raise Refused(message=f"the registry is read-only: {self._read_only_reason}")

    def _roll_back(self, operations: list[Operation]) -> None:
        for operation in operations:
            self._state.roll_back(operation)

    async def _end(self, session: int) -> None:
        lease = self._state.leases.get(session)
        if lease is None:
            return
        operations = self._state.end(session)
        try:
            await self._stored(self._storage.drop_session(session, operations, lambda: self._apply(operations)))
        except ApplicationError:
            self._state.restore_session(lease)
            raise

    def _apply(self, operations: list[Operation]) -> None:
        for operation in operations:
            for notify in self._state.apply(operation):
                notify()

    async def _stored(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except sqlite3.Error as error:
            raise ApplicationError(f"cannot write to the registry's file: {error}") from None

    async def expire(self) -> None:
        """End expired sessions and clean up, until cancelled."""
        loop = asyncio.get_running_loop()
        limits = self._state.limits
        pause = min(_CLEAN_UP_EVERY, limits.unused_service, limits.unused_patch)
        clean_up_at = loop.time() + pause
        while True:
            began = loop.time()
            if began >= clean_up_at and not self._read_only_reason:
                clean_up_at = began + pause
                with contextlib.suppress(ApplicationError):  # tried again; it has been logged
                    await self._change(*self._state.clean_up(time.time()))
            await asyncio.sleep(_TICK)
            for session in self._state.expire(late=loop.time() - began - _TICK):
                lease = self._state.leases[session]
                if self._read_only_reason and lease.owned:
                    continue  # the file cannot be changed, so the instances stay
                _log.info(
                    "ending the session of %s: no heartbeat within %.3g s; removing %s",
                    lease.client,
                    lease.timeout,
                    plural(len(lease.owned), "instance"),
                    extra={"client": lease.client, "instances": len(lease.owned)},
                )
                with contextlib.suppress(ApplicationError):  # tried again; it has been logged
                    await self._end(session)


def _check(make: Callable[[], T]) -> T:
    """Return the result of `make`. Raises `Refused` instead of errors of invalid values."""
    try:
        return make()
    except (ConfigurationError, RegistryRefused) as error:
        raise Refused(message=str(error)) from None


class RegistryServer:
    """Embedded registry within a program. Use it in a `with` statement, or call `start` and `stop`.

    Args:
        address: address to listen on; see `Server`. Without an access list do not listen on shared networks.
        data: database file; `None` to lose everything on a restart.
        access: access list.
        limits: resource limits.
        tls: TLS settings, as for `Server`.
        recover: whether to serve the readable data of a file that is damaged or not writable, read-only. Unreadable
            data is logged. The file stays unchanged.
        connect_database: opens the file, with the arguments of `sqlite3.connect`; for other builds of SQLite, such as
            those with encryption.

    Raises:
        ConfigurationError: an argument is invalid.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:0",
        *,
        data: str | Path | None = None,
        access: Access | None = None,
        limits: Limits | None = None,
        tls: Tls | None = None,
        recover: bool = False,
        connect_database: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self._address = address
        self._data = Path(data) if data is not None else None
        self._access = access if access is not None else Access()
        self._filter = self._access.filter()
        self._limits = limits if limits is not None else Limits()
        self._tls = tls
        self._recover = recover
        self._connect_database = connect_database
        self._thread: LoopThread | None = None
        self._server: AsyncServer | None = None
        self._handler: _Handler | None = None
        self._storage: Storage | None = None
        self._state: State | None = None
        self._expiring: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Address that the registry listens on. Available after `start`."""
        if self._server is None:
            raise ConfigurationError(
                "the registry server has no address yet; call start() or use it in a with statement"
            )
        return self._server.address

    @property
    def url(self) -> str:
        """The registry's URL, for `Registry.connect` and `Server(registry=...)`."""
        return "embedded://" + self.address.removeprefix("tcp://")

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return self._server.connections if self._server is not None else 0

    @property
    def in_flight(self) -> int:
        """Number of calls in flight, including the long polls of subscribers."""
        return self._server.in_flight if self._server is not None else 0

    @property
    def sessions(self) -> int:
        """Number of open sessions."""
        return len(self._state.leases) if self._state is not None else 0

    @property
    def instances(self) -> int:
        """Number of registered instances."""
        return self._state.instances if self._state is not None else 0

    async def open(self) -> None:
        """Serve on this event loop.

        Raises:
            ConfigurationError: the address is not available, or the file is damaged or unusable.
        """
        storage = Storage(self._data, self._connect_database, recover=self._recover)
        try:
            state = new_state(storage, self._limits, time.monotonic)
            self._handler = _Handler(state, storage)
            server = AsyncServer(
                registry(self._handler),
                self._address,
                filters=[self._filter],
                max_in_flight=1_000_000,
                max_in_flight_per_connection=100_000,
                timeout=_MAX_WAIT * 2,
                tls=self._tls,
                # Settings of this process's services do not apply to the registry.
                config={},
            )
            await server.start()
        except BaseException:
            await storage.close()
            raise
        self._server, self._storage, self._state = server, storage, state
        warn_if_exposed(self.address, self._access.unrestricted, self._tls)
        self._expiring = asyncio.get_running_loop().create_task(self._handler.expire())

    async def close(self) -> None:
        """Stop serving. With a file, a restart restores all registrations."""
        if self._server is None or self._handler is None or self._storage is None:
            return
        server, self._server = self._server, None
        if self._expiring is not None:
            self._expiring.cancel()
        self._handler.stop()
        await server.stop()
        await self._storage.close()

    async def serve(self) -> None:
        """Serve until cancelled, or, on the main thread, until Ctrl+C or SIGTERM."""
        if self._server is None:
            await self.open()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, stop.set)
        try:
            await stop.wait()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                    loop.remove_signal_handler(number)
            await self.close()

    def start(self) -> Self:
        """Serve on a background thread until `stop` is called. Raises the same errors as `open`."""
        if self._thread is None:
            thread = LoopThread("idlrt registry server")
            try:
                thread.run(self.open()).result()
            except BaseException:
                thread.stop()
                raise
            self._thread = thread
        return self

    def stop(self) -> None:
        """Stop the thread started by `start`. Idempotent."""
        if self._thread is not None:
            self._thread.run(self.close()).result()
            self._thread.stop()
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
