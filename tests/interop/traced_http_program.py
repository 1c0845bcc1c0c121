"""Our program of a chain over HTTP: `python traced_http_program.py KIND EXPORTER PLACE SERVICE [TARGET]`.

KIND is `blocking` or `asyncio`, EXPORTER is `skywalking` with a URL as PLACE, or `json` with a file. Calls go to the
program at TARGET, if there is one, with the tag `via`. It prints its URL, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "harness"))

from http_chain import AsyncVisitsClient, Hop, VisitsClient, visits

from idlrt import AsyncServer, Server, current_call, observe
from idlrt.observe.tracing.batches import SpanExporter
from idlrt.observe.tracing.exporters import JsonLinesExporter, SkyWalkingExporter

__all__ = ["start_tracing"]


def _hop(service: str) -> Hop:
    call = current_call()
    assert call is not None
    headers = dict(call.metadata)
    if call.context.trace:
        headers["traceparent"] = call.context.trace
    return Hop(service=service, trace_id=observe.trace_id(), headers=headers, carried=dict(observe.tags()))


class Blocking:
    """Handler that blocks."""

    def __init__(self, service: str, target: str) -> None:
        self._service = service
        self._next = VisitsClient.connect(target) if target else None

    def visit(self, place: str) -> list[Hop]:
        hop = _hop(self._service)
        if self._next is None:
            return [hop]
        observe.put("via", self._service)
        return [hop, *self._next.visit(place)]


class OnAsyncio:
    """Handler on an event loop."""

    def __init__(self, service: str, target: str) -> None:
        self._service = service
        self._next = AsyncVisitsClient.connect(target) if target else None

    async def visit(self, place: str) -> list[Hop]:
        hop = _hop(self._service)
        if self._next is None:
            return [hop]
        observe.put("via", self._service)
        return [hop, *await self._next.visit(place)]


def start_tracing(exporter: str, place: str, service: str, sampler: float = 1.0) -> observe.ActiveTracing:
    """Trace this process. Headers are those of W3C, and with SkyWalking its own, too.

    Spans are of what is sampled only, however long calls take.
    """
    made: SpanExporter = (
        SkyWalkingExporter(place, service) if exporter == "skywalking" else JsonLinesExporter(place, service)
    )
    writes = ("w3c", "sw8") if exporter == "skywalking" else ("w3c",)
    return observe.trace(service, exporters=[made], sampler=sampler, writes=writes, slow_s=3600)


def _show(address: str) -> None:
    print(address.replace("tcp://", "http://"), flush=True)


async def _serve_on_asyncio(service: str, target: str) -> None:
    async with AsyncServer(visits(OnAsyncio(service, target))) as server:
        _show(server.address)
        await asyncio.to_thread(sys.stdin.read)


def main(kind: str, exporter: str, place: str, service: str, target: str = "") -> None:
    """Serve until standard input ends."""
    with start_tracing(exporter, place, service):
        if kind == "asyncio":
            asyncio.run(_serve_on_asyncio(service, target))
        else:
            with Server(visits(Blocking(service, target))).start() as server:
                _show(server.address)
                sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
