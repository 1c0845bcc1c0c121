"""Wrapper of kazoo: imports it, creates, starts and stops its clients, and translates its errors.

kazoo is untyped and calls back on its own threads; this module adds types, and its callbacks run on kazoo's threads as
well. kazoo is imported on first use, because the import takes a tenth of a second.
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
    """The connection was lost. The session may still be alive, and the request may have been executed."""


class NoNode(Exception):
    """The node does not exist."""


class Conflict(Exception):
    """A node is not in the expected state: it exists, is missing, or was changed. The transaction had no effect."""


# Method of kazoo's handlers that opens a connection.
_CONNECT: Final = "create_connection"
# Number of connection attempts to unresponsive servers that must fit into a session timeout.
_HANDSHAKES: Final = 3
# The first class in an exception's MRO that is listed here determines the translation.
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
    "NoAuthError": "permission denied; give a user with the permission, as in zookeeper://USER:PASSWORD@HOST",
    "AuthFailedError": "invalid user or password",
    "ConnectionLoss": "connection lost",
    "SessionExpiredError": "session expired",
    "ConnectionClosedError": "connection closed",
}


def translated(error: BaseException, what: str) -> Exception:
    """Translate an exception of kazoo, raised by the attempt to do `what`."""
    for each in type(error).__mro__:
        if each.__name__ in _ERRORS:
            reason = _WHAT.get(each.__name__) or str(error) or each.__name__
            return _ERRORS[each.__name__](f"cannot {what}: {reason}")
    return RegistryUnavailable(f"cannot {what}: {error or type(error).__name__}")


def check_kazoo() -> None:
    """Check that kazoo is installed.

    Raises:
        ConfigurationError: it is not.
    """
    if find_spec("kazoo") is None:
        raise ConfigurationError(
            "cannot use a ZooKeeper registry: kazoo is not installed; run pip install 'idlc[zookeeper]'"
        )


def make_client(
    hosts: Sequence[str],
    timeout: float,
    login: str,
    changed: Callable[[str, int | None], object],
    negotiated: Callable[[float], object],
) -> Any:
    """Create and start a client. It connects, and reconnects, until it is stopped.

    Args:
        hosts: servers as `host:port`.
        timeout: session timeout in seconds.
        login: `user:password`, or empty.
        changed: called with the state (`CONNECTED`, `SUSPENDED` or `LOST`) and the session id, on a thread of kazoo.
        negotiated: called with the session timeout that the server has granted, in seconds, on a thread of kazoo.
    """
    handler = import_module("kazoo.handlers.threading").SequentialThreadingHandler()
    connect = getattr(handler, _CONNECT)

    def connect_soon(*arguments: Any, **options: Any) -> Any:
        # kazoo would spend a whole session timeout on an unresponsive host before it tries the next.
        options["timeout"] = timeout / max(len(hosts), 2)
        return connect(*arguments, **options)

    setattr(handler, _CONNECT, connect_soon)
    client = import_module("kazoo.client").KazooClient(
        hosts=",".join(hosts),
        timeout=timeout,
        handler=handler,
        auth_data=[("digest", login)] if login else None,
        connection_retry={"max_tries": -1, "delay": 0.05, "backoff": 1.6, "max_delay": 1.0},
        logger=_QuietLogger(get_logger("idlrt.registry.zookeeper"), {}),
    )
    _report_negotiated_timeout(client, negotiated)
    _bound_handshake(client, timeout / _HANDSHAKES)

    def listener(state: str) -> None:
        identity = client.client_id
        changed(str(state), identity[0] if identity is not None else None)

    client.add_listener(listener)
    client.start_async()
    return client


def _report_negotiated_timeout(client: Any, negotiated: Callable[[float], object]) -> None:
    """Report the session timeout that the server grants. kazoo does not expose it; its connection returns two thirds of
    it.
    """
    connection = getattr(client, "_connection", None)
    connect = getattr(connection, "_connect", None)
    if connect is None:  # another version of kazoo: assume that the server grants what was requested
        return

    def connect_and_report(*arguments: Any) -> Any:
        times = connect(*arguments)
        negotiated(times[0] * 1.5 / 1000)
        return times

    cast("Any", connection)._connect = connect_and_report


def _bound_handshake(client: Any, seconds: float) -> None:
    """Limit the time that kazoo waits for each response of a handshake to `seconds`.

    With one host kazoo waits a whole session timeout for a server that accepts the connection and does not respond, as
    a server that is starting may do, before it reconnects.
    """
    connection = getattr(client, "_connection", None)
    invoke = getattr(connection, "_invoke", None)
    if invoke is None:  # another version of kazoo: its own limits apply
        return

    def invoke_soon(timeout: float, *arguments: Any, **options: Any) -> Any:
        return invoke(min(timeout, seconds), *arguments, **options)

    cast("Any", connection)._invoke = invoke_soon


def stop_client(client: Any, done: Callable[[], object]) -> None:
    """End a client's session, if its server can be reached. Runs on a thread, because kazoo may block for seconds."""

    def stop() -> None:
        try:
            client.stop()
            client.close()
        except Exception as error:  # noqa: BLE001  # the session expires anyway
            get_logger("idlrt.registry.zookeeper").debug("cannot end the session: %s", error)
        finally:
            done()

    threading.Thread(target=stop, name="idlrt zookeeper end", daemon=True).start()


def make_acl(kind: str, networks: Sequence[str] = ()) -> Any:
    """Build the ACL of new nodes. All permissions are granted with `open` to all clients, with `digest` to the user,
    with `ip` to clients in `networks`; the others may read.
    """
    if kind == "open":
        return None
    security = import_module("kazoo.security")
    if kind == "ip":
        return [*(security.make_acl("ip", each, all=True) for each in networks), *security.READ_ACL_UNSAFE]
    return [*security.CREATOR_ALL_ACL, *security.READ_ACL_UNSAFE]


class _QuietLogger(logging.LoggerAdapter[logging.Logger]):
    """Logger for kazoo that lowers warnings to debug: kazoo warns of each connection attempt; the engine logs once."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        super().log(logging.DEBUG if level < logging.ERROR else level, msg, *args, **kwargs)

    def warn(self, msg: object, *args: Any, **kwargs: Any) -> None:
        self.log(logging.WARNING, msg, *args, **kwargs)
