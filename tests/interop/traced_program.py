"""A traced server, alone in its process: `python traced_program.py EXPORTER URL SERVICE [TARGET]`.

`get` calls the server at TARGET, if there is one. It prints its address, ends with its standard input, and prints
whether all spans were accepted.
"""

from __future__ import annotations

import sys
from typing import Any

from hand_written import Users, UserServiceClient, user_service

from idlrt import Server, observe
from idlrt.collector import CollectorExporter
from idlrt.observe.tracing.batches import SpanExporter
from idlrt.observe.tracing.exporters import OtlpSpanExporter, SkyWalkingExporter, ZipkinExporter
from idlrt.observe.tracing.sampling import Always

__all__ = ["exporter_of", "start_tracing"]


class Chain(Users):
    """`get` calls the next server, if there is one."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._next = UserServiceClient.connect(target, framing="header") if target else None

    def get(self, id: int) -> Any:
        if self._next is None:
            return super().get(id)
        with observe.span("look up", {"cached": False}):
            return self._next.get(id)


def exporter_of(kind: str, url: str, service: str) -> SpanExporter:
    """Return an exporter."""
    if kind == "zipkin":
        return ZipkinExporter(url, service)
    if kind == "collector":
        return CollectorExporter(url, service)
    if kind == "skywalking":
        return SkyWalkingExporter(url, service)
    return OtlpSpanExporter(service)


def start_tracing(kind: str, url: str, service: str) -> observe.ActiveTracing:
    """Trace this process."""
    writes = ("w3c", "sw8") if kind == "skywalking" else ("w3c",)
    return observe.trace(service, exporters=[exporter_of(kind, url, service)], sampler=Always(), writes=writes)


if __name__ == "__main__":
    kind, url, service, *target = sys.argv[1:]
    tracing = start_tracing(kind, url, service)
    with Server(user_service(Chain("".join(target)))).start() as server:
        print(server.address, flush=True)
        sys.stdin.read()
    print(tracing.close(30), flush=True)
