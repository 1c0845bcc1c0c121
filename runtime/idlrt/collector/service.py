"""Base of the collector and the agent: a server for calls and receivers of datagrams, which start and stop as one."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from idlrt.collector.receiving import DatagramReceivers
from idlrt.server import Server

__all__ = ["ReceivingService"]


class ReceivingService:
    """A server for calls with receivers of datagrams. Use it in a `with` statement, or call `start` and `stop`."""

    _server: Server
    _receivers: DatagramReceivers

    @property
    def address(self) -> str:
        """Address for calls, once it has started."""
        return self._server.address

    @property
    def udp_address(self) -> str:
        """Address for datagrams over UDP, `udp://host:port`, once it has started; empty for none."""
        return self._receivers.udp_address

    def _open(self) -> None:
        """Begin all but the server.

        Raises:
            ConfigurationError: an address is not available; nothing is open.
        """
        raise NotImplementedError

    def _end(self) -> bool:
        """End all but the server. Return whether nothing was left. Idempotent."""
        raise NotImplementedError

    def start(self) -> Self:
        """Serve on a background thread.

        Raises:
            ConfigurationError: an address is not available.
        """
        self._open()
        try:
            self._server.start()
        except BaseException:
            self._end()
            raise
        return self

    def serve(self, is_serving: Callable[[], object] = lambda: None) -> None:
        """Serve until `stop` is called, or, on the main thread, until Ctrl+C or SIGTERM.

        Args:
            is_serving: called once it listens.

        Raises:
            ConfigurationError: an address is not available.
        """
        self._open()
        try:
            self._server.bind()
            is_serving()
            self._server.serve()
        finally:
            self._end()

    def stop(self) -> bool:
        """Stop, with all stored or forwarded that was received. Return whether nothing was left. Idempotent."""
        self._server.stop()
        return self._end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
