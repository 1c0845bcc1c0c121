"""Calling: the bases of generated clients, blocking and asyncio, over one call stack."""

from idlrt.client.base import AsyncClient, Client, client_stats
from idlrt.client.options import CallOptions, ConnectOptions
from idlrt.client.stats import ClientStats, EndpointStats

__all__ = [
    "AsyncClient",
    "CallOptions",
    "Client",
    "ClientStats",
    "ConnectOptions",
    "EndpointStats",
    "client_stats",
]
