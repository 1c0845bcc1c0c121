"""Options of clients: what `connect` and `using` take, with types, defaults and documentation in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict, cast

import msgspec

from idlrt.balance import BALANCERS
from idlrt.client.call_planner import Metrics
from idlrt.client.ping import PING_TIMEOUT
from idlrt.config import ClientConfig, Layer, Problem, check, flatten, invalid
from idlrt.config.schema import locate, section
from idlrt.core import LONGEST, SHORTEST, Filter, Listener, is_duration
from idlrt.core.keyword_options import suggestion
from idlrt.core.renamed import warn_renamed
from idlrt.errors import ConfigurationError
from idlrt.fault import FAULT_MODES, OnDone, OnFailure
from idlrt.net.tls import Tls
from idlrt.serialization.base import DEFAULT_LIMITS, Limits
from idlrt.serialization.options import TextErrors, UnknownFields

__all__ = [
    "CALLS_PER_CONNECTION",
    "CONNECT_DEFAULTS",
    "MAX_CONNECTIONS",
    "CallOptions",
    "ConnectOptions",
    "ConnectSettings",
    "check_seconds",
    "layer_of",
    "read_options",
    "values_of",
]


MAX_CONNECTIONS: Final = 16
"""Default number of connections to a server, for one call each."""


CALLS_PER_CONNECTION: Final = 4096
"""Default number of concurrent calls on a connection that calls share."""


class ConnectOptions(TypedDict, total=False):
    """Options of `connect`. Times are in seconds.

    Attributes:
        timeout: timeout of a call as a whole. `None`, the default: the value of the configuration, the registry or the
            IDL, else 5.
        connect_timeout: timeout for establishing a connection, within that of the call. Default: 3.
        framing: format of Thrift messages that the server reads: `framed`, `unframed`, `header` (carries metadata) or
            `header_zlib` (also compresses); servers of this package read all of them. `auto` probes the server with
            pings before the first call. `None`, the default: the best one that an instance announces in its registry,
            preferably `header`; `framed` for servers at addresses.
        protocol: serialization of Thrift messages: `binary`, `compact` or `json`; or the name of another RPC protocol:
            `protocol="jsonrpc"` is equivalent to the target `jsonrpc://host:port`, and `protocol="http"` to
            `http://host:port`. `None`, the default: what an instance announces in its registry; `binary` for servers at
            addresses.
        multiplexed: name of the service on a server with several services; `True`: its name in the IDL. Default:
            `False`, for a server with one service.
        limits: limits on the size, depth and memory of responses. Default: `idlrt.Limits()`.
        text_errors: handling of a `string` in a response that is not UTF-8: `strict`, the default, fails the call;
            `replace` and `surrogateescape` are described in `idlrt.codec`.
        unknown: handling of struct fields in a response that the client's IDL does not have: `drop`, the default, or
            `keep`; see `idlrt.codec`.
        filters: client filters, `async (call, next) -> result`, the outermost first. Default: none.
        max_connections: maximum number of open connections to a server; further calls wait for one. Default: 16 for
            blocking clients; for asyncio clients 1, or 16 with protocols that carry one call at a time per connection.
        calls_per_connection: maximum number of concurrent calls on a connection. Default: 1 for blocking clients, 4096
            for asyncio clients. Sharing a connection suits servers that respond in any order (`framing="header"` of
            this package). Other servers respond in the order of the calls, and a slow call delays those behind it: set
            1 for them, with enough `max_connections`.
        ping_after: idle time after which a connection is checked with a ping before its next call, and replaced if no
            response arrives within `ping_timeout`. Default: 10; `None` disables it.
        ping_timeout: timeout of such a ping, and of each probe of `framing="auto"`; at most half of the remaining time
            of the call. Default: 1.
        heartbeat: idle time after which an instance of a registry is checked with a ping; without a response it
            receives no calls until it responds to a ping. Default: 1; `None` disables it.
        tls: TLS settings: trusted authorities and, for mutual TLS, a certificate. `idlrt.Tls()` trusts the authorities
            of the system. `None`, the default: no TLS; for targets `https://...`, `idlrt.Tls()`.
        policy: call settings by key, nested as in `{"fault": "hedge", "hedge": {"delay": 0.02}}` or dotted;
            `idlrt config keys` lists them. Default: none.
        config: configuration file, or its contents as nested tables (`idlrt.config.read`). `None`, the default: the
            file named by the environment variable `IDLRT_CONFIG`, if it is set.
        listeners: functions that receive all decisions about calls and instances (`idlrt.core.decisions`). Default:
            none.
        metrics: whether to measure calls, their attempts, connections and decisions (`idlrt.observe`); `instances`
            measures attempts by instance, too. `None`, the default: if the process has a server that measures, if
            `idlrt.observe.enable()` was called, or if the environment variable `IDLRT_METRICS` is set.
    """

    timeout: float | None
    connect_timeout: float
    framing: str | None
    protocol: str | None
    multiplexed: bool | str
    limits: Limits
    text_errors: TextErrors
    unknown: UnknownFields
    filters: Sequence[Filter]
    max_connections: int | None
    calls_per_connection: int | None
    ping_after: float | None
    ping_timeout: float
    heartbeat: float | None
    tls: Tls | None
    policy: Mapping[str, Any] | None
    config: ClientConfig
    listeners: Sequence[Listener]
    metrics: Metrics


class ConnectSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`ConnectOptions` with defaults, validated.

    Raises:
        ConfigurationError: a value is invalid.
    """

    timeout: float | None = None
    connect_timeout: float = 3.0
    framing: str | None = None
    protocol: str | None = None
    multiplexed: bool | str = False
    limits: Limits = DEFAULT_LIMITS
    text_errors: TextErrors = "strict"
    unknown: UnknownFields = "drop"
    filters: Sequence[Filter] = ()
    max_connections: int | None = None
    # `Client` and `AsyncClient` replace `None` by their defaults before this class is used.
    calls_per_connection: int = 1
    ping_after: float | None = 10.0
    ping_timeout: float = PING_TIMEOUT
    heartbeat: float | None = 1.0
    tls: Tls | None = None
    policy: Mapping[str, Any] | None = None
    config: ClientConfig = None
    listeners: Sequence[Listener] = ()
    metrics: Metrics = None

    def __post_init__(self) -> None:
        given: dict[str, object] = {name: getattr(self, name) for name in ("tls", "limits")}
        if not isinstance(given["tls"], Tls | None):
            raise ConfigurationError(
                f"tls must be idlrt.Tls, got {given['tls']!r}; Tls() trusts the system's authorities"
            )
        if not isinstance(given["limits"], Limits):
            raise ConfigurationError(f"limits must be idlrt.Limits, got {given['limits']!r}")
        measured: object = getattr(self, "metrics")  # noqa: B009  # type checkers know its type
        if measured not in (True, False, None, "instances"):
            raise ConfigurationError(f"metrics must be True, False, None or 'instances', got {measured!r}")
        for name in ("max_connections", "calls_per_connection"):
            value: object = getattr(self, name)
            if value is None and name == "max_connections":
                continue  # the default depends on the protocol
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {value!r}")
        for name in ("connect_timeout", "ping_timeout"):
            check_seconds(name, getattr(self, name))
        for name in ("ping_after", "heartbeat"):
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name))


class CallOptions(TypedDict, total=False):
    """Options of calls, for `client.using(...)`. Times are in seconds.

    Attributes:
        timeout: timeout of a call as a whole. A nested call, which a handler makes, also ends at the deadline of the
            call that the handler serves.
        attempt_timeout: timeout of one attempt of a call that may be retried. `None`: the remaining time of the call.
        metadata: text by name, sent with each call; handlers read it with `idlrt.request_metadata()`. Not every
            protocol carries metadata; Thrift does with `framing="header"`, the default for instances of a registry that
            read it. If a server's protocol does not, calls raise `ConfigurationError` and nothing is sent.
        tag: routing tag of the calls (gray release). Nested calls inherit it; an empty tag clears it.
        retries: maximum number of retries on other instances of a service in a registry, from 0 to 100; 0 disables.
            Calls are retried if no server has processed them, or if the method is idempotent. Default: 2.
        balancer: algorithm that picks an instance of such a service: `p2c` (the default), `least_requests`,
            `least_connections`, `random`, `weighted_random`, `round_robin`, `weighted_round_robin`, `consistent_hash`,
            `maglev`, `modulo`, or another of `idlrt.balance.BALANCERS`.
        hash_key: key of `consistent_hash`, `maglev` and `modulo`: calls with the same key go to the same instance.
            Default: the first argument.
        fault: fault mode, the reaction to a failed call: `failover` (the default), `failfast`, `failsafe`, `failback`,
            `failcache`, `forking`, `broadcast`, `available`, `hedge`, `stale`, or another of `idlrt.fault.FAULT_MODES`.
        idempotent: whether calls are safe to retry when their outcome is unknown; overrides the IDL.
        on_failure: function called with each failure, with `fault="failback"`; it decides what follows.
        on_done: function called with the outcome of each deferred call, with `fault="failcache"`.
        policy: other call settings by key, nested as in `{"hedge": {"delay": 0.02}}` or dotted; `idlrt config keys`
            lists them.
    """

    timeout: float
    attempt_timeout: float | None
    metadata: Mapping[str, str]
    tag: str
    retries: int
    balancer: str
    hash_key: str | int | bytes
    fault: str
    idempotent: bool
    on_failure: OnFailure
    on_done: OnDone
    policy: Mapping[str, Any]


# Options that are configuration keys, too.
_KEYS: Final = ("timeout", "attempt_timeout", "retries", "balancer", "fault", "idempotent")


def read_options(options: CallOptions) -> None:
    """Validate options of calls.

    Raises:
        ConfigurationError: an option does not exist, or its value is invalid.
    """
    known = CallOptions.__annotations__
    given = cast("Mapping[str, Any]", options)
    for name in options:
        if name not in known:
            raise ConfigurationError(f"using() has no option {name!r}{suggestion(name, known)}")
    if "timeout" in options:
        check_seconds("timeout", options["timeout"])
    if given.get("attempt_timeout") is not None:
        check_seconds("attempt_timeout", given["attempt_timeout"])
    if "metadata" in options:
        _check_metadata(options["metadata"])
    if not isinstance(given.get("tag", ""), str):
        raise ConfigurationError(f"tag must be a string, got {given['tag']!r}")
    if "balancer" in options:
        BALANCERS.get(options["balancer"])
    if "fault" in options:
        FAULT_MODES.get(options["fault"])
    if "retries" in options:
        retries = cast("object", options["retries"])
        if not isinstance(retries, int) or isinstance(retries, bool) or not 0 <= retries <= 100:
            raise ConfigurationError(f"retries must be an integer from 0 to 100, got {retries!r}")
    if not isinstance(given.get("idempotent", False), bool):
        raise ConfigurationError(f"idempotent must be a bool, got {given['idempotent']!r}")
    for name in ("on_failure", "on_done"):
        if name in given and not callable(given[name]):
            raise ConfigurationError(f"{name} must be callable, got {given[name]!r}")


def values_of(policy: object, where: str) -> dict[str, Any]:
    """Return the settings of a policy by dotted keys. Old names of keys cause a `DeprecationWarning`.

    Raises:
        ConfigurationError: a key or a value is invalid.
    """
    if not isinstance(policy, Mapping):
        raise ConfigurationError(f"{where} must be a mapping of keys to values, got {policy!r}")
    values = flatten(cast("Mapping[str, Any]", policy))
    problems: list[Problem] = check(values)
    if problems:
        raise invalid(problems, where)
    warn_renamed(values, f"{where}: ")
    return values


def layer_of(options: CallOptions) -> Layer:
    """Return options of calls as a layer of configuration.

    Raises:
        ConfigurationError: a key or a value of their policy is invalid.
    """
    given = cast("Mapping[str, Any]", options)
    values = values_of(given["policy"], "policy") if given.get("policy") else {}
    for key in values:
        found = section(locate(key)[1])
        if found is not None and not found.is_per_method:
            what = f"policy: {key} applies to the whole service, not to single calls"
            raise ConfigurationError(f"{what}; set it with connect(policy=...)")
    for name in _KEYS:
        if name in given:
            values[name] = given[name]
    return Layer("using(...)", values)


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, Mapping):
        raise ConfigurationError(f"metadata must be a mapping of strings to strings, got {metadata!r}")
    for key, value in cast("Mapping[object, object]", metadata).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError(f"metadata must be a mapping of strings to strings, got {key!r}: {value!r}")


def check_seconds(name: str, seconds: object) -> None:
    """Check that `seconds` is a valid duration.

    Raises:
        ConfigurationError: it is not.
    """
    if not is_duration(seconds):
        raise ConfigurationError(f"{name} must be between {SHORTEST:g} and {LONGEST:.0f} seconds, got {seconds!r}")


CONNECT_DEFAULTS: Final[Mapping[str, object]] = {
    **msgspec.structs.asdict(ConnectSettings()),
    "calls_per_connection": None,
}
"""Defaults of `ConnectOptions`, for the signature of `connect`."""
