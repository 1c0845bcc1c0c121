"""Servers: a selector loop, an asyncio event loop or several processes, with one session for each connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idlrt.exports import lazy_exports
from idlrt.server.access import TOKEN, allow_addresses, require_token
from idlrt.server.admin import Admin, HealthCheck
from idlrt.server.checks import check_constraints
from idlrt.server.method_table import ServerCallNext, ServerFilter
from idlrt.server.server import Server
from idlrt.server.settings import ServerOptions

if TYPE_CHECKING:
    from idlrt.server.aio import AsyncServer
    from idlrt.server.processes import ProcessServer

__all__ = [
    "TOKEN",
    "Admin",
    "AsyncServer",
    "HealthCheck",
    "ProcessServer",
    "Server",
    "ServerCallNext",
    "ServerFilter",
    "ServerOptions",
    "allow_addresses",
    "check_constraints",
    "require_token",
]


if not TYPE_CHECKING:
    # Importing asyncio takes tens of milliseconds, which blocking programs should not pay.
    __getattr__ = lazy_exports(__name__, {".aio": ("AsyncServer",), ".processes": ("ProcessServer",)})
