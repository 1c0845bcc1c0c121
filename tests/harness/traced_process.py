"""A traced server of one kind, which calls the next one: `python traced_process.py KIND SPANS TARGET...`.

It prints its address. Its spans go to a file, one JSON object a line. `get` answers with the id of the trace.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from hand_written import AsyncUsers, AsyncUserServiceClient, User, Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.observe.tracing.exporters import JsonLinesExporter
from idlrt.server import AsyncServer, Server

# Also for calls that are retries themselves.
HEDGING = {"fault": "hedge", "hedge": {"delay": 0.05, "max_extra_load": 1}, "chain_stop": False}


class Blocking(Users):
    """Calls the next one; the target may have an instance that cannot be reached."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._client = UserServiceClient.connect(target, framing="header", heartbeat=None)

    def get(self, id: int) -> Any:
        with observe.span("look up"):
            return self._client.get(id)


class OnAsyncio(AsyncUsers):
    """Calls the next one with hedging, and once more in the background, after its response."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target
        self._client: AsyncUserServiceClient | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def get(self, id: int) -> User | None:
        if self._client is None:
            self._client = AsyncUserServiceClient.connect(
                self._target,
                framing="header",
                heartbeat=None,
                policy=HEDGING,
            )
        found = await self._client.using(idempotent=True).get(id)
        task = asyncio.create_task(self._later())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return found

    async def _later(self) -> None:
        assert self._client is not None
        with observe.span("in the background"):
            await self._client.using(fault="failfast").ping()


class OnWorkers(Users):
    """Calls the next one over HTTP; the first call of all instances is slow, the others fork a child."""

    def __init__(self, target: str, tracing: observe.ActiveTracing, mark: Path) -> None:
        super().__init__()
        self._client = UserServiceClient.connect(target)
        self._tracing = tracing
        self._mark = mark

    def get(self, id: int) -> Any:
        with contextlib.suppress(FileExistsError):
            self._mark.touch(exist_ok=False)
            # Long enough for a hedge.
            threading.Event().wait(0.5)
            return self._client.get(id)
        pid = os.fork()
        if not pid:
            try:
                with observe.span("forked"):
                    pass
                self._tracing.flush()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        return self._client.get(id)


class Last(Users):
    """The last one."""

    def get(self, id: int) -> Any:
        return User(id=id, name=observe.trace_id())


def main(kind: str, file: str, *targets: str) -> None:
    """Serve until standard input ends."""
    several = ",".join(each.removeprefix("tcp://") for each in targets)
    tracing = observe.trace(kind, exporters=[JsonLinesExporter(file, kind)], sampler=0.0)
    if kind == "asyncio":
        asyncio.run(on_asyncio(several))
    else:
        made: dict[str, Any] = {
            "blocking": lambda: (Blocking(several), {}),
            "workers": lambda: (OnWorkers(targets[0], tracing, Path(f"{file}.slow")), {"workers": 4}),
            "http": lambda: (Last(), {"http": True}),
        }
        handler, options = made[kind]()
        with Server(user_service(handler), **options).start() as server:
            print(server.address, flush=True)
            sys.stdin.read()
    tracing.close()


async def on_asyncio(target: str) -> None:
    """Serve on an event loop."""
    async with AsyncServer(user_service(OnAsyncio(target))) as server:
        print(server.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
