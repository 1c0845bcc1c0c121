"""The one place that knows kazoo: it is imported, made, started and stopped here, and its errors become ours.

kazoo has no types and works in threads of its own; what comes out of here has types, and is called on those threads.
It is imported when it is first needed: that takes a tenth of a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, cast

from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError, RegistryRefused, RegistryUnavailable

__all__ = ["Conflict", "Disconnected", "NoNode", "check_kazoo", "make_acl", "make_client", "stop_client", "translated"]


class Disconnected(RegistryUnavailable):
    """The connection broke. The session may be good still, and what was asked for may have been done."""


class NoNode(Exception):
    """There is no such node."""


class Conflict(Exception):
    """A node is not as was thought: there already, gone, changed. Nothing was done; look again."""


# With which kazoo's handlers connect.
_CONNECT: Final = "create_connection"
# Attempts to connect for which the timeout of a session is enough, each with a server that does not answer.
_HANDSHAKES: Final = 3
# The first class in an error's ancestry that is named here decides.
_ERRORS: Final[dict[str, type[Exception]]] = {
    "NoNodeError": NoNode,
    "NodeExistsError": Conflict,
    "BadVersionError": Conflict,
    "NotEmptyError": Conflict,
    "RolledBackError": Conflict,
    "RuntimeInconsistency": Conflict,
    "NoAuthError": RegistryRefused,
    "AuthFailedError": RegistryRefused,
    "InvalidACLError": RegistryRefused,
    "NoChildrenForEphemeralsError": RegistryRefused,
    "BadArgumentsError": RegistryRefused,
    "UnimplementedError": RegistryRefused,
    "SessionExpiredError": Disconnected,
    "ConnectionClosedError": Disconnected,
    "ConnectionLoss": Disconnected,
}
_WHAT: Final = {
    "NoAuthError": "not allowed: give a user and password that may, as in zookeeper://user:password@host",
    "AuthFailedError": "the user and password are not taken",
    "ConnectionLoss": "the connection broke",
    "SessionExpiredError": "the session is over",
    "ConnectionClosedError": "the connection is closed",
}


def translated(error: BaseException, what: str) -> Exception:
    """kazoo's `error`, which came of doing `what`, as one of ours."""
    for each in type(error).__mro__:
        if each.__name__ in _ERRORS:
            reason = _WHAT.get(each.__name__) or str(error) or each.__name__
            return _ERRORS[each.__name__](f"cannot {what}: {reason}")
    return RegistryUnavailable(f"cannot {what}: {error or type(error).__name__}")


def check_kazoo() -> None:
    """See that kazoo is installed.

    Raises:
        ConfigurationError: it is not.
    """
    if find_spec("kazoo") is None:
        raise ConfigurationError("a registry in ZooKeeper needs kazoo: pip install idlc[zookeeper]")


def make_client(
    hosts: Sequence[str],
    timeout: float,
    login: str,
    changed: Callable[[str, int | None], object],
    negotiated: Callable[[float], object],
) -> Any:
    """A client that has begun to connect, and tries until it is stopped.

    Args:
        hosts: as `host:port`.
        timeout: of the session, in seconds.
        login: `user:password`, or empty.
        changed: is told of `CONNECTED`, `SUSPENDED` and `LOST`, with the session's number; on a thread of kazoo's.
        negotiated: is told how many seconds the server makes of `timeout`; likewise.
    """
    handler = import_module("kazoo.handlers.threading").SequentialThreadingHandler()
    connect = getattr(handler, _CONNECT)

    def connect_soon(*arguments: Any, **options: Any) -> Any:
        # kazoo would wait a whole session for one host that does not answer before it tries the next.
        options["timeout"] = timeout / max(len(hosts), 2)
        return connect(*arguments, **options)

    setattr(handler, _CONNECT, connect_soon)
    client = import_module("kazoo.client").KazooClient(
        hosts=",".join(hosts),
        timeout=timeout,
        handler=handler,
        auth_data=[("digest", login)] if login else None,
        connection_retry={"max_tries": -1, "delay": 0.05, "backoff": 1.6, "max_delay": 1.0},
        logger=_Quiet(get_logger("idlrt.registry.zookeeper"), {}),
    )
    _hear_of_timeout(client, negotiated)
    _bound_handshake(client, timeout / _HANDSHAKES)

    def listener(state: str) -> None:
        identity = client.client_id
        changed(str(state), identity[0] if identity is not None else None)

    client.add_listener(listener)
    client.start_async()
    return client


def _hear_of_timeout(client: Any, negotiated: Callable[[float], object]) -> None:
    """kazoo keeps what the server makes of the time-out to itself: the connection returns two thirds of it."""
    connection = getattr(client, "_connection", None)
    connect = getattr(connection, "_connect", None)
    if connect is None:  # another kazoo: what was asked for must do
        return

    def heard(*arguments: Any) -> Any:
        times = connect(*arguments)
        negotiated(times[0] * 1.5 / 1000)
        return times

    cast("Any", connection)._connect = heard


def _bound_handshake(client: Any, seconds: float) -> None:
    """Have kazoo wait at most `seconds` for each answer of a handshake.

    With one host kazoo waits the whole session for a server that accepts the connection and does not answer, as one
    that is starting may do, and does not connect again before.
    """
    connection = getattr(client, "_connection", None)
    invoke = getattr(connection, "_invoke", None)
    if invoke is None:  # another kazoo: its own limits must do
        return

    def invoke_soon(timeout: float, *arguments: Any, **options: Any) -> Any:
        return invoke(min(timeout, seconds), *arguments, **options)

    cast("Any", connection)._invoke = invoke_soon


def stop_client(client: Any, done: Callable[[], object]) -> None:
    """End a client's session, if its server can be reached, on a thread: kazoo may wait for seconds."""

    def stop() -> None:
        try:
            client.stop()
            client.close()
        except Exception as error:  # noqa: BLE001  # nobody can do anything about it; the session ends by itself
            get_logger("idlrt.registry.zookeeper").debug("could not end a session: %s", error)
        finally:
            done()

    threading.Thread(target=stop, name="idlrt zookeeper end", daemon=True).start()


def make_acl(kind: str, networks: Sequence[str] = ()) -> Any:
    """Who may do what with new nodes: `open` all, `digest` those who know the password, `ip` those who come from
    `networks`; the others may read.
    """
    if kind == "open":
        return None
    security = import_module("kazoo.security")
    if kind == "ip":
        return [*(security.make_acl("ip", each, all=True) for each in networks), *security.READ_ACL_UNSAFE]
    return [*security.CREATOR_ALL_ACL, *security.READ_ACL_UNSAFE]


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """kazoo warns of each attempt to connect; the registry's engine says it once, and better."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        super().log(logging.DEBUG if level < logging.ERROR else level, msg, *args, **kwargs)

    def warn(self, msg: object, *args: Any, **kwargs: Any) -> None:
        self.log(logging.WARNING, msg, *args, **kwargs)
