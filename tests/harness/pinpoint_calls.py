"""Calls that Pinpoint's agent of this process follows, and the types that they have there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hand_written import Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.observe.tracing.exporters import PinpointExporter
from idlrt.server import Server

__all__ = [
    "ASYNC",
    "CALL",
    "CLIENT",
    "HANDLER",
    "PART",
    "PROGRAM",
    "SERVER",
    "chain",
    "current_agent",
    "exporter_to",
    "is_connected",
    "tracing",
]

SERVER, HANDLER, CLIENT, CALL, PROGRAM, PART, ASYNC = 1100, 1101, 9100, 9101, 1700, 1701, 100


def exporter_to(ports: Sequence[int], service: str = "shop", **options: Any) -> PinpointExporter:
    agent, stat, span = ports
    options = {"span_batch_collect_deadline_ms": 10, **options}
    return PinpointExporter(service, collector="127.0.0.1", agent_port=agent, stat_port=stat, span_port=span, **options)


def current_agent() -> Any:
    import pinpoint

    return pinpoint.get_agent()


def is_connected() -> bool:
    agent = current_agent()
    return agent is not None and agent.enabled


@contextmanager
def tracing(**options: Any) -> Iterator[observe.ActiveTracing]:
    """Trace with the agent of the process."""
    options = {"sampler": "always", "exporters": [PinpointExporter("shop")], **options}
    with observe.trace("shop", **options) as found:
        yield found


@contextmanager
def chain(handler: Callable[[UserServiceClient], Any], **options: Any) -> Iterator[tuple[UserServiceClient, str]]:
    """Serve a handler, which gets a client of a second server; yields a client of the first one, and its address."""
    with (
        Server(user_service(Users())).start() as last,
        UserServiceClient.connect(last.address, framing="header", heartbeat=None) as inner,
        Server(user_service(handler(inner)), **options).start() as first,
        UserServiceClient.connect(first.address, framing="header", heartbeat=None) as client,
    ):
        yield client, first.address.removeprefix("tcp://")
