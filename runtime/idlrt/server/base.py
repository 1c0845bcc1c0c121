"""Base class of all servers: services, settings, address and registration."""

from __future__ import annotations

import os
import socket
import time
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from idlrt.core import CONFIG_VARIABLE, Handlers, Status, handler_context, notify, serve
from idlrt.core.keyword_options import check_names
from idlrt.errors import ConfigurationError
from idlrt.guard.base import no_listener
from idlrt.net import Address, listen, socket_inode, unlink
from idlrt.observe.tracing.switch import TRACING
from idlrt.protocol.base import ServerConnection
from idlrt.protocol.detection import DetectingConnection, served_protocols
from idlrt.server.admin.options import admin_options
from idlrt.server.checks import with_validation
from idlrt.server.context import CallObserver, Load, OnDone, ServerContext
from idlrt.server.http import http_protocol
from idlrt.server.method_table import ServerFilter, method_table
from idlrt.server.settings import ServerOptions, Settings
from idlrt.server.timeouts import ConnectionTimeouts
from idlrt.spec import Method

if TYPE_CHECKING:
    from idlrt.net.tls_context import TlsContext
    from idlrt.observe.figures import Report
    from idlrt.observe.monitor import Monitor
    from idlrt.observe.server_calls import ServerCalls
    from idlrt.observe.snapshot import Snapshot
    from idlrt.observe.sources import Source
    from idlrt.registry import Registration
    from idlrt.server.admin.checks import Check
    from idlrt.server.admin.port import AdminPort, BackgroundServer
    from idlrt.server.registration import ServiceRegistrar

__all__ = ["ServerBase"]


class ServerBase:
    """Base class of servers; `Server` documents the arguments."""

    def __init__(
        self,
        handlers: Handlers | Sequence[Handlers],
        address: str = "127.0.0.1:0",
        **options: Unpack[ServerOptions],
    ) -> None:
        check_names(type(self).__name__, options, ServerOptions.__annotations__)
        self._served = serve(handlers)
        self._address = Address.parse(address)
        self._settings = settings = Settings(**options)
        self._calls = self._make_calls()
        listeners = (*settings.listeners, self._calls.decided) if self._calls is not None else settings.listeners
        self._notify = partial(notify, tuple(listeners)) if listeners else None
        filters = with_validation(settings.filters, is_on=settings.validate)
        self._methods = method_table(self._served, filters, self._guards(), self._run_plain)
        self._load = Load(settings.max_in_flight, settings.max_decoded_queued)
        self._http = http_protocol(self._served, settings, self._address)
        self._protocols = served_protocols(settings.protocols, self._http)
        self._timeouts = ConnectionTimeouts(settings, None if self._http is None else self._http.options)
        self._tls: TlsContext | None = None
        if settings.tls is not None:
            from idlrt.net.tls_context import TlsContext

            self._tls = TlsContext(settings.tls, is_server=True)
        self._registrar: ServiceRegistrar | None = None
        if settings.registry is not None:
            from idlrt.server.registration import ServiceRegistrar

            self._registrar = ServiceRegistrar(
                settings.registry,
                settings.instance,
                self._served,
                self._address,
                rpc_protocols={each.name: each.serializations for each in self._protocols},
                is_encrypted=settings.tls is not None,
                http_prefix=self._http.options.prefix if self._http is not None else "",
            )
        self._measured: Source | None = None
        self._monitor = self._make_monitor()
        self._bound: Address | None = None
        self._listening: socket.socket | None = None
        # Inode of the file of a Unix socket; 0 if there is none.
        self._file = 0
        self._is_started = False
        self._is_stopping = False
        # Time at which serving began, in seconds since 1970; 0 before.
        self._serving_since = 0.0
        self._admin = self._make_admin()

    def _connection(self) -> ServerConnection:
        """Return the protocol state machine of a new connection."""
        return DetectingConnection(self._served, self._protocols, self._settings.reading)

    async def _run_plain(self, work: Callable[[], Any]) -> Any:
        """Run `work` on the thread on which plain handlers run, and return its result. Called on the event loop."""
        raise NotImplementedError

    def _guards(self) -> Callable[[Method[..., Any]], Sequence[ServerFilter]]:
        """Return a function that returns the guards of a method."""
        settings = self._settings
        if not settings.guards and settings.config is None and not os.environ.get(CONFIG_VARIABLE):
            return lambda method: ()
        from idlrt.server.guards import server_guards

        return server_guards(settings.guards, settings.config, self._notify or no_listener)

    @property
    def address(self) -> str:
        """Address on which the server listens, as `connect` takes it: `tcp://127.0.0.1:40001`.

        Raises:
            ConfigurationError: the server is not bound yet.
        """
        if self._bound is None:
            what = "the server has no address yet: call start() or bind() first, or use it in a `with` block"
            raise ConfigurationError(what)
        return str(self._bound)

    @property
    def port(self) -> int:
        """Port on which the server listens; 0 for a Unix socket.

        Raises:
            ConfigurationError: the server is not bound yet.
        """
        address = self.address
        return 0 if address.startswith("unix:") else int(address.rpartition(":")[2])

    @property
    def admin_address(self) -> str:
        """URL of the admin port, such as `http://127.0.0.1:9901`; `unix:/path` for a Unix socket.

        Raises:
            ConfigurationError: the server has no admin port, or is not bound yet.
        """
        if self._admin is None:
            raise ConfigurationError("the server has no admin port; set admin=9901, or another port")
        return self._admin.address

    @property
    def registrations(self) -> Sequence[Registration]:
        """Registrations in the registry, one for each service; empty without a registry or while not serving."""
        return self._registrar.registrations if self._registrar is not None else ()

    def enable(self) -> None:
        """Put this server into rotation: clients that find it in the registry may call it.

        A server with `instance={"status": "disabled"}` registers out of rotation until this is called.

        Raises:
            ConfigurationError: the server has no registry.
        """
        self._switch(Status.UP)

    def disable(self) -> None:
        """Take this server out of rotation: clients call other instances. It stays registered and keeps serving.

        Raises:
            ConfigurationError: the server has no registry.
        """
        self._switch(Status.DISABLED)

    def _switch(self, status: Status) -> None:
        if self._registrar is None:
            raise ConfigurationError(
                "cannot change the instance's status: the server has no registry; pass registry=URL"
            )
        self._registrar.switch(status)

    def _register(self) -> None:
        """Register in the background, once the server accepts connections."""
        if self._registrar is not None and self._bound is not None:
            self._registrar.register(self._bound, self._admin)

    def _wait_registered(self) -> None:
        """Wait until the registry has acknowledged the registration, at most one second."""
        if self._registrar is not None:
            self._registrar.wait_registered()

    def _deregister(self) -> None:
        """Deregister before a stop. Waits for the registry, at most two seconds."""
        if self._registrar is not None:
            self._registrar.deregister()

    def _listen(self) -> socket.socket:
        """Bind the address and listen on it.

        Raises:
            ConfigurationError: the address is in use or not available.
        """
        if self._listening is None:
            settings = self._settings
            if self._admin is not None:
                self._admin.bind()
            try:
                self._listening = listen(self._address, backlog=settings.backlog, reuse_port=settings.reuse_port)
            except OSError as error:
                why = error.strerror or str(error)
                self._close_admin()
                raise ConfigurationError(f"cannot listen on {self._address}: {why}") from error
            self._bound = self._address
            self._file = socket_inode(self._address)
            if not self._address.path:
                self._bound = Address(self._address.host, self._listening.getsockname()[1])
        return self._listening

    # Admin port.

    def _make_calls(self) -> ServerCalls | None:
        """Return the recorder of calls; `None` if this server does not measure them."""
        return None

    def _make_source(self) -> Source:
        """Return the source of the metrics of this server."""
        raise NotImplementedError

    def _make_monitor(self) -> Monitor | None:
        if not self._settings.is_measured:
            return None
        from idlrt.server.measuring import server_monitor

        # Weak, so that a server whose monitor is kept can be collected.
        this = weakref.ref(self)

        def address() -> str:
            server = this()
            bound = server._bound if server is not None else None
            return str(bound).removeprefix("tcp://") if bound is not None else ""

        self._measured = self._make_source()
        return server_monitor(self._measured, self._served, self._settings, address)

    @property
    def monitor(self) -> Monitor:
        """Metrics of this server and its process, and their figures. It may be used on any thread.

        Raises:
            ConfigurationError: the server does not measure calls.
        """
        if self._monitor is None:
            raise ConfigurationError("the server does not measure calls; create it with metrics=True")
        return self._monitor

    def metrics(self) -> Snapshot:
        """Return all metrics of this server and its process since the start. May be called on any thread.

        Raises:
            ConfigurationError: the server does not measure calls.
        """
        return self.monitor.snapshot()

    def figures(
        self,
        period_s: float | None = None,
        *,
        side: str = "server",
        by: Sequence[str] = (),
        where: Mapping[str, str] | None = None,
    ) -> Report:
        """Return the figures of the calls of a period; see `idlrt.observe.Monitor.figures`.

        Raises:
            ConfigurationError: the server does not measure calls, or an argument is invalid.
        """
        return self.monitor.figures(period_s, side=side, by=by, where=where)

    def _make_admin(self) -> AdminPort | None:
        options = admin_options(self._settings.admin)
        if options is None:
            return None
        if self._address.port and Address.parse(options.address) == self._address:
            raise ConfigurationError(f"admin: {self._address} is the address of the server itself; use another port")
        from idlrt.server.admin.port import AdminPort
        from idlrt.server.admin.server_pages import server_pages
        from idlrt.server.admin.view import ServerView

        view = ServerView(
            kind=type(self).__name__,
            served=self._served,
            settings=self._settings,
            protocols=self._protocols,
            address=lambda: self.address,
            started_at=lambda: self._serving_since,
            is_stopping=lambda: self._is_stopping,
            numbers=self._numbers,
            metrics=None if self._monitor is None else self._monitor.families,
            monitor=self._monitor,
            details=self._details,
            loop_checks=self._loop_checks(),
            ready_checks=self._ready_checks(),
            registrar=self._registrar,
            switch=self._switch,
        )
        return AdminPort(options, server_pages(view), self._new_server, lambda: self._is_started)

    def _new_server(self, handlers: Handlers, address: str, options: dict[str, Any]) -> BackgroundServer:
        """Return a `Server`."""
        raise NotImplementedError

    def _numbers(self) -> Mapping[str, int]:
        """Return gauges for the status page."""
        raise NotImplementedError

    def _details(self) -> Mapping[str, Any]:
        """Return more facts for the status page."""
        return {}

    def _loop_checks(self) -> Sequence[Check]:
        """Return the checks of the loops that serve."""
        raise NotImplementedError

    def _ready_checks(self) -> Sequence[Check]:
        """Return checks of what else serving needs."""
        return ()

    def _open_admin(self) -> None:
        """Start the admin port, now that the server serves."""
        self._serving_since = time.time()
        if self._monitor is not None:
            self._monitor.start()
        if self._admin is not None:
            self._admin.start()

    def _close_admin(self) -> None:
        """Close the admin port, after all else."""
        if self._monitor is not None:
            from idlrt.observe.sources import SERVERS

            self._monitor.close()
            SERVERS.remove(self._measured)
        if self._admin is not None:
            self._admin.stop()

    def _make_context(
        self,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        run_async: Callable[[Coroutine[Any, Any, Any], Context, OnDone], object],
        run_worker: Callable[[Callable[[], Any], OnDone], bool] | None,
    ) -> ServerContext:
        """Return the state that all sessions share."""
        settings = self._settings
        TRACING.look_for_context()
        TRACING.start_live()
        return ServerContext(
            served=self._served,
            methods=self._methods,
            context=handler_context(),
            call_soon=call_soon,
            run_async=run_async,
            run_worker=run_worker,
            timeout=settings.timeout,
            load=self._load,
            observer=self._observer(),
            tracer=TRACING.tracer,
            notify=self._notify,
            max_in_flight=settings.max_in_flight_per_connection,
            high_water=settings.high_water,
        )

    def _observer(self) -> CallObserver | None:
        if TRACING.tracer is None:
            return self._calls
        from idlrt.observe.tracing.server_calls import TracedCalls

        return TracedCalls(TRACING.tracer, self._calls)

    def _grace(self, wanted: float | None) -> float:
        """Return the grace period for calls in flight, in seconds: `wanted`, or the default of this server.

        Raises:
            ConfigurationError: `wanted` is invalid.
        """
        if wanted is None:
            return self._settings.grace_s
        if not 0 <= wanted < float("inf"):
            raise ConfigurationError(f"grace_s: must be at least 0 seconds, got {wanted!r}")
        return wanted

    def _unlink(self) -> None:
        """Remove the file of a Unix socket, unless another server has replaced it with its own."""
        unlink(self._address, self._file)
        self._file = 0
