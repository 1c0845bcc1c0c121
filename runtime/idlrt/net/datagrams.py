"""Datagrams, over UDP or a Unix socket: one that sends, and one that receives."""

from __future__ import annotations

import contextlib
import os
import socket
from types import TracebackType
from typing import Any, Final, Self, cast

from idlrt.errors import ConfigurationError
from idlrt.net.address import Address

__all__ = ["DatagramReceiver", "DatagramSender"]

_LARGEST: Final = 1 << 16
# Each datagram takes more of the buffer than its size; the system grants at most its own maximum.
_BUFFER: Final = 1 << 23


def _socket(address: Address) -> tuple[socket.socket, Any]:
    """Return a socket for an address, and the address as it takes it.

    Raises:
        OSError: the host is unknown.
    """
    if address.path:
        return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), address.socket_path
    found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, kind, number, _, where = min(found, key=lambda each: each[0] != socket.AF_INET)
    return socket.socket(family, kind, number), where


class DatagramSender:
    """Sends datagrams to one address.

    Args:
        address: the address.

    Raises:
        OSError: its host is unknown.
    """

    def __init__(self, address: Address) -> None:
        self._socket, self._where = _socket(address)
        self._socket.setblocking(False)

    def send(self, data: bytes) -> None:
        """Send a datagram.

        Raises:
            OSError: it is too large, no process receives on a Unix socket, or the buffer is full.
        """
        self._socket.sendto(data, self._where)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class DatagramReceiver:
    """Receives datagrams at one address. The file of a Unix socket is removed in the end.

    Args:
        address: the address; port 0 requests a free one.

    Raises:
        ConfigurationError: the address is not available.
    """

    def __init__(self, address: Address) -> None:
        what = f"cannot receive on {address}"
        try:
            self._socket, where = _socket(address)
        except OSError as error:
            raise ConfigurationError(f"{what}: {error.strerror or error}") from error
        try:
            if address.path and not address.path.startswith("@"):
                _remove_stale(address.path)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.bind(where)
        except OSError as error:
            self._socket.close()
            raise ConfigurationError(f"{what}: {error.strerror or error}") from error
        self.address = address if address.path else Address(address.host, self._socket.getsockname()[1])

    def receive(self, timeout: float) -> tuple[bytes, str] | None:
        """Return a datagram and the address of its sender (`host:port`, empty for Unix sockets); `None` if none comes.

        Args:
            timeout: seconds to wait.
        """
        self._socket.settimeout(timeout)
        try:
            data, peer = cast("tuple[bytes, object]", self._socket.recvfrom(_LARGEST))
        except TimeoutError:
            return None
        except OSError:
            return None  # closed by another thread, or an error of an earlier datagram
        if self.address.path:
            return data, ""
        host, port = cast("tuple[str, int]", peer)[:2]
        return data, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._socket.close()
        path = self.address.path
        if path and not path.startswith("@"):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _remove_stale(path: str) -> None:
    """Remove the file of a socket at which nothing receives any more.

    Raises:
        OSError: something does.
    """
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except FileNotFoundError:
        pass
    else:
        raise OSError(f"the address {path} is in use")
    finally:
        probe.close()
