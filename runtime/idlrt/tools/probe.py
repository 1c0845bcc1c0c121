"""Ping a server and measure the time to its response. See `idlrt.client.ping`."""

from __future__ import annotations

import time

from idlrt.client import Client
from idlrt.client.ping import PING
from idlrt.spec import service

__all__ = ["ProbeClient", "probe"]


class ProbeClient(Client):
    """Client of any server, whatever services it has."""

    __thrift_service__ = service("Probe", PING)

    def ping(self) -> None:
        """Send a ping of the protocol, which invokes no handler."""
        self._call(PING)


def probe(client: ProbeClient) -> float:
    """Ping the server once; return the seconds until its response.

    Raises:
        RpcError: no response arrived, or it is not one of the protocol.
    """
    start = time.perf_counter()
    client.ping()
    return time.perf_counter() - start
