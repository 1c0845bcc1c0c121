"""Bases of generated clients.

A generated client is a list of one-line methods over `_call`, in the same namespace as the methods of its base. So only
three names are public, `connect`, `using` and `close`, and the compiler renames methods with these names. The two kinds
differ in the driver of the coroutine of a call and in the transport; all else is shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar

from idlrt.client.call_planner import CallPlanner
from idlrt.client.connecting import async_cluster_transport, blocking_cluster_transport
from idlrt.client.options import CALLS_PER_CONNECTION, CallOptions
from idlrt.client.stats import ClientStats
from idlrt.client.stub import ClientBase, service_name
from idlrt.client.transport import AsyncClientTransport, BlockingClientTransport
from idlrt.client.transport_factory import Settings
from idlrt.core import (
    AsyncioDriver,
    BlockingDriver,
    Call,
    Driver,
    Filter,
    drive,
)
from idlrt.spec import Method

__all__ = ["AsyncClient", "CallOptions", "Client", "client_stats", "service_name"]

P = ParamSpec("P")
R = TypeVar("R")


class Client(ClientBase):
    """Base of blocking clients. Safe to share between threads and to use after a fork.

    Use it in a `with`, or call `close` at the end.
    """

    _calls_per_connection: ClassVar[int] = 1

    def __init__(
        self,
        transport: BlockingClientTransport,
        *,
        target: str,
        options: CallOptions,
        driver: Driver | None = None,
        filters: Sequence[Filter] = (),
        planner: CallPlanner | None = None,
    ) -> None:
        driver = driver if driver is not None else BlockingDriver()
        super().__init__(transport.send, driver, target, options, filters, planner)
        self._transport = transport

    def __thrift_stats__(self) -> ClientStats:
        """Return the statistics; see `client_stats`. No method of an IDL can have this name."""
        return self._stats_of(self._transport.stats())

    @classmethod
    def _open(cls, target: str, settings: Settings) -> Self:
        transport, name, planner = blocking_cluster_transport(target, cls.__thrift_service__.name, settings, settings)
        return cls(transport, target=name, options={}, filters=settings.filters, planner=planner)

    def _call(self, method: Method[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        call = self._begin(method, args, kwargs)
        recorder = call.plan.recorder
        result: R
        if recorder is None:
            # As `_make`, without the call.
            if self._call_next is not None:
                result = drive(self._call_next(call))
            elif call.plan.blocking is None:
                result = drive(call.plan.call_next(call))
            else:
                result = call.plan.blocking(call)
            return result
        deadline = call.deadline
        began = deadline.at - deadline.timeout
        try:
            result = self._make(call)
        except BaseException as error:
            recorder.failed(call, began, self._now(), error)
            raise
        recorder.answered(call, began, self._now())
        return result

    def _make(self, call: Call) -> Any:
        if self._call_next is not None:
            return drive(self._call_next(call))
        blocking = call.plan.blocking
        return drive(call.plan.call_next(call)) if blocking is None else blocking(call)

    def close(self) -> None:
        """Close the connections. Calls in flight finish first; later ones raise `NotSent`."""
        self._transport.close()
        self._planner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(ClientBase):
    """Base of asyncio clients. Any number of tasks of one event loop may share one.

    Use it in an `async with`, or await `close` at the end.
    """

    # All calls share one connection.
    _calls_per_connection: ClassVar[int] = CALLS_PER_CONNECTION

    def __init__(
        self,
        transport: AsyncClientTransport,
        *,
        target: str,
        options: CallOptions,
        driver: Driver | None = None,
        filters: Sequence[Filter] = (),
        planner: CallPlanner | None = None,
    ) -> None:
        driver = driver if driver is not None else AsyncioDriver()
        super().__init__(transport.send, driver, target, options, filters, planner)
        self._transport = transport

    def __thrift_stats__(self) -> ClientStats:
        """Return the statistics; see `client_stats`. No method of an IDL can have this name."""
        return self._stats_of(self._transport.stats())

    @classmethod
    def _open(cls, target: str, settings: Settings) -> Self:
        transport, name, planner = async_cluster_transport(target, cls.__thrift_service__.name, settings, settings)
        return cls(transport, target=name, options={}, filters=settings.filters, planner=planner)

    async def _call(self, method: Method[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        call = self._begin(method, args, kwargs)
        call_next = call.plan.call_next if self._call_next is None else self._call_next
        recorder = call.plan.recorder
        result: R
        if recorder is None:
            result = await call_next(call)
            return result
        deadline = call.deadline
        began = deadline.at - deadline.timeout
        try:
            result = await call_next(call)
        except BaseException as error:
            recorder.failed(call, began, self._now(), error)
            raise
        recorder.answered(call, began, self._now())
        return result

    async def close(self) -> None:
        """Close the connections. Calls in flight raise `ConnectionLost`, later ones `NotSent`."""
        try:
            await self._transport.close()
        finally:
            self._planner.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def client_stats(client: Client | AsyncClient) -> ClientStats:
    """Return the statistics of a generated client, for monitoring and tests.

    It is a function, not a method, because the methods of a client are those of its IDL. Clients that `using` made
    share their connections, and so their statistics.
    """
    return client.__thrift_stats__()
