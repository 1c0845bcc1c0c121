"""Clients and servers of all sides with one shape: what is called, and what is served, for tests of any pair."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

from peer_dialects import Spoken

from idlrt import Server

make_peer = functools.cache(lambda spoken, stubs: spoken.make(stubs))


class Blocking:
    """Our blocking client of the class `name`."""

    def __init__(self, stubs: Any, port: int, name: str = "Newer", **options: Any) -> None:
        client = getattr(stubs, f"{name}Client")
        self._client = client.connect(f"127.0.0.1:{port}", timeout=20, **options)

    def call(self, name: str, *values: Any, **options: Any) -> Any:
        return getattr(self._client.using(**options), name)(*values)

    def pipeline(self, name: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [self.call(name, *values) for values in calls]

    def close(self) -> None:
        self._client.close()


class Asyncio:
    """Our asyncio client of the class `name`."""

    def __init__(self, stubs: Any, port: int, name: str = "Newer", **options: Any) -> None:
        self._runner = asyncio.Runner()
        client = getattr(stubs, f"Async{name}Client")
        self._client = client.connect(f"127.0.0.1:{port}", timeout=20, **options)

    def call(self, name: str, *values: Any, **options: Any) -> Any:
        async def call() -> Any:
            return await getattr(self._client.using(**options), name)(*values)

        return self._runner.run(call())

    def pipeline(self, name: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*[getattr(self._client, name)(*values) for values in calls])

        return self._runner.run(all_at_once())

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


class Foreign:
    """A peer's client. It does not read answers before it has sent all calls."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.close = client.close

    def call(self, name: str, *values: Any, metadata: dict[str, str] | None = None) -> Any:
        self._client.metadata = metadata or {}
        return self._client.call(name, *values)

    def pipeline(self, name: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        for values in calls:
            self._client.send(name, *values)
        return [self._client.receive(name) for _ in calls]


OURS = {"blocking": Blocking, "asyncio": Asyncio}


def make_client(caller: str, spoken: Spoken, stubs: Any, port: int, service: str = "") -> Any:
    """A client.

    Args:
        caller: "blocking" or "asyncio" for ours, else the peer's.
        spoken: what it speaks, and which peer it is.
        service: the name of a multiplexed service.
    """
    if caller in OURS:
        options: dict[str, Any] = {
            "framing": spoken.framing,
            "protocol": spoken.protocol,
            "multiplexed": service or False,
        }
        return OURS[caller](stubs, port, **options)
    return Foreign(make_peer(spoken, stubs).connect(spoken.framing, port, service))


@contextlib.contextmanager
def serving(server: str, spoken: Spoken, stubs: Any, handler: Any) -> Iterator[int]:
    """A server; gives its port.

    Args:
        server: "ours", else the peer's.
    """
    if server == "ours":
        with Server(stubs.peer(handler)) as made:
            yield made.start().port
    else:
        with make_peer(spoken, stubs).serve(spoken.framing, handler) as port:
            yield port
