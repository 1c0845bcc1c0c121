"""Requests to admin ports, as a browser or `curl` sends them."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from eventually import TIMEOUT, eventually

__all__ = ["Response", "failing", "passing", "request", "status"]


class HasAdmin(Protocol):
    @property
    def admin_address(self) -> str: ...


class Response(NamedTuple):
    """Status, headers by lower-case name, and the body as text."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


class _OverUnix(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def request(server: HasAdmin | str, path: str, verb: str = "GET", body: str | None = None, **headers: str) -> Response:
    """Send a request on a separate connection.

    Args:
        server: the server, or the URL of its admin port.
        headers: with underscores instead of hyphens.
    """
    url = server if isinstance(server, str) else server.admin_address
    if url.startswith("unix:"):
        connection: http.client.HTTPConnection = _OverUnix(url.removeprefix("unix:"))
    else:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=TIMEOUT)
    try:
        connection.request(verb, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        found = connection.getresponse()
        return Response(
            found.status, {name.lower(): value for name, value in found.getheaders()}, found.read().decode()
        )
    finally:
        connection.close()


def failing(server: HasAdmin | str, path: str) -> Response:
    """The response of a health page once it is 503."""
    return _once(503, server, path)


def passing(server: HasAdmin | str, path: str) -> Response:
    """The response of a health page once it is 200: on a busy machine a loop may take a second to answer."""
    return _once(200, server, path)


def _once(status: int, server: HasAdmin | str, path: str) -> Response:
    def found() -> Response | None:
        response = request(server, path)
        return response if response.status == status else None

    return eventually(found, f"{path} responds with {status}")


def status(server: HasAdmin | str) -> dict[str, Any]:
    """The page `/status` as data."""
    found: dict[str, Any] = json.loads(request(server, "/status?format=json").text)
    return found
