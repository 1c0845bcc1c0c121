"""Base of blocking and asyncio clients: options, and the start of a call."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, Unpack

from idlrt.client.arguments import bind_arguments
from idlrt.client.assemble import assemble
from idlrt.client.call_planner import CallPlanner, Plan
from idlrt.client.options import (
    CONNECT_DEFAULTS,
    CallOptions,
    ConnectOptions,
    ConnectSettings,
    layer_of,
    read_options,
)
from idlrt.client.stats import ClientStats, PoolStats, endpoint_stats, total
from idlrt.client.target import resolve_protocol
from idlrt.client.transport_factory import Settings
from idlrt.core import (
    Call,
    CallNext,
    Deadline,
    Driver,
    Filter,
    current_call,
)
from idlrt.core.keyword_options import check_names, documented
from idlrt.errors import ConfigurationError, DeadlineExceeded
from idlrt.net.tls import Tls
from idlrt.serialization.options import with_options
from idlrt.spec import Method, Service

__all__ = ["ClientBase", "connect_settings", "service_name"]

P = ParamSpec("P")
R = TypeVar("R")


class ClientBase:
    """Base of blocking and asyncio clients, which `connect` creates."""

    __thrift_service__: Service
    # Default of the option, which depends on how the calls of a connection are sent.
    _calls_per_connection: ClassVar[int]

    def __init__(
        self,
        transport: CallNext,
        driver: Driver,
        target: str,
        options: CallOptions,
        filters: Sequence[Filter],
        planner: CallPlanner | None,
    ) -> None:
        self._target = target
        self._driver = driver
        self._now = driver.now
        if planner is None:
            planner = CallPlanner(base=lambda plan: transport)
        self._planner = planner
        # Without filters a call goes straight to its plan.
        self._call_next = assemble(filters, planner.make_call) if filters else None
        self._set(options)

    def _set(self, options: CallOptions) -> None:
        read_options(options)
        self._options = options
        self._options_layer = layer_of(options)
        self._plans: dict[Method[..., Any], Plan] = {}
        self._metadata = dict(options.get("metadata", {}))
        self._tag = options.get("tag")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target}>"

    def _stats_of(self, found: PoolStats) -> ClientStats:
        if isinstance(found, ClientStats):
            return found
        address = self._target.removeprefix("tcp://")
        return total((endpoint_stats(address, address, found),))

    @classmethod
    @documented(ConnectOptions, CONNECT_DEFAULTS)
    def connect(cls, target: str, **options: Unpack[ConnectOptions]) -> Self:
        """Return a client of the server or the service at `target`. The first calls establish the connections.

        Args:
            target: a server, `tcp://host:port`, `host:port` or `unix:/path`; several servers,
                `tcp://h1:9090,h2:9090`; a server of HTTP, `http://host:port/prefix` or `https://...`; or a service of a
                registry, as in `embedded://127.0.0.1:7400/UserService?group=blue`. See `idlrt.client.target`.
            options: see `ConnectOptions`.

        Raises:
            ConfigurationError: the target or an option is invalid.
            TypeError: an option does not exist.
        """
        target, settings = connect_settings(cls, target, options, cls._calls_per_connection)
        return cls._open(target, settings)

    @classmethod
    def _open(cls, target: str, settings: Settings) -> Self:
        """Return a client over the transport of its kind."""
        raise NotImplementedError

    @documented(CallOptions)
    def using(self, **options: Unpack[CallOptions]) -> Self:
        """Return the same client, over the same connections, with other options for its calls.

        Closing one of the two closes both.

        Args:
            options: see `CallOptions`. Options that are not given keep their values.

        Raises:
            ConfigurationError: an option does not exist, or its value is invalid.
        """
        other = copy.copy(self)
        other._set({**self._options, **options})
        return other

    def _begin(self, method: Method[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Call:
        """Create a call, to be passed to `_call_next` or, without filters, to its plan."""
        if named or len(arguments) != len(method.arguments):
            arguments = bind_arguments(method, arguments, named)
        plan = self._plans.get(method)
        if plan is None or plan.version != self._planner.version:
            plan = self._plans[method] = self._planner.plan(method, self._options_layer)
        policy = plan.policy
        timeout, outer = policy.timeout, current_call()
        attempt, tag = 0, self._tag
        if outer is not None and not outer.is_answered:
            # A nested call must not outlive the deadline of the call that makes it.
            timeout = min(timeout, outer.remaining())
            if timeout <= 0:
                what = f"cannot call {method.full_name} at {self._target}"
                raise DeadlineExceeded(f"{what}: the deadline of the outer call {outer.method.full_name} has passed")
            # Inherited from the outer call: the routing tag, and whether it is a retry.
            attempt = outer.context.attempt
            if tag is None:
                tag = outer.context.tag
        now = self._now()
        call = Call(
            method,
            arguments,
            self._target,
            Deadline(now + timeout, timeout),
            self._driver,
            self._metadata.copy(),  # a filter may add to it
            self._options,
            policy,
            (),
            plan,
            attempt,
            tag or "",
            self._planner.caller,
        )
        if plan.tracer is not None:
            plan.tracer.begin_client(call, outer, now)
        return call


def connect_settings(
    client: type[ClientBase], target: str, options: ConnectOptions, calls_per_connection: int
) -> tuple[str, Settings]:
    """Return the target of `connect`, without the name of a protocol, and the settings of the client.

    Args:
        calls_per_connection: default of that option.

    Raises:
        ConfigurationError: the value of an option is invalid.
        TypeError: an option does not exist.
    """
    check_names(f"{client.__name__}.connect", options, ConnectOptions.__annotations__)
    given: dict[str, Any] = {**options}
    if given.get("calls_per_connection") is None:
        given["calls_per_connection"] = calls_per_connection
    checked = ConnectSettings(**given)
    resolved = resolve_protocol(target, options.get("framing"), options.get("protocol"))
    if resolved.is_encrypted and checked.tls is None:
        given["tls"] = Tls()
    elif resolved.is_encrypted is False and checked.tls is not None:
        raise ConfigurationError(f"target {target!r} selects no TLS, but tls= is set; connect to https://...")
    given["limits"] = with_options(checked.limits, checked.text_errors, checked.unknown)
    own = client.__thrift_service__.name
    service = service_name(client, checked.multiplexed)
    settings = Settings(**given, rpc=resolved.protocol, wire=resolved.options, service=service, idl_service=own)
    return resolved.target, settings


def service_name(client: type[ClientBase], multiplexed: object) -> str:
    """Return the name of a client's service on a server with several; empty for a server with one.

    Raises:
        ConfigurationError: the name is invalid.
    """
    if multiplexed is False:
        return ""
    name = client.__thrift_service__.name if multiplexed is True else multiplexed
    if not isinstance(name, str) or not name or ":" in name:
        raise ConfigurationError(f"multiplexed must be True, False or the name of a service, got {multiplexed!r}")
    return name
