"""Base of all kinds of server: services, settings and address."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any, Unpack

from idlrt.core import CONFIG_VARIABLE, Handlers, Status, handler_context, serve
from idlrt.core.keyword_options import check_names
from idlrt.errors import ConfigurationError
from idlrt.net import Address, file_of, listen, unlink
from idlrt.protocol.base import ServerConnection
from idlrt.protocol.detection import Detecting, served_protocols
from idlrt.server.patience import Patience
from idlrt.server.routes import ServerFilter, routes
from idlrt.server.settings import ServerOptions, Settings
from idlrt.server.surroundings import Done, Load, Surroundings
from idlrt.spec import Method

if TYPE_CHECKING:
    from idlrt.net.tls_context import TlsContext
    from idlrt.registry import Registration
    from idlrt.server.presence import Presence

__all__ = ["ServerBase"]


class ServerBase:
    """Base of servers. See `Server`, which takes the same options."""

    def __init__(
        self,
        handlers: Handlers | Sequence[Handlers],
        address: str = "127.0.0.1:0",
        **options: Unpack[ServerOptions],
    ) -> None:
        check_names(type(self).__name__, options, ServerOptions.__annotations__)
        self._served = serve(handlers)
        self._wanted = Address.parse(address)
        self._settings = settings = Settings(**options)
        self._routes = routes(self._served, settings.filters, self._guards(), self._run_plain)
        self._load = Load(settings.max_in_flight, settings.max_decoded_queued)
        self._protocols = served_protocols(settings.protocols)
        self._patience = Patience(settings)
        self._tls: TlsContext | None = None
        if settings.tls is not None:
            from idlrt.net.tls_context import TlsContext

            self._tls = TlsContext(settings.tls, is_server=True)
        self._presence: Presence | None = None
        if settings.registry is not None:
            from idlrt.server.presence import Presence

            self._presence = Presence(
                settings.registry,
                settings.instance,
                self._served,
                self._wanted,
                rpc_protocols={each.name: each.serializations for each in self._protocols},
                is_encrypted=settings.tls is not None,
            )
        self._bound: Address | None = None
        self._listening: socket.socket | None = None
        # The file of a unix socket.
        self._file = 0

    def _connection(self) -> ServerConnection:
        """Return the server's end of a new connection."""
        return Detecting(self._served, self._protocols, self._settings.reading)

    async def _run_plain(self, work: Callable[[], Any]) -> Any:
        """Do something where plain handlers run, at the request of the event loop."""
        raise NotImplementedError

    def _guards(self) -> Callable[[Method[..., Any]], Sequence[ServerFilter]]:
        """What gives the guards of a method."""
        settings = self._settings
        if not settings.guards and settings.config is None and not os.environ.get(CONFIG_VARIABLE):
            return lambda method: ()
        from idlrt.server.guarding import guards_of

        return guards_of(settings.guards, settings.config, settings.listeners)

    @property
    def address(self) -> str:
        """Where it listens, as `connect` takes it: `tcp://127.0.0.1:40001`.

        Raises:
            ConfigurationError: it is not bound yet.
        """
        if self._bound is None:
            raise ConfigurationError("the server has no address yet: call start() or bind(), or use it in a `with`")
        return str(self._bound)

    @property
    def port(self) -> int:
        """The port that it listens on; 0 at a unix socket. Raises as `address` does."""
        address = self.address
        return 0 if address.startswith("unix:") else int(address.rpartition(":")[2])

    @property
    def registrations(self) -> Sequence[Registration]:
        """Its registrations at the registry, one for each service; none if it does not serve, or has no registry."""
        return self._presence.registrations if self._presence is not None else ()

    def enable(self) -> None:
        """Let clients that find this server in a registry call it. One that was given `instance={"status": "disabled"}`
        waits for that.
        """
        self._switch(Status.UP)

    def disable(self) -> None:
        """Let them call others. It serves on, and stays registered."""
        self._switch(Status.DISABLED)

    def _switch(self, status: Status) -> None:
        if self._presence is None:
            raise ConfigurationError("this server has no registry: give it one, as in Server(..., registry=URL)")
        self._presence.switch(status)

    def _announce(self) -> None:
        """It serves."""
        if self._presence is not None and self._bound is not None:
            self._presence.announce(self._bound)

    def _settle(self) -> None:
        """Wait until clients can find it, a second at most."""
        if self._presence is not None:
            self._presence.settle()

    def _withdraw(self) -> None:
        """It is about to stop. Waits for the registry, not for long."""
        if self._presence is not None:
            self._presence.withdraw()

    def _listen(self) -> socket.socket:
        """Take the address.

        Raises:
            ConfigurationError: it cannot be had.
        """
        if self._listening is None:
            settings = self._settings
            try:
                self._listening = listen(self._wanted, backlog=settings.backlog, reuse_port=settings.reuse_port)
            except OSError as error:
                why = error.strerror or str(error)
                raise ConfigurationError(f"cannot listen on {self._wanted}: {why}") from error
            self._bound = self._wanted
            self._file = file_of(self._wanted)
            if not self._wanted.path:
                self._bound = Address(self._wanted.host, self._listening.getsockname()[1])
        return self._listening

    def _surroundings(
        self,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        run_async: Callable[[Coroutine[Any, Any, Any], Context, Done], object],
        run_worker: Callable[[Callable[[], Any], Done], bool] | None,
    ) -> Surroundings:
        """What the sessions share."""
        settings = self._settings
        return Surroundings(
            served=self._served,
            routes=self._routes,
            context=handler_context(),
            call_soon=call_soon,
            run_async=run_async,
            run_worker=run_worker,
            timeout=settings.timeout,
            load=self._load,
            max_in_flight=settings.max_in_flight_per_connection,
            high_water=settings.high_water,
        )

    def _grace(self, wanted: float | None) -> float:
        """Seconds that calls under way get.

        Raises:
            ConfigurationError: `wanted` makes no sense.
        """
        if wanted is None:
            return self._settings.grace_s
        if not 0 <= wanted < float("inf"):
            raise ConfigurationError(f"grace_s must be a number of seconds of 0 or more, not {wanted!r}")
        return wanted

    def _unlink(self) -> None:
        """Remove the file of a unix socket, unless another server has its own there by now."""
        unlink(self._wanted, self._file)
        self._file = 0
