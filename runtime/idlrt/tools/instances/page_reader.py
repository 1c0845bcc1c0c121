"""Requests of pages of admin ports: one connection for each, with a deadline for all of it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, cast

from idlrt.errors import RpcError
from idlrt.net import BlockingSocket, BlockingTransport, Tls
from idlrt.tools.instances.admin_url import AdminUrl

__all__ = ["MAX_PAGE", "PageReader", "PageUnavailable"]

MAX_PAGE: Final = 256 * 1024 * 1024
"""Maximum size of a page in bytes."""

_WHY: Final = {
    400: "the port does not accept the request; if it has TLS, write https://",
    401: "the token is missing or wrong; pass --token, or set IDLRT_ADMIN_TOKEN",
    403: "access denied; see the options `token`, `allow` and `hosts` of the admin port",
}


class PageUnavailable(RpcError):
    """A page of an instance cannot be read. The message is the reason, without the instance.

    Args:
        message: the reason.
        status: status code of the response; 0 without a response.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class PageReader:
    """Reader of pages. Threads may share it.

    Args:
        token: token to send; empty for none.
        tls: TLS settings for https. Default: the trust store of the system.
        timeout: seconds for one request.
        user_agent: name of the program, for the log of the other side.

    Raises:
        ConfigurationError: a file of `tls` is missing or invalid.
    """

    def __init__(
        self, *, token: str = "", tls: Tls | None = None, timeout: float = 2.0, user_agent: str = "idlrt-monitor"
    ) -> None:
        self._token = token
        self._timeout = timeout
        self._user_agent = user_agent
        self._connect_tls = _tls_connector(tls) if tls is not None else None

    def read(self, url: AdminUrl, path: str, missing: str) -> bytes:
        """Return a page as JSON.

        Args:
            url: the admin port.
            path: path of the page with its query.
            missing: what to do if there is no such page.

        Raises:
            PageUnavailable: the instance cannot be reached, or does not respond with the page.
        """
        until = time.monotonic() + self._timeout
        try:
            status, body = self._request(url, path, until)
        except TimeoutError:
            raise PageUnavailable(f"no response within {self._timeout:g} s") from None
        except HTTPException as error:
            raise PageUnavailable(f"the response is not HTTP ({type(error).__name__})") from None
        except OSError as error:
            raise PageUnavailable(_reason(error, url)) from None
        if status != 200:
            why = missing if status == 404 else _WHY.get(status) or "expected 200"
            raise PageUnavailable(f"status {status}: {why}", status)
        return body

    def _request(self, url: AdminUrl, path: str, until: float) -> tuple[int, bytes]:
        if url.is_encrypted:
            if self._connect_tls is None:
                self._connect_tls = _tls_connector(Tls())
            transport = self._connect_tls(url, self._timeout)
        else:
            transport = BlockingSocket.connect(url.address, self._timeout)
        try:
            lines = [f"GET {url.prefix}{path} HTTP/1.1", f"host: {url.authority}", "accept: application/json"]
            lines += [f"user-agent: {self._user_agent}", "connection: close"]
            lines.append(f"rpc-timeout-ms: {self._timeout * 1000:.0f}")
            if self._token:
                lines.append(f"authorization: Bearer {self._token}")
            transport.send("\r\n".join((*lines, "", "")).encode("latin-1"), until)
            response = HTTPResponse(cast("Any", _Connected(transport, until)), method="GET")
            response.begin()
            if response.status != 200:
                return response.status, b""
            body = response.read(MAX_PAGE + 1)
            if len(body) > MAX_PAGE:
                raise PageUnavailable(f"the page is larger than {MAX_PAGE} bytes")
            return response.status, body
        finally:
            transport.close()


class _Connected:
    """A connection as `HTTPResponse` uses it."""

    def __init__(self, transport: BlockingTransport, until: float) -> None:
        self._stream = _Stream(transport, until)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return the stream."""
        return io.BufferedReader(self._stream, 65_536)


class _Stream(io.RawIOBase):
    """Received bytes, until a deadline."""

    def __init__(self, transport: BlockingTransport, until: float) -> None:
        self._transport = transport
        self._until = until
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._rest:
            self._rest = memoryview(self._transport.receive(self._until))
        wanted = memoryview(buffer).cast("B")
        size = min(len(wanted), len(self._rest))
        wanted[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _tls_connector(tls: Tls) -> Callable[[AdminUrl, float], BlockingTransport]:
    from idlrt.net.blocking_tls import BlockingTlsSocket
    from idlrt.net.tls_context import TlsContext

    context = TlsContext(tls, is_server=False)
    return lambda url, timeout: BlockingTlsSocket.connect(url.address, timeout, context)


def _reason(error: OSError, url: AdminUrl) -> str:
    if not url.is_encrypted:
        return (error.strerror or str(error) or type(error).__name__).lower()
    from idlrt.net.tls_context import tls_reason

    return tls_reason(error).lower()
