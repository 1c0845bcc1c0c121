"""Balancer `least_connections`: pick the instance with the fewest open connections, relative to its weight.

It compares candidates as `least_requests` does: at most ten, from a random position.
"""

from __future__ import annotations

from typing import ClassVar

from idlrt.balance.base import C
from idlrt.balance.least_requests import LeastRequests

__all__ = ["LeastConnections"]


class LeastConnections(LeastRequests[C]):
    """Fewest connections. Implements `Balancer`."""

    _by_connections: ClassVar[bool] = True
