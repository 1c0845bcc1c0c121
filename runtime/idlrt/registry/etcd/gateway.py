"""Minimal etcd client over the JSON gateway: requests, watches, multiple endpoints, authentication.

All requests are idempotent, so a request that fails at one endpoint is sent to the next. Errors of `httpx` are
translated here; each message names the endpoint. The code uses `httpx` transports without an `httpx` client, which
would log a line for each heartbeat and read proxies from the environment.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from idlrt.errors import ConfigurationError, RegistryError, RegistryUnavailable
from idlrt.net.tls_context import TlsContext, tls_reason
from idlrt.registry.etcd.responses import (
    AuthDisabled,
    StaleToken,
    Token,
    WatchInterrupted,
    WatchResponse,
    http_error,
    read,
    read_line,
    watch_error,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["Gateway", "check_httpx"]

T = TypeVar("T")

# Minimum timeout per endpoint in seconds, regardless of the number of endpoints.
_MIN_TIMEOUT: Final = 0.5
# Seconds; idle connections must outlive the interval between two heartbeats.
_IDLE: Final = 30.0

_WHAT: Final = {
    "auth/authenticate": "log in",
    "kv/deleterange": "delete",
    "kv/put": "write",
    "kv/range": "read",
    "kv/txn": "write",
    "lease/grant": "begin a session",
    "lease/keepalive": "keep the session",
    "lease/revoke": "end the session",
    "lease/timetolive": "check the session",
    "watch": "watch",
}


def check_httpx() -> None:
    """Check that `httpx` is installed.

    Raises:
        ConfigurationError: it is not.
    """
    try:
        import httpx  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ConfigurationError(
            "cannot use an etcd registry: httpx is not installed; run pip install 'idlc[etcd]'"
        ) from error


class Gateway:
    """Client of an etcd cluster. Bound to one event loop.

    Args:
        endpoints: base URLs such as `http://127.0.0.1:2379`.
        user: user name; empty without authentication.
        password: password of the user.
        tls: for `https` endpoints.
        timeout: timeout of a request in seconds, over all endpoints.
    """

    def __init__(
        self, endpoints: Sequence[str], *, user: str, password: str, tls: TlsContext | None, timeout: float
    ) -> None:
        self._endpoints = endpoints
        # Random, so that the clients spread over the endpoints.
        self._current = random.randrange(len(endpoints))
        self._login = {"name": user, "password": password} if user else None
        self._tls = tls
        self._timeout = timeout
        self._token: str | None = None if user else ""
        self._logging_in = asyncio.Lock()
        # Each with the TLS context that it was made with: certificates may be reloaded while the program runs.
        self._transports: list[tuple[object, httpx.AsyncHTTPTransport]] = []
        self._is_open = False

    def open(self) -> None:
        """Allow requests. Connections are made on demand."""
        self._is_open = True

    async def close(self) -> None:
        """Close all connections."""
        self._is_open = False
        transports, self._transports = self._transports, []
        for _, transport in transports:
            await transport.aclose()

    def _transport(self) -> httpx.AsyncHTTPTransport:
        import httpx

        if not self._is_open:
            raise RegistryUnavailable("the client is closed")
        context = self._tls.current if self._tls is not None else None
        if not self._transports or self._transports[-1][0] is not context:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=_IDLE)
            made = httpx.AsyncHTTPTransport(verify=context or False, trust_env=False, limits=limits)
            self._transports.append((context, made))
        return self._transports[-1][1]

    async def call(
        self, path: str, body: Mapping[str, Any], kind: type[T], *, timeout: float = 0.0, is_stream: bool = False
    ) -> T:
        """Send a request and decode its response.

        Args:
            path: path after `/v3/`.
            body: request body; bytes are encoded as base64.
            kind: type of the response.
            timeout: timeout in seconds; 0 for the default.
            is_stream: whether the response is a message of a stream.

        Raises:
            RegistryUnavailable: no endpoint responded.
            RegistryRefused: permission denied.
        """

        async def call(endpoint: str, token: str) -> T:
            response = await self._send(endpoint, path, body, token)
            try:
                data = await response.aread()
            finally:
                await response.aclose()
            if response.status_code != 200:
                raise http_error(response.status_code, data)
            return read_line(data, kind) if is_stream else read(data, kind)

        return await self._with_failover(_WHAT[path], call, timeout or self._timeout)

    async def watch(self, what: Mapping[str, Any], idle_timeout: float) -> AsyncGenerator[WatchResponse]:
        """Watch a range of keys. The first response confirms that the watch was created. The iterator ends after
        `idle_timeout` seconds without a response: then there were no events, or the server has died. Resume the watch
        from the last revision to find out.

        Raises:
            Compacted: the start revision is compacted.
            WatchInterrupted: the endpoint stopped responding.
            RegistryUnavailable: no endpoint responded.
            RegistryRefused: permission denied.
        """
        import httpx

        async def begin(endpoint: str, token: str) -> tuple[str, httpx.Response, Any, WatchResponse]:
            # With this header a member that is cut off from its cluster ends the watch instead of staying silent.
            response = await self._send(
                endpoint, "watch", {"create_request": what}, token, {"Grpc-Metadata-hasleader": "true"}, idle_timeout
            )
            try:
                if response.status_code != 200:
                    raise http_error(response.status_code, await response.aread())
                lines = response.aiter_lines()
                return endpoint, response, lines, _watched(await anext(lines, ""))
            except BaseException:
                await response.aclose()
                raise

        endpoint, response, lines, first = await self._with_failover("watch", begin, self._timeout)
        try:
            yield first
            async for line in lines:
                if line:
                    yield _watched(line)
        except httpx.ReadTimeout:
            return
        except (httpx.HTTPError, RegistryError, OSError) as error:  # OSError: TLS errors that httpx does not wrap
            translated = _translated(error, endpoint, "watch", idle_timeout)
            if type(translated) is RegistryUnavailable:
                self._switch_endpoint(endpoint)
                translated = WatchInterrupted(str(translated))
            raise translated from error
        finally:
            await response.aclose()

    async def _with_failover(self, what: str, work: Callable[[str, str], Awaitable[T]], timeout: float) -> T:
        """Run `work` with the current endpoint; on failure try the others."""
        import httpx

        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        each = max(timeout / len(self._endpoints), _MIN_TIMEOUT)
        count = 0
        while True:
            count += 1
            endpoint = self._endpoints[self._current]
            seconds = min(each, max(end - loop.time(), _MIN_TIMEOUT))
            try:
                async with asyncio.timeout(seconds):
                    return await self._with_token(endpoint, work)
            except (httpx.HTTPError, RegistryError, OSError) as error:
                translated = _translated(error, endpoint, what, seconds)
                if type(translated) is not RegistryUnavailable:
                    raise translated from error
                self._switch_endpoint(endpoint)
                # At least two attempts even with one endpoint: an idle connection may have been closed just then.
                if count >= max(len(self._endpoints), 2) or loop.time() >= end:
                    raise translated from error

    def _switch_endpoint(self, endpoint: str) -> None:
        """Switch to the next endpoint, unless another request has done so already."""
        if self._endpoints[self._current] == endpoint:
            self._current = (self._current + 1) % len(self._endpoints)

    async def _with_token(self, endpoint: str, work: Callable[[str, str], Awaitable[T]]) -> T:
        token = self._token
        if token is None:
            token = await self._log_in(endpoint, None)
        try:
            return await work(endpoint, token)
        except StaleToken:
            if self._login is None:
                raise
        return await work(endpoint, await self._log_in(endpoint, token))

    async def _log_in(self, endpoint: str, stale: str | None) -> str:
        """Return a token other than `stale`. Concurrent callers share one login, because logins are expensive for etcd
        (password hashing).
        """
        async with self._logging_in:
            if self._token is None or self._token == stale:
                self._token = None
                response = await self._send(endpoint, "auth/authenticate", self._login or {}, "")
                try:
                    data = await response.aread()
                finally:
                    await response.aclose()
                if response.status_code == 200:
                    self._token = read(data, Token).token
                else:
                    error = http_error(response.status_code, data)
                    if not isinstance(error, AuthDisabled):
                        raise error
                    self._token = ""
            return self._token

    async def _send(
        self,
        endpoint: str,
        path: str,
        body: Mapping[str, Any],
        token: str,
        headers: Mapping[str, str] | None = None,
        idle_timeout: float | None = None,
    ) -> httpx.Response:
        import httpx

        request = httpx.Request(
            "POST",
            f"{endpoint}/v3/{path}",
            headers={**(headers or {}), **({"Authorization": token} if token else {})},
            content=msgspec.json.encode(body),
            extensions={"timeout": {"read": idle_timeout}},
        )
        return await self._transport().handle_async_request(request)


def _watched(line: str) -> WatchResponse:
    if not line:
        raise RegistryUnavailable("the server ended the watch")
    answer = read_line(line, WatchResponse)
    if answer.canceled:
        raise watch_error(answer)
    return answer


def _translated(error: BaseException, endpoint: str, what: str, seconds: float) -> RegistryError:
    """Translate an exception to a `RegistryError` that names the endpoint."""
    import httpx

    if isinstance(error, RegistryError):
        return type(error)(f"cannot {what} at {endpoint}: {error}")
    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        return RegistryUnavailable(f"cannot {what} at {endpoint}: no response within {seconds:.3g} s")
    why, do = _root(error)
    if isinstance(error, httpx.ConnectError):
        return RegistryUnavailable(f"cannot connect to {endpoint}: {why}; {do or 'check that etcd is running there'}")
    return RegistryUnavailable(f"cannot {what} at {endpoint}: connection lost: {why}{do and '; '}{do}")


def _root(error: BaseException) -> tuple[str, str]:
    """Return the root cause of an `httpx` exception, and a hint."""
    while True:
        if getattr(error, "verify_message", None) or getattr(error, "reason", None):
            return tls_reason(error), "check the options tls, ca, cert and key"
        under = error.__cause__ or error.__context__
        if under is None:
            return str(error) or type(error).__name__, ""
        error = under
