"""Calling: the bases of generated clients, blocking and asyncio, over one call stack."""

from idlrt.client.base import AsyncClient, CallOptions, Client

__all__ = ["AsyncClient", "CallOptions", "Client"]
