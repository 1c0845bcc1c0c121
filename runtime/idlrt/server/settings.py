"""Options of all kinds of servers: types, defaults, documentation and validation in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

import msgspec

from idlrt.core import LONGEST, SHORTEST, Listener, is_duration
from idlrt.errors import ConfigurationError
from idlrt.net.tls import Tls
from idlrt.protocol.http.options import Http
from idlrt.serialization.base import DEFAULT_LIMITS, Limits
from idlrt.serialization.options import TextErrors, UnknownFields, with_options
from idlrt.server.admin.options import Admin, HealthCheck, admin_options, check_health
from idlrt.server.method_table import ServerFilter

if TYPE_CHECKING:
    from idlrt.config import ServerConfig
    from idlrt.registry import Registry
    from idlrt.server.registration import InstanceOptions

__all__ = ["SERVER_DEFAULTS", "ServerOptions", "Settings"]


class ServerOptions(TypedDict, total=False):
    """Options of a server. Times are in seconds, sizes in bytes.

    Attributes:
        limits: limits on the size, depth and memory of requests. Default: `idlrt.Limits()`.
        text_errors: handling of a `string` in a request that is not UTF-8. `strict`, the default, rejects the call.
            `replace` substitutes U+FFFD for invalid bytes. `surrogateescape` keeps invalid bytes as lone surrogates
            (PEP 383), which responses of this server, and clients with the same option, encode as the original bytes.
        unknown: handling of struct fields in a request that the server's IDL does not have. `drop`, the default,
            discards them. `keep` keeps them in the struct; responses of this server, and clients with the same option,
            send them again, as a proxy needs. Unknown fields of unions are always kept.
        filters: server filters, `async (call, next) -> result`, the outermost first. If one of them awaits anything but
            `next(call)`, all run on the server's event loop. Default: none.
        validate: whether to reject calls whose arguments violate constraints of the IDL (`vt.*`), behind the filters,
            with any protocol. The error names all violations by path. Structs in containers are checked where the IDL
            says `vt.elem.skip = "false"`; `idlrt.check_constraints()` checks all. Default: `False`.
        workers: number of threads for plain handlers. 0, the default: plain handlers run on the server's own thread,
            one at a time, which is fastest for handlers that never block.
        max_queued: maximum number of calls that wait for a worker; further calls are rejected as `Overloaded`. Default:
            1024.
        max_decoded_queued: maximum memory of the arguments of queued and running calls of workers and `async` handlers;
            further calls are rejected as `Overloaded`. One call at a time is always accepted; `limits` bounds its size.
            Default: 512 MiB.
        max_in_flight: maximum number of concurrent calls of workers and `async` handlers; further calls are rejected as
            `Overloaded`. Default: 8192.
        max_in_flight_per_connection: maximum number of concurrent calls of one connection; until one finishes, no
            further calls are read from it. Default: 256.
        max_connections: maximum number of open connections; further connections wait to be accepted. Default: 65536.
        high_water: maximum size of the responses that a client has not read; until it reads some, no further calls are
            read from its connection. Default: 1 MiB.
        timeout: timeout of calls whose client sends none. Default: 60.
        idle_timeout: time after which a connection without calls is closed; 0 disables. Default: 3600.
        message_timeout: time within which a request must arrive completely, and a TLS handshake must finish; 0
            disables. Default: 60.
        write_timeout: time after which a connection is closed whose client reads none of its responses; 0 disables.
            Default: 60.
        drain_s: duration of the drain phase of a stop, in which clients are told to use other instances while
            connections stay open; 0 skips it. Default: 0.25.
        grace_s: grace period of a stop, after the drain phase: time that calls in flight have to finish before their
            connections are closed. Default: 10.
        backlog: maximum number of connections that wait to be accepted, from 1 to 65535. Default: 1024.
        reuse_port: whether several processes may listen on the port (`SO_REUSEPORT`). Default: `False`.
        protocols: names of the protocols that clients may use on the port, in the order in which they are detected by
            the first bytes of a connection. `None`, the default: the built-in protocols, then all installed ones.
        http: HTTP on the port: `True`, `False` or `idlrt.Http(...)` with options. `None`, the default: only if the IDL
            has HTTP annotations. It needs the extra `http`.
        tls: TLS settings with the server's certificate; with `authorities`, clients need a certificate too (mutual
            TLS). `None`, the default: no TLS.
        registry: registry in which clients find the server: a URL (`embedded://127.0.0.1:7400`, `zookeeper://...`) or a
            `Registry`. The server is registered while it serves, and deregistered before it stops. Default: none.
        instance: properties of the instance in the registry (`InstanceOptions`). Default: none.
        guards: guards by name (`idlrt.guards`), which run after the filters, as in `{"limiter": {"rate": 100},
            "shedder": {}}`; `{"methods": {"find": {"bulkhead": {"max_wait": 4}}}}` sets those of one method.
            They override `config`. Default: none.
        config: configuration file, or its contents as nested tables; the guards are in the table `server`. `None`, the
            default: the file named by the environment variable `IDLRT_CONFIG`, if it is set.
        listeners: functions that receive the decisions of guards (`idlrt.core.decisions`). Default: none.
        admin: admin port, with health checks and the status of the server: a port of the loopback interface, an address
            or an `idlrt.Admin`. It runs on a separate thread and needs the extra `http`. `None`, the default: off.
        health: checks of dependencies by name, for `/readyz` of the admin port: functions without arguments, plain
            (called on a background thread) or `async` (on the event loop of the admin port). A check fails if it
            raises, returns `False`, or takes longer than a second. Default: none.
        metrics: whether to measure calls: their number, duration, size and outcome by method and caller.
            `Server.figures()` and `Server.metrics()` return them, and `/metrics` of the admin port shows them to
            Prometheus. Clients of the process measure, too. `None`, the default: if there is an admin port.
        core: names of core services and methods (`Service.method`), besides those with the annotation
            `core = "true"` in the IDL. Figures list them first. Default: none.
        apdex: duration up to which a call counts as satisfied in the figure `apdex`; up to four times of it, as
            tolerated. Default: 0.5.
    """

    limits: Limits
    text_errors: TextErrors
    unknown: UnknownFields
    filters: Sequence[ServerFilter]
    validate: bool
    workers: int
    max_queued: int
    max_decoded_queued: int
    max_in_flight: int
    max_in_flight_per_connection: int
    max_connections: int
    high_water: int
    timeout: float
    idle_timeout: float
    message_timeout: float
    write_timeout: float
    drain_s: float
    grace_s: float
    backlog: int
    reuse_port: bool
    protocols: Sequence[str] | None
    http: bool | Http | None
    tls: Tls | None
    registry: str | Registry | None
    instance: InstanceOptions
    guards: Mapping[str, Any]
    config: ServerConfig
    listeners: Sequence[Listener]
    admin: str | int | Admin | None
    health: Mapping[str, HealthCheck]
    metrics: bool | None
    core: Sequence[str]
    apdex: float


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`ServerOptions` with defaults, validated.

    Raises:
        ConfigurationError: a value is invalid.
    """

    limits: Limits = DEFAULT_LIMITS
    text_errors: TextErrors = "strict"
    unknown: UnknownFields = "drop"
    filters: Sequence[ServerFilter] = ()
    validate: bool = False
    workers: int = 0
    max_queued: int = 1024
    max_decoded_queued: int = 512 << 20
    max_in_flight: int = 8192
    max_in_flight_per_connection: int = 256
    max_connections: int = 65536
    high_water: int = 1 << 20
    timeout: float = 60.0
    idle_timeout: float = 3600.0
    message_timeout: float = 60.0
    write_timeout: float = 60.0
    drain_s: float = 0.25
    grace_s: float = 10.0
    backlog: int = 1024
    reuse_port: bool = False
    protocols: Sequence[str] | None = None
    http: bool | Http | None = None
    tls: Tls | None = None
    registry: str | Registry | None = None
    instance: InstanceOptions = {}
    guards: Mapping[str, Any] = {}
    config: Any = None
    listeners: Sequence[Listener] = ()
    admin: str | int | Admin | None = None
    health: Mapping[str, HealthCheck] = {}
    metrics: bool | None = None
    core: Sequence[str] = ()
    apdex: float = 0.5

    @property
    def is_measured(self) -> bool:
        """Whether calls are measured."""
        return self.metrics if self.metrics is not None else self.admin is not None

    @property
    def reading(self) -> Limits:
        """Limits with the options for reading requests.

        Raises:
            ConfigurationError: `text_errors` or `unknown` is invalid.
        """
        return with_options(self.limits, self.text_errors, self.unknown)

    def __post_init__(self) -> None:
        for name, (kind, is_fine) in _RULES.items():
            value: object = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not is_fine(value):  # type: ignore[arg-type]
                raise ConfigurationError(f"{name}: must be {kind}, got {value!r}")
        for name, (what, kinds) in _KINDS.items():
            if not isinstance(getattr(self, name), kinds):
                raise ConfigurationError(f"{name}: must be {what}, got {getattr(self, name)!r}")
        names = cast("Sequence[object]", self.protocols or ())
        if not all(isinstance(each, str) for each in names):
            raise ConfigurationError(f"protocols: must be a list of names, got {names!r}")
        for each in self.filters:
            if not callable(each):
                raise ConfigurationError(f"filters: must be `async (call, next) -> result` functions, got {each!r}")
        _ = self.reading
        check_health(self.health)
        if admin_options(self.admin) is None and self.health:
            raise ConfigurationError("health: the checks need the admin port; set admin=9901, or another port")


def _is_count(value: float) -> bool:
    return isinstance(value, int) and value >= 1


def _is_count_or_none(value: float) -> bool:
    return isinstance(value, int) and value >= 0


def _is_time_or_none(value: float) -> bool:
    return value == 0 or is_duration(value)


def _is_backlog(value: float) -> bool:
    return isinstance(value, int) and 1 <= value <= 65535


_COUNT = ("an integer of at least 1", _is_count)
_COUNT_OR_NONE = ("an integer of at least 0", _is_count_or_none)
_TIME = (f"between {SHORTEST:g} and {LONGEST:.0f} seconds", is_duration)
_TIME_OR_NONE = (f"{_TIME[0]}, or 0 to disable it", _is_time_or_none)

_KINDS: Final[dict[str, tuple[str, tuple[type, ...]]]] = {
    "core": ("a list", (list, tuple)),
    "filters": ("a list", (list, tuple)),
    "guards": ("a dict", (dict,)),
    "health": ("a dict", (dict,)),
    "http": ("True, False, None or an `idlrt.Http`", (bool, Http, type(None))),
    "instance": ("a dict", (dict,)),
    "listeners": ("a list", (list, tuple)),
    "limits": ("an `idlrt.Limits`", (Limits,)),
    "protocols": ("a list of names", (list, tuple, type(None))),
    "metrics": ("True, False or None", (bool, type(None))),
    "reuse_port": ("True or False", (bool,)),
    "tls": ("an `idlrt.Tls`", (Tls, type(None))),
    "validate": ("True or False", (bool,)),
}

_RULES: Final[dict[str, tuple[str, Callable[[float], bool]]]] = {
    "workers": _COUNT_OR_NONE,
    "max_queued": _COUNT_OR_NONE,
    "max_decoded_queued": _COUNT,
    "max_in_flight": _COUNT,
    "max_in_flight_per_connection": _COUNT,
    "max_connections": _COUNT,
    "high_water": _COUNT,
    "apdex": _TIME,
    "timeout": _TIME,
    "idle_timeout": _TIME_OR_NONE,
    "message_timeout": _TIME_OR_NONE,
    "write_timeout": _TIME_OR_NONE,
    "drain_s": _TIME_OR_NONE,
    "grace_s": _TIME_OR_NONE,
    "backlog": ("an integer between 1 and 65535", _is_backlog),
}

SERVER_DEFAULTS: Final[Mapping[str, object]] = msgspec.structs.asdict(Settings())
"""Defaults of `ServerOptions`, for the signatures of server classes."""
