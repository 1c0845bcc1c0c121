"""Settings of servers, whatever their kind: what there is, what is used if nothing is said, what makes no sense."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

import msgspec

from idlrt.core import LONGEST, SHORTEST, Listener, is_duration
from idlrt.errors import ConfigurationError
from idlrt.net.tls import Tls
from idlrt.serialization.base import DEFAULT_LIMITS, Limits
from idlrt.serialization.options import TextErrors, UnknownFields, with_options
from idlrt.server.routes import ServerFilter

if TYPE_CHECKING:
    from idlrt.config import ServerConfig
    from idlrt.registry import Registry
    from idlrt.server.presence import InstanceOptions

__all__ = ["ServerOptions", "Settings"]


class ServerOptions(TypedDict, total=False):
    """Options of a server. Times are in seconds; a timeout of 0 is none.

    Attributes:
        limits: what a client may send.
        text_errors: what happens to a `string` in a call that is not UTF-8. `strict`: the call is refused. `replace`:
            U+FFFD stands for what is wrong. `surrogateescape`: wrong bytes become lone surrogates (PEP 383), and are
            sent as those bytes again in answers of this server, and by clients that are told the same.
        unknown: what happens to fields of structs that only a newer client knows. `drop`: they are left out. `keep`:
            they stay with the struct, and are sent with it again in answers of this server, and by clients that are
            told the same. A relay says so to both. What a union does not know is kept in any case.
        filters: what stands in a call's way to its handler, the outermost first: `async (call, next) -> result`. With
            one that awaits anything but `next(call)` all of them run on the server's event loop.
        workers: threads for plain handlers. 0: they run on the server's own thread, one at a time, which is fastest
            for handlers that never wait.
        max_queued: calls that may wait for a worker; more are refused as `Overloaded`.
        max_decoded_queued: bytes of memory that the arguments of such calls may take together, waiting ones included;
            more are refused. One call is taken whatever it takes: what it may take is bounded by `limits`.
        max_in_flight: calls of workers and `async` handlers that may be unanswered at the same time; more are refused.
        max_in_flight_per_connection: calls of one connection that may be unanswered; more are not read.
        max_connections: that may be open; more wait until one is closed.
        high_water: bytes of answers that a client may leave unread before it is not read from any more.
        timeout: for which a call is cared for whose caller did not say how long it waits.
        idle_timeout: after which a connection without calls is closed.
        message_timeout: within which a message that has begun to arrive has to be complete.
        write_timeout: for which a client may take none of its answers.
        drain_s: for which clients that have open connections are told to go elsewhere, before a stop closes them.
        grace_s: that calls under way get when the server is stopped.
        backlog: connections that may wait to be accepted.
        reuse_port: let several processes listen on one port (`SO_REUSEPORT`).
        protocols: names of the protocols that it speaks on its one port, in the order in which they are recognized by
            their first bytes; `None`: those of this package, then all others that are installed.
        tls: speak TLS, with this certificate; with `authorities` clients have to show one too (mutual TLS).
        registry: where clients find it, as a URL (`embedded://127.0.0.1:7400`, `zookeeper://...`) or a `Registry`. It
            is registered when it serves, and taken away before it stops.
        instance: what it says of itself there.
        guards: what stands behind the filters, by name (`idlrt.guards`), as `{"limiter": {"rate": 100}, "shedder":
            {}}`; `{"methods": {"find": {"bulkhead": {"calls": 4}}}}` for one method. They say more than the
            configuration.
        config: a configuration file, or the same as nested tables, of which the table `server` holds; `None`: the file
            that the environment variable `IDLRT_CONFIG` names, if there is one.
        listeners: are told of the decisions of guards (`idlrt.core.decisions`).
    """

    limits: Limits
    text_errors: TextErrors
    unknown: UnknownFields
    filters: Sequence[ServerFilter]
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
    tls: Tls | None
    registry: str | Registry | None
    instance: InstanceOptions
    guards: Mapping[str, Any]
    config: ServerConfig
    listeners: Sequence[Listener]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`ServerOptions`, whole and looked at. The defaults are here.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    limits: Limits = DEFAULT_LIMITS
    text_errors: TextErrors = "strict"
    unknown: UnknownFields = "drop"
    filters: Sequence[ServerFilter] = ()
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
    tls: Tls | None = None
    registry: str | Registry | None = None
    instance: InstanceOptions = {}
    guards: Mapping[str, Any] = {}
    config: Any = None
    listeners: Sequence[Listener] = ()

    @property
    def reading(self) -> Limits:
        """The limits, with the options of reading.

        Raises:
            ConfigurationError: an option is not of its kind.
        """
        return with_options(self.limits, self.text_errors, self.unknown)

    def __post_init__(self) -> None:
        for name, (kind, is_fine) in _RULES.items():
            value: object = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not is_fine(value):  # type: ignore[arg-type]
                raise ConfigurationError(f"{name} of a server must be {kind}, not {value!r}")
        for name, (what, kinds) in _KINDS.items():
            if not isinstance(getattr(self, name), kinds):
                raise ConfigurationError(f"{name} of a server must be {what}, not {getattr(self, name)!r}")
        names = cast("Sequence[object]", self.protocols or ())
        if not all(isinstance(each, str) for each in names):
            raise ConfigurationError(f"protocols of a server must be a list of names, not {names!r}")
        for each in self.filters:
            if not callable(each):
                raise ConfigurationError(f"a filter is an `async (call, next) -> result`, not {each!r}")
        _ = self.reading


def _is_count(value: float) -> bool:
    return isinstance(value, int) and value >= 1


def _is_count_or_none(value: float) -> bool:
    return isinstance(value, int) and value >= 0


def _is_time_or_none(value: float) -> bool:
    return value == 0 or is_duration(value)


def _is_backlog(value: float) -> bool:
    return isinstance(value, int) and 1 <= value <= 65535


_COUNT = ("a whole number of 1 or more", _is_count)
_COUNT_OR_NONE = ("a whole number of 0 or more", _is_count_or_none)
_TIME = (f"between {SHORTEST:g} and {LONGEST:.0f} seconds", is_duration)
_TIME_OR_NONE = (f"{_TIME[0]}, 0 for none", _is_time_or_none)

_KINDS: Final[dict[str, tuple[str, tuple[type, ...]]]] = {
    "filters": ("a list", (list, tuple)),
    "guards": ("a dict", (dict,)),
    "instance": ("a dict", (dict,)),
    "listeners": ("a list", (list, tuple)),
    "limits": ("idlrt.Limits", (Limits,)),
    "protocols": ("a list of names", (list, tuple, type(None))),
    "reuse_port": ("true or false", (bool,)),
    "tls": ("idlrt.Tls", (Tls, type(None))),
}

_RULES: Final[dict[str, tuple[str, Callable[[float], bool]]]] = {
    "workers": _COUNT_OR_NONE,
    "max_queued": _COUNT_OR_NONE,
    "max_decoded_queued": _COUNT,
    "max_in_flight": _COUNT,
    "max_in_flight_per_connection": _COUNT,
    "max_connections": _COUNT,
    "high_water": _COUNT,
    "timeout": _TIME,
    "idle_timeout": _TIME_OR_NONE,
    "message_timeout": _TIME_OR_NONE,
    "write_timeout": _TIME_OR_NONE,
    "drain_s": _TIME_OR_NONE,
    "grace_s": _TIME_OR_NONE,
    "backlog": ("a whole number from 1 to 65535", _is_backlog),
}
