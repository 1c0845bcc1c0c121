"""Adapters: measure the clients of databases, caches and HTTP services, each instance that a program names.

Nothing is patched globally. Operations have names from fixed lists; values, keys and URLs are never recorded.
"""

from __future__ import annotations

from typing import TypeVar, cast

from idlrt.errors import ConfigurationError
from idlrt.observe.adapters.dbapi import is_connection, measured_connection
from idlrt.observe.adapters.httpx_transport import async_httpx_transport, httpx_transport
from idlrt.observe.adapters.redis_client import is_redis, measured_redis
from idlrt.observe.timed import checked_label

__all__ = ["async_httpx_transport", "httpx_transport", "instrument"]

T = TypeVar("T")


def instrument(client: T, *, system: str | None = None) -> T:
    """Measure all operations of a client, as a resource; return what to use instead of it.

    Clients of redis-py (`Redis`, blocking and asyncio, and pipelines) are changed and returned. Their operations are
    commands; a pipeline is one operation `PIPELINE`. Connections of a database (DB-API 2.0, such as `sqlite3`,
    `psycopg`, `pymysql`) are wrapped. Their operations are the first keywords of statements, `COMMIT` and `ROLLBACK`.

    Args:
        client: the client or connection.
        system: name of the resource. Default: `redis`, or the name of the module of a connection.

    Raises:
        ConfigurationError: objects of this kind are not supported, or not in the version of their library.
    """
    if system is not None:
        checked_label("resource", system)
    if is_redis(client):
        return cast("T", measured_redis(client, system or "redis"))
    if type(client).__module__.partition(".")[0] == "httpx":
        what = "pass the transport to it, as in httpx.Client(transport=observe.httpx_transport())"
        raise ConfigurationError(f"cannot instrument a client of httpx: {what}")
    if is_connection(client):
        return cast("T", measured_connection(client, system))
    kind = f"{type(client).__module__}.{type(client).__qualname__}"
    what = "supported are clients of redis-py and blocking connections of DB-API 2.0; use observe.resource for others"
    raise ConfigurationError(f"cannot instrument an object of class {kind}: {what}")
