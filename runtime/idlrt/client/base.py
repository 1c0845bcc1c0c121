"""The bases of generated clients.

A generated client is a list of one-line methods over `_call`. Its methods live in the same namespace as what
is here, so only three names are public: `connect`, `using`, `close` (the compiler renames methods that are
called so). The two kinds differ in who drives the coroutine of a call and in the leaf; all else is shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from idlrt.client.connecting import Said, async_sender, blocking_sender
from idlrt.client.governance import Governance
from idlrt.client.leaves import Settings
from idlrt.client.options import CallOptions
from idlrt.client.ping import PING_TIMEOUT
from idlrt.client.sender import AsyncSender, BlockingSender
from idlrt.client.stats import ClientStats
from idlrt.client.stub import ClientBase, service_name
from idlrt.client.target import spoken_to
from idlrt.config import ClientConfig
from idlrt.core import (
    AsyncioDriver,
    BlockingDriver,
    Driver,
    Filter,
    Listener,
    drive,
)
from idlrt.serialization.base import DEFAULT_LIMITS, Limits
from idlrt.serialization.options import TextErrors, UnknownFields, with_options
from idlrt.spec import Method

if TYPE_CHECKING:
    from idlrt.net.tls import Tls

__all__ = ["AsyncClient", "CallOptions", "Client", "service_name"]

P = ParamSpec("P")
R = TypeVar("R")


class Client(ClientBase):
    """The base of blocking clients. Safe to share between threads and to use after a fork.

    Use it in a `with`, or call `close` at the end.
    """

    def __init__(
        self,
        sender: BlockingSender,
        *,
        target: str,
        options: CallOptions,
        driver: Driver | None = None,
        filters: Sequence[Filter] = (),
        governance: Governance | None = None,
    ) -> None:
        driver = driver if driver is not None else BlockingDriver()
        super().__init__(sender.send, driver, target, options, filters, governance)
        self._sender = sender

    def __thrift_stats__(self) -> ClientStats:
        """Return the statistics; see `client_stats`. No method of an IDL can have this name."""
        return self._stats_of(self._sender.stats())

    @classmethod
    def connect(
        cls,
        target: str,
        *,
        timeout: float | None = None,
        connect_timeout: float = 3.0,
        framing: str | None = None,
        protocol: str | None = None,
        multiplexed: bool | str = False,
        limits: Limits = DEFAULT_LIMITS,
        text_errors: TextErrors = "strict",
        unknown: UnknownFields = "drop",
        filters: Sequence[Filter] = (),
        max_connections: int = 16,
        calls_per_connection: int = 1,
        ping_after: float | None = 10.0,
        ping_timeout: float = PING_TIMEOUT,
        heartbeat: float | None = 1.0,
        tls: Tls | None = None,
        policy: Mapping[str, Any] | None = None,
        config: ClientConfig = None,
        listeners: Sequence[Listener] = (),
    ) -> Self:
        """A client of the server at `target`. Returns at once; connections are made by the first calls.

        Args:
            target: `tcp://host:port`, `host:port` or `unix:/path`; several servers, as `tcp://h1:9090,h2:9090`; a
                service of a registry, as `embedded://127.0.0.1:7400/UserService?group=blue`. See `idlrt.client.target`.
            timeout: seconds that a call may take as a whole. `None`: what the configuration, the registry or the IDL
                say, else 5.
            connect_timeout: seconds of it that making a connection may take.
            framing: `framed`, `unframed`, `header` (which carries metadata) or `header_zlib` (which also
                compresses): what the server understands. Servers of this package understand all. `None`: what the
                registry says of an instance, preferably `header`; `framed` for servers at addresses. `auto`: find out,
                by pings before the first call.
            protocol: `binary` (the default), `compact` or `json`, likewise; or the name of another protocol than
                Thrift: `protocol="jsonrpc"` is the same as a target `jsonrpc://host:port`.
            multiplexed: for a server of several services: `True` calls this one by its name in the IDL, a
                text by that name.
            limits: what a server may answer.
            text_errors: what happens to a `string` in an answer that is not UTF-8. `strict`: the answer cannot be read.
                `replace` and `surrogateescape`: see `idlrt.codec`.
            unknown: `keep` keeps fields of structs that only a newer server knows. See `idlrt.codec`.
            filters: what stands in a call's way, the outermost first.
            max_connections: that may be open; further calls wait.
            calls_per_connection: that may be under way on each. Every server answers one at a time; with more threads
                share connections, which suits servers that answer in any order (`framing="header"` of this package).
            ping_after: seconds for which a connection may have been idle before the server is asked, with a ping,
                whether it is still there; another one is made if it does not say so within
                `ping_timeout`. `None`: never.
            ping_timeout: seconds to wait for the response to such a ping, and to each of `framing="auto"`; at most half
                of the remaining time of a call.
            heartbeat: seconds of silence after which an instance of a service that is found by name is asked with a
                ping; one that does not answer gets no calls until it does. `None`: never.
            tls: for a server that speaks TLS: whom to trust, and how to identify this side. `Tls()` trusts what the
                system trusts.
            policy: what holds for the calls: `{"fault": "hedge", "hedge": {"delay": 0.02}}`. `idlrt config keys` lists
                what can be said.
            config: a configuration file, or the same as nested tables (`idlrt.config.read`); `None`: the file that the
                environment variable `IDLRT_CONFIG` names, if there is one.
            listeners: are told of all decisions about calls and instances (`idlrt.core.decisions`).

        Raises:
            ConfigurationError: a setting is wrong.
        """
        target, rpc, wire = spoken_to(target, framing, protocol)
        settings = Settings(
            connect_timeout=connect_timeout,
            rpc=rpc,
            wire=wire,
            service=service_name(cls, multiplexed),
            limits=with_options(limits, text_errors, unknown),
            max_connections=max_connections,
            calls_per_connection=calls_per_connection,
            ping_after=ping_after,
            ping_timeout=ping_timeout,
            heartbeat=heartbeat,
            tls=tls,
        )
        said = Said(timeout=timeout, policy=policy, config=config, listeners=listeners)
        sender, name, governance = blocking_sender(target, cls.__thrift_service__.name, settings, said)
        return cls(sender, target=name, options={}, filters=filters, governance=governance)

    def _call(self, method: Method[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = drive(self._start(method, args, kwargs))
        return result

    def close(self) -> None:
        """Close the connections. Calls under way end first; later ones raise `NotSent`."""
        self._sender.close()
        self._governance.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(ClientBase):
    """The base of asyncio clients. Any number of tasks of one event loop may share it.

    Use it in an `async with`, or await `close` at the end.
    """

    def __init__(
        self,
        sender: AsyncSender,
        *,
        target: str,
        options: CallOptions,
        driver: Driver | None = None,
        filters: Sequence[Filter] = (),
        governance: Governance | None = None,
    ) -> None:
        driver = driver if driver is not None else AsyncioDriver()
        super().__init__(sender.send, driver, target, options, filters, governance)
        self._sender = sender

    def __thrift_stats__(self) -> ClientStats:
        """Return the statistics; see `client_stats`. No method of an IDL can have this name."""
        return self._stats_of(self._sender.stats())

    @classmethod
    def connect(
        cls,
        target: str,
        *,
        timeout: float | None = None,
        connect_timeout: float = 3.0,
        framing: str | None = None,
        protocol: str | None = None,
        multiplexed: bool | str = False,
        limits: Limits = DEFAULT_LIMITS,
        text_errors: TextErrors = "strict",
        unknown: UnknownFields = "drop",
        filters: Sequence[Filter] = (),
        max_connections: int | None = None,
        calls_per_connection: int = 4096,
        ping_after: float | None = 10.0,
        ping_timeout: float = PING_TIMEOUT,
        heartbeat: float | None = 1.0,
        tls: Tls | None = None,
        policy: Mapping[str, Any] | None = None,
        config: ClientConfig = None,
        listeners: Sequence[Listener] = (),
    ) -> Self:
        """A client of the server at `target`. Returns at once; connections are made by calls that find no room.

        Args:
            target: `tcp://host:port`, `host:port` or `unix:/path`; several servers, as `tcp://h1:9090,h2:9090`; a
                service of a registry, as `embedded://127.0.0.1:7400/UserService?group=blue`. See `idlrt.client.target`.
            timeout: seconds that a call may take as a whole. `None`: what the configuration, the registry or the IDL
                say, else 5.
            connect_timeout: seconds of it that making a connection may take.
            framing: `framed`, `unframed`, `header` (which carries metadata) or `header_zlib` (which also
                compresses): what the server understands. Servers of this package understand all. `None`: what the
                registry says of an instance, preferably `header`; `framed` for servers at addresses. `auto`: find out,
                by pings before the first call.
            protocol: `binary` (the default), `compact` or `json`, likewise; or the name of another protocol than
                Thrift: `protocol="jsonrpc"` is the same as a target `jsonrpc://host:port`.
            multiplexed: for a server of several services: `True` calls this one by its name in the IDL, a
                text by that name.
            limits: what a server may answer.
            text_errors: what happens to a `string` in an answer that is not UTF-8. `strict`: the answer cannot be read.
                `replace` and `surrogateescape`: see `idlrt.codec`.
            unknown: `keep` keeps fields of structs that only a newer server knows. See `idlrt.codec`.
            filters: what stands in a call's way, the outermost first.
            max_connections: that may be open; further calls wait when all are full. `None`: 1, or 16 for protocols that
                carry one call at a time on a connection.
            calls_per_connection: that may be under way on each. One connection for all calls suits servers that answer
                in any order (`framing="header"` of this package). Others answer a connection's calls one after the
                other, so slow ones hold up those behind them: give each call a connection, with `1` here and enough
                `max_connections`.
            ping_after: seconds for which a connection may have been idle before the server is asked, with a ping,
                whether it is still there; another one is made if it does not say so within
                `ping_timeout`. `None`: never.
            ping_timeout: seconds to wait for the response to such a ping, and to each of `framing="auto"`; at most half
                of the remaining time of a call.
            heartbeat: seconds of silence after which an instance of a service that is found by name is asked with a
                ping; one that does not answer gets no calls until it does. `None`: never.
            tls: for a server that speaks TLS: whom to trust, and how to identify this side. `Tls()` trusts what the
                system trusts.
            policy: what holds for the calls: `{"fault": "hedge", "hedge": {"delay": 0.02}}`. `idlrt config keys` lists
                what can be said.
            config: a configuration file, or the same as nested tables (`idlrt.config.read`); `None`: the file that the
                environment variable `IDLRT_CONFIG` names, if there is one.
            listeners: are told of all decisions about calls and instances (`idlrt.core.decisions`).

        Raises:
            ConfigurationError: a setting is wrong.
        """
        target, rpc, wire = spoken_to(target, framing, protocol)
        settings = Settings(
            connect_timeout=connect_timeout,
            rpc=rpc,
            wire=wire,
            service=service_name(cls, multiplexed),
            limits=with_options(limits, text_errors, unknown),
            max_connections=max_connections,
            calls_per_connection=calls_per_connection,
            ping_after=ping_after,
            ping_timeout=ping_timeout,
            heartbeat=heartbeat,
            tls=tls,
        )
        said = Said(timeout=timeout, policy=policy, config=config, listeners=listeners)
        sender, name, governance = async_sender(target, cls.__thrift_service__.name, settings, said)
        return cls(sender, target=name, options={}, filters=filters, governance=governance)

    async def _call(self, method: Method[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = await self._start(method, args, kwargs)
        return result

    async def close(self) -> None:
        """Close the connection. Calls under way raise `ConnectionLost`, later ones `NotSent`."""
        try:
            await self._sender.close()
        finally:
            self._governance.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
