"""Serving: a selector loop, and what answers calls on each connection."""

from idlrt.server.server import Server

__all__ = ["Server"]
