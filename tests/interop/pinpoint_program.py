"""Programs with Pinpoint's agent: `python pinpoint_program.py ROLE PORTS [TARGET]`; PORTS are those of a collector.

- `users` serves in two processes; `shop` serves on an event loop, and calls TARGET three times for each `get`. They
  print their address, and end with their standard input.
- `web` and `plain` call TARGET for each number that they read, and print the ids of the trace and of the transaction:
  one with a client of ours, the other over HTTP with the agent's own functions only.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "harness"))

import pinpoint
from eventually import TIMEOUT, eventually
from hand_written import AsyncUsers, AsyncUserServiceClient, User, Users, UserServiceClient, user_service
from pinpoint.propagator import inject_items

from idlrt import observe
from idlrt.errors import RpcError
from idlrt.observe.tracing.exporters import PinpointExporter
from idlrt.server import AsyncServer, ProcessServer


class Shop(AsyncUsers):
    """Calls all methods at the same time, and then `get`; the target has an instance that cannot be reached."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target

    async def get(self, id: int) -> User | None:
        # A new client does not know yet which instances cannot be reached.
        async with AsyncUserServiceClient.connect(self._target, framing="header", heartbeat=None) as users:
            async with observe.span("prepare"):
                await asyncio.gather(users.ping(), users.join(["a", "b"]))
            return await users.get(id)


def is_connected() -> bool:
    """Whether the agent is connected to the collector."""
    agent = pinpoint.get_agent()
    return agent is not None and agent.enabled


def serve_users() -> None:
    with ProcessServer(user_service(Users()), processes=2).start() as server:
        print(server.address, flush=True)
        sys.stdin.read()


async def serve_shop(target: str) -> None:
    async with AsyncServer(user_service(Shop(target)), http=True) as server:
        print(server.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def call(target: str, exporter: PinpointExporter) -> None:
    exporter.start()
    eventually(is_connected)
    with UserServiceClient.connect(target, framing="header") as client:
        for line in sys.stdin:
            with suppress(RpcError), observe.span("buy"):
                print(json.dumps([observe.trace_id(), ""]), flush=True)
                client.get(int(line))


def call_plainly(target: str, ports: tuple[int, int, int]) -> None:
    agent = pinpoint.init(
        application_name="plain",
        service_name="DEFAULT",
        log_level="ERROR",
        collector_host="127.0.0.1",
        collector_agent_port=ports[0],
        collector_stat_port=ports[1],
        collector_span_port=ports[2],
        span_batch_collect_deadline_ms=10,
    )
    eventually(is_connected)
    url = f"{target.replace('tcp://', 'http://')}/UserService/get"
    for line in sys.stdin:
        with agent.new_span("Web Server", "/buy") as span, span.new_span_event("request", 9100) as event:
            event.set_destination(target.removeprefix("tcp://"))
            headers = {"Content-Type": "application/json", **dict(inject_items(span))}
            request = urllib.request.Request(url, json.dumps({"id": int(line)}).encode(), headers)
            with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                response.read()
            print(json.dumps(["", span.trace_id]), flush=True)


def main(role: str, ports: tuple[int, int, int], target: str = "") -> None:
    if role == "plain":
        call_plainly(target, ports)
        return
    agent, stat, span = ports
    options: dict[str, Any] = {"agent_port": agent, "stat_port": stat, "span_port": span}
    exporter = PinpointExporter(role, collector="127.0.0.1", span_batch_collect_deadline_ms=10, **options)
    with observe.trace(role, sampler="always" if role == "web" else "never", exporters=[exporter]):
        if role == "users":
            serve_users()
        elif role == "shop":
            asyncio.run(serve_shop(target))
        else:
            call(target, exporter)


if __name__ == "__main__":
    main(sys.argv[1], tuple(json.loads(sys.argv[2])), *sys.argv[3:])
