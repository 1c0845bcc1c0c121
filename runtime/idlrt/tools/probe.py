"""Whether a Thrift server is there, and how long it takes to say so: see `idlrt.client.ping`."""

from __future__ import annotations

import time

from idlrt.client import Client
from idlrt.client.ping import PING
from idlrt.errors import ApplicationError
from idlrt.spec import service

__all__ = ["ProbeClient", "probe"]


class ProbeClient(Client):
    """A client of any server."""

    __thrift_service__ = service("Probe", PING)

    def ping(self) -> None:
        """Call what nobody has."""
        self._call(PING)


def probe(client: ProbeClient) -> tuple[float, str]:
    """Ask once: the seconds it took, and what the server said.

    Raises:
        RpcError: nobody answered, or what came is no Thrift.
    """
    start = time.perf_counter()
    try:
        client.ping()
        said = "answered"
    except ApplicationError as error:
        said = f"answered {str(error).partition(':')[0].replace('_', ' ')}"
    return time.perf_counter() - start, said
