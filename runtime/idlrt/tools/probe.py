"""Whether a Thrift server is there, and how long it takes to say so.

Thrift has no message for that, so a method is called that nobody has: whatever a server answers, it has read the call
and spoken the protocol. (Ours and Apache's answer `unknown method`.)
"""

from __future__ import annotations

import time
from typing import Final

from idlrt.client import Client
from idlrt.errors import ApplicationError
from idlrt.spec import VOID, method, service

__all__ = ["ProbeClient", "probe"]


class _Probe:
    def idlrt_ping(self) -> None:
        """Nobody has this."""


_PING: Final = method(_Probe.idlrt_ping, result=VOID)


class ProbeClient(Client):
    """A client of any server."""

    __thrift_service__ = service("Probe", _PING)

    def ping(self) -> None:
        """Call what nobody has."""
        self._call(_PING)


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
