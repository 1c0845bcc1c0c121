"""Serving: a selector loop, asyncio or several processes, and what answers calls on each connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idlrt.server.access import TOKEN, allow_addresses, require_token
from idlrt.server.routes import ServerEndpoint, ServerFilter
from idlrt.server.server import Server
from idlrt.server.settings import ServerOptions

if TYPE_CHECKING:
    from idlrt.server.aio import AsyncServer
    from idlrt.server.processes import ProcessServer

__all__ = [
    "TOKEN",
    "AsyncServer",
    "ProcessServer",
    "Server",
    "ServerEndpoint",
    "ServerFilter",
    "ServerOptions",
    "allow_addresses",
    "require_token",
]


def __getattr__(name: str) -> Any:
    # Importing asyncio takes tens of milliseconds, and blocking programs do not need it.
    if name == "AsyncServer":
        from idlrt.server.aio import AsyncServer

        return AsyncServer
    if name == "ProcessServer":
        from idlrt.server.processes import ProcessServer

        return ProcessServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
