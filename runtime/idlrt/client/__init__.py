"""Calling: the bases of generated clients, blocking and asyncio, over one call stack."""

from idlrt.client.base import AsyncClient, Client
from idlrt.client.options import CallOptions, ConnectOptions
from idlrt.client.stats import ClientStats, EndpointStats, client_stats

__all__ = [
    "AsyncClient",
    "CallOptions",
    "Client",
    "ClientStats",
    "ConnectOptions",
    "EndpointStats",
    "client_stats",
]
