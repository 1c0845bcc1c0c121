"""The admin port: an `idlrt.Server` with the pages, on a background thread.

It is bound together with the server that it belongs to, so that a port in use is reported before serving begins. It
answers from the moment at which that server serves, and is the last to close.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, Protocol

from idlrt.core.forks import forks
from idlrt.core.handlers import Handlers
from idlrt.errors import ConfigurationError
from idlrt.net import Address, listen, socket_inode, unlink
from idlrt.protocol.http.options import Http
from idlrt.serialization import Limits
from idlrt.server.access import allow_addresses
from idlrt.server.admin.html_pages import ADMIN_SITE
from idlrt.server.admin.options import Admin
from idlrt.server.admin.pages import AdminPages
from idlrt.server.admin.protection import require_sign_in

__all__ = ["AdminPort", "BackgroundServer", "NewServer"]

_MAX_BODY: Final = 65_536
_MAX_CONNECTIONS: Final = 64
_BACKLOG: Final = 64
_ANY_HOST: Final = ("", "0.0.0.0", "::")  # compared with, not listened on
# Seconds.
_TIMEOUT: Final = 10.0
_READ_TIMEOUT: Final = 5.0
_KEEP_ALIVE: Final = 30.0
_GRACE: Final = 0.5


class BackgroundServer(Protocol):
    """The part of `Server` that the port needs."""

    def use_socket(self, listening: Any, address: Address | None) -> None:
        """Use a socket that listens already."""
        ...

    def start(self) -> Any:
        """Serve on a background thread."""
        ...

    def stop(self, grace_s: float | None = None) -> None:
        """Stop, and wait until it has stopped."""
        ...


NewServer = Callable[[Handlers, str, dict[str, Any]], BackgroundServer]
"""Creates a `Server` with handlers, address and options. It is passed, because servers import this module."""


class AdminPort:
    """The admin port of a server.

    Args:
        options: its options.
        pages: its pages. More can be added until it starts, and later.
        new_server: creates the server of the port.
        is_started: returns whether the server that it belongs to has been started.

    Raises:
        ConfigurationError: an option is invalid, or a package is missing.

    Attributes:
        pages: its pages.
    """

    def __init__(
        self, options: Admin, pages: AdminPages, new_server: NewServer, is_started: Callable[[], bool]
    ) -> None:
        if find_spec("httptools") is None:
            raise ConfigurationError("the admin port needs the package httptools: pip install 'idlc[http]'")
        self.pages: Final = pages
        self._is_owner_started = is_started
        self._options = options
        self._wanted = Address.parse(options.address)
        self._bound: Address | None = None
        self._listening: Any = None
        self._file = 0
        filters = [allow_addresses(*options.allow)] if options.allow else []
        if options.tokens:
            filters.append(require_sign_in(ADMIN_SITE, options.tokens, is_secure=options.tls is not None))
        settings: dict[str, Any] = {
            "filters": [*filters, *options.filters],
            "protocols": ["http"],
            "http": Http(
                hosts=tuple(options.hosts),
                head_timeout=_READ_TIMEOUT,
                keep_alive=_KEEP_ALIVE,
                max_head=16_384,
                metadata=(),
            ),
            "limits": Limits(max_message=_MAX_BODY),
            "tls": options.tls,
            "max_connections": _MAX_CONNECTIONS,
            "max_in_flight": _MAX_CONNECTIONS,
            "max_in_flight_per_connection": 1,
            "timeout": _TIMEOUT,
            "message_timeout": _READ_TIMEOUT,
            "write_timeout": _TIMEOUT,
            "idle_timeout": _KEEP_ALIVE,
            "drain_s": 0,
            "grace_s": _GRACE,
            # The file of the environment variable is for the server itself.
            "config": {},
        }
        self._server = new_server(pages.handlers, options.address, settings)
        self._is_started = False
        forks.register(self)

    @property
    def address(self) -> str:
        """URL of the port: `http://127.0.0.1:9901`; or `unix:/path`.

        Raises:
            ConfigurationError: the port is not bound yet.
        """
        bound = self._bound
        if bound is None:
            what = (
                "the admin port has no address yet: call start() or bind() first, or use the server in a `with` block"
            )
            raise ConfigurationError(what)
        if bound.path:
            return str(bound)
        return self._url(bound.host or "127.0.0.1", bound.port)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the port."""
        return bool(self._wanted.path) or self._wanted.is_loopback

    def url_at(self, host: str) -> str:
        """Return the URL of the port for other machines.

        Args:
            host: name or address of this machine, for a port that listens on all interfaces.

        Raises:
            ConfigurationError: the port is not bound yet.
        """
        bound = self._bound
        return (
            self._url(host, bound.port)
            if bound is not None and bound.host in _ANY_HOST and not bound.path
            else self.address
        )

    def _url(self, host: str, port: int) -> str:
        scheme = "http" if self._options.tls is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def bind(self) -> None:
        """Listen at the address.

        Raises:
            ConfigurationError: the address is not available.
        """
        if self._listening is not None:
            return
        wanted = self._wanted
        try:
            self._listening = listen(wanted, backlog=_BACKLOG)
        except OSError as error:
            why = error.strerror or str(error)
            raise ConfigurationError(f"cannot listen on {wanted} for the admin port: {why}") from error
        self._file = socket_inode(wanted)
        self._bound = wanted if wanted.path else Address(wanted.host, self._listening.getsockname()[1])
        self._server.use_socket(self._listening, self._bound)

    def start(self) -> None:
        """Answer requests, on a background thread."""
        self.bind()
        self._is_started = True
        self._server.start()

    def stop(self) -> None:
        """Close the port. Requests that are being answered have half a second. Idempotent."""
        if self._is_started:
            self._server.stop()
        if self._listening is not None:
            self._listening.close()
        unlink(self._wanted, self._file)
        self._listening, self._file = None, 0

    def after_fork(self) -> None:
        """Close the socket in a forked child: the port belongs to the parent, unless the server was only bound."""
        if not self._is_owner_started():
            return
        self._is_started = False
        self._file = 0
        if self._listening is not None:
            self._listening.close()
