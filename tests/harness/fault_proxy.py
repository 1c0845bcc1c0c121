"""A TCP proxy between client and server that does to connections what networks do.

It runs on an event loop in a separate thread. Its behaviour can be changed at any time, for all connections:
latency, bytes one at a time, silence (a black hole: nothing passes, nothing is closed), connections cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any, Final

from eventually import TIMEOUT

__all__ = ["FaultProxy", "proxied"]

_CHUNK: Final = 65536


class FaultProxy:
    """The proxy.

    Attributes:
        latency: seconds that everything takes longer, each way.
        chunk: the most bytes that are passed on in one piece.
        cut_after: bytes from the server after which a connection is cut; `None` for never.
        is_refusing: whether new connections are cut at once.
    """

    def __init__(self, host: str, port: int) -> None:
        self.latency = 0.0
        self.chunk = _CHUNK
        self.cut_after: int | None = None
        self.is_refusing = False
        self._target = host, port
        self._loop = asyncio.new_event_loop()
        self._is_heard = asyncio.Event()
        self._is_heard.set()
        self._links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port: int = self._ask(self._start())

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def is_silent(self) -> bool:
        """Whether nothing passes."""
        return not self._is_heard.is_set()

    @is_silent.setter
    def is_silent(self, wanted: bool) -> None:
        async def change() -> None:
            if wanted:
                self._is_heard.clear()
            else:
                self._is_heard.set()

        self._ask(change())

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._links)

    def cut(self) -> None:
        """Cut all connections, with a reset."""

        async def all_of_them() -> None:
            for link in list(self._links):
                self._reset(*link)

        self._ask(all_of_them())

    def close(self) -> None:
        """Cut all, and end."""

        async def end() -> None:
            if self._server is not None:
                self._server.close()
            for link in list(self._links):
                self._reset(*link)
            await asyncio.sleep(0)
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._ask(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT)
        self._loop.close()

    def _ask(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT)

    async def _start(self) -> int:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _accepted(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            self._reset(to_client)
            return
        try:
            from_server, to_server = await asyncio.open_connection(*self._target)
        except OSError:
            self._reset(to_client)
            return
        for writer in (to_client, to_server):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = to_client, to_server
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pass(from_client, to_server, link, is_answer=False),
                self._pass(from_server, to_client, link, is_answer=True),
            )
        except (OSError, asyncio.CancelledError):
            self._reset(*link)
        finally:
            self._links.discard(link)
            for writer in link:
                writer.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        *,
        is_answer: bool,
    ) -> None:
        passed = 0
        while data := await reader.read(_CHUNK):
            if self.latency:
                await asyncio.sleep(self.latency)
            await self._is_heard.wait()
            # Read once: a test may change them meanwhile.
            chunk, cut_after = self.chunk, self.cut_after
            for start in range(0, len(data), chunk):
                piece = data[start : start + chunk]
                if is_answer and cut_after is not None and passed + len(piece) > cut_after:
                    writer.write(piece[: max(cut_after - passed, 0)])
                    await writer.drain()
                    self._reset(*link)
                    return
                passed += len(piece)
                writer.write(piece)
                if chunk < _CHUNK:
                    await writer.drain()
                    await asyncio.sleep(0)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    def _reset(self, *writers: asyncio.StreamWriter) -> None:
        for writer in writers:
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@contextlib.contextmanager
def proxied(port: int) -> Iterator[FaultProxy]:
    """A proxy in front of a server of this machine."""
    proxy = FaultProxy("127.0.0.1", port)
    try:
        yield proxy
    finally:
        proxy.close()
