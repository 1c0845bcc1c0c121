"""HTTP clients made of a socket, for every kind of server."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import trustme
from eventually import TIMEOUT
from http_by_hand import HttpAnswer, answers_in
from kinds import Kind, Running, serving
from rest_shop import AsyncShopHandler, ShopHandler, shop

__all__ = ["HttpSocket", "open_socket", "serving_shop", "write_certificates"]

_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


def write_certificates(folder: Path) -> Path:
    """Write the files of a server and its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    signed = authority.issue_cert("localhost", "127.0.0.1", common_name="localhost")
    signed.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder


@contextlib.contextmanager
def serving_shop(
    kind: Kind, folder: Path, handler: ShopHandler | None = None, **options: Any
) -> Iterator[tuple[Running, ShopHandler]]:
    """A server of the shop, and its handlers."""
    if handler is None:
        handler = AsyncShopHandler() if kind.has_coroutines else ShopHandler()
    certificates = write_certificates(folder) if kind.place == "tls" else folder
    try:
        with serving(kind, shop(handler), certificates, **options) as running:
            yield running, handler
    finally:
        handler.gate.set()


def open_socket(running: Running) -> socket.socket:
    """Connect to a server, with TLS if it has it."""
    address = running.address.removeprefix("tcp://")
    if address.startswith("unix:"):
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(TIMEOUT)
        plain.connect(address.removeprefix("unix:").removeprefix("//"))
        return plain
    host, _, port = address.rpartition(":")
    plain = socket.create_connection((host, int(port)), TIMEOUT)
    if running.tls is None:
        return plain
    context = ssl.create_default_context(cafile=running.tls.authorities or None)
    return context.wrap_socket(plain, server_hostname="localhost")


class HttpSocket:
    """A connection."""

    def __init__(self, running: Running) -> None:
        self.socket = open_socket(running)
        self._data = b""

    def __enter__(self) -> HttpSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ssl.SSLEOFError:
            return False
        self._data += data
        return bool(data)

    def answer(self, *, head: bool = False) -> HttpAnswer:
        """Read the next response.

        Args:
            head: whether it answers HEAD.
        """
        while (end := self._data.find(b"\r\n\r\n") + 4) < 4:
            assert self._more(), self._data
        length = _LENGTH.search(self._data[:end])
        end += 0 if head or length is None else int(length[1])
        while len(self._data) < end:
            assert self._more(), self._data
        data, self._data = self._data[:end], self._data[end:]
        [answer] = answers_in(data, heads=head)
        return answer

    def ask(self, data: bytes, *, head: bool = False) -> HttpAnswer:
        """Send a request, and read its response."""
        self.send(data)
        return self.answer(head=head)

    def to_end(self) -> list[HttpAnswer]:
        """Read responses until the end of the connection."""
        while self._more():
            pass
        return answers_in(self._data)
