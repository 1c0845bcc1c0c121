"""POST requests of exporters, over one connection that is kept."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import time
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.batches import ExportFailed

__all__ = ["HttpPost", "Rejected", "post_list"]

_MAX_ERROR: Final = 300
_MAX_RESPONSE: Final = 65536
# Statuses after which a request may succeed later, as for OTLP, and 408.
_RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})
_TOO_LARGE: Final = 413


class Rejected(Exception):
    """The server has rejected a request, and would do so again.

    Args:
        reason: why.
        status: its status.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class HttpPost:
    """Sender of POST requests to one URL. One thread at a time may use it.

    Args:
        url: `http://` or `https://` URL.
        headers: headers of all requests.
        is_compressed: whether bodies are sent in gzip format.

    Raises:
        ConfigurationError: the URL is invalid.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, *, is_compressed: bool = False) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"exporter: the URL must be like http://host:port/path, got {url!r}")
        self._is_encrypted = parts.scheme == "https"
        self._host = parts.hostname
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = dict(headers or {})
        self._is_compressed = is_compressed
        self._connection: http.client.HTTPConnection | None = None
        forks.register(self)

    def after_fork(self) -> None:
        """Close the copy of the parent's connection in a forked child; that of the parent stays open."""
        self.close()

    def send(self, body: bytes, content_type: str, timeout: float) -> bytes:
        """Send a body, and return that of the response. A connection that the server has closed is replaced once.

        Args:
            body: the body.
            content_type: its type.
            timeout: seconds for connecting, and for each part of the response.

        Raises:
            OSError: the server cannot be reached, or its status tells to try again later.
            Rejected: any other status but 2xx.
        """
        headers = {**self._headers, "Content-Type": content_type}
        if self._is_compressed:
            body = gzip.compress(body, 1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        is_kept = self._connection is not None
        try:
            return self._exchange(body, headers, timeout)
        except (http.client.HTTPException, ConnectionError) as error:
            if not is_kept:
                raise ConnectionError(str(error) or type(error).__name__) from error
        try:
            return self._exchange(body, headers, timeout)
        except http.client.HTTPException as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    def _exchange(self, body: bytes, headers: Mapping[str, str], timeout: float) -> bytes:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._open(timeout)
        elif connection.sock is not None:
            connection.sock.settimeout(timeout)
        is_done = False
        try:
            connection.request("POST", self._target, body, headers)
            response = connection.getresponse()
            data = response.read(_MAX_RESPONSE)
            is_done = response.isclosed()
        finally:
            if not is_done:
                self.close()
        if 200 <= response.status < 300:
            return data
        text = data[:_MAX_ERROR].decode(errors="replace").strip()
        reason = f"status {response.status} {response.reason}" + (f": {text}" if text else "")
        if response.status in _RETRYABLE:
            raise OSError(reason)
        raise Rejected(reason, response.status)

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        if self._is_encrypted:
            # Certificates and names are verified by default.
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()


def post_list(post: HttpPost, items: Sequence[bytes], max_size: int, timeout: float) -> None:
    """Send JSON values as lists, as many requests as are necessary.

    Args:
        post: the sender.
        items: the values; an empty one is left out, and counts as rejected.
        max_size: maximum size of the body of a request, in bytes; a single value may exceed it.
        timeout: seconds that all of it may take.

    Raises:
        ExportFailed: some of them were not accepted; its numbers are those of `items`.
    """
    end = time.monotonic() + timeout
    done = rejected = 0
    reason: Exception | None = None
    waiting = _parts(items, max_size)
    waiting.reverse()
    while waiting:
        part = waiting.pop()
        values = [each for each in part if each]
        refused = len(part) - len(values)
        left = end - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError("timed out")
            if values:
                post.send(b"[" + b",".join(values) + b"]", "application/json", left)
        except Rejected as error:
            if error.status == _TOO_LARGE and len(part) > 1:
                half = len(part) // 2
                waiting += (part[half:], part[:half])
                continue
            reason, refused = error, len(part)
        except OSError as error:
            raise ExportFailed(str(error) or type(error).__name__, done, rejected) from error
        done += len(part)
        rejected += refused
    if rejected:
        raise ExportFailed(reason or "cannot be encoded", done, rejected) from reason


def _parts(items: Sequence[bytes], max_size: int) -> list[Sequence[bytes]]:
    """Return items in groups of at most a size."""
    found: list[Sequence[bytes]] = []
    first, size = 0, 2
    for at, item in enumerate(items):
        if at > first and size + len(item) + 1 > max_size:
            found.append(items[first:at])
            first, size = at, 2
        size += len(item) + 1
    if first < len(items):
        found.append(items[first:])
    return found
