"""Transports of httpx that measure requests, until the head of the response has arrived.

A transport sees everything that a client sends; event hooks see no errors.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from idlrt.observe.adapters.versions import check_version
from idlrt.observe.metric import OTHER
from idlrt.observe.resources import Operation, resource
from idlrt.observe.timed import checked_label

if TYPE_CHECKING:
    import httpx

__all__ = ["async_httpx_transport", "httpx_transport"]

_LEAST: Final = (0, 24)
_BELOW: Final = (1, 0)

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR: Final = 500


def httpx_transport(inner: httpx.BaseTransport | None = None, *, system: str = "http") -> httpx.BaseTransport:
    """Return a transport for `httpx.Client` that measures requests, as operations of a resource.

    An operation is the HTTP method of a request; a response with a status from 500 on is an error `HTTP 503`. Each
    redirect is a request.

    Args:
        inner: the transport that sends requests. Default: a new `httpx.HTTPTransport`.
        system: name of the resource, such as that of the service.

    Raises:
        ConfigurationError: the version of httpx, or the name, is not supported.
    """
    checked_label("resource", system)
    blocking, _ = _classes()
    if inner is None:
        import httpx

        inner = httpx.HTTPTransport()
    made: httpx.BaseTransport = blocking(inner, system)
    return made


def async_httpx_transport(
    inner: httpx.AsyncBaseTransport | None = None, *, system: str = "http"
) -> httpx.AsyncBaseTransport:
    """Return a transport for `httpx.AsyncClient` that measures requests; see `httpx_transport`."""
    checked_label("resource", system)
    _, asynchronous = _classes()
    if inner is None:
        import httpx

        inner = httpx.AsyncHTTPTransport()
    made: httpx.AsyncBaseTransport = asynchronous(inner, system)
    return made


def _begun(system: str, request: httpx.Request) -> Operation:
    return resource(system, request.method if request.method in _METHODS else OTHER)


def _judge(operation: Operation, response: httpx.Response) -> None:
    if response.status_code >= _SERVER_ERROR:
        operation.fail(f"HTTP {response.status_code}")


@cache
def _classes() -> tuple[Any, Any]:
    """Return the classes of transports, which derive from those of httpx."""
    import httpx

    check_version("httpx", httpx.__version__, _LEAST, _BELOW)

    class MeasuredTransport(httpx.BaseTransport):
        """A transport that measures requests."""

        def __init__(self, inner: httpx.BaseTransport, system: str) -> None:
            self._inner = inner
            self._system = system

        def __enter__(self) -> MeasuredTransport:
            self._inner.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self._inner.__exit__(*error)

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            with _begun(self._system, request) as operation:
                response = self._inner.handle_request(request)
                _judge(operation, response)
            return response

        def close(self) -> None:
            self._inner.close()

    class MeasuredAsyncTransport(httpx.AsyncBaseTransport):
        """An asynchronous transport that measures requests."""

        def __init__(self, inner: httpx.AsyncBaseTransport, system: str) -> None:
            self._inner = inner
            self._system = system

        async def __aenter__(self) -> MeasuredAsyncTransport:
            await self._inner.__aenter__()
            return self

        async def __aexit__(self, *error: Any) -> None:
            await self._inner.__aexit__(*error)

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            with _begun(self._system, request) as operation:
                response = await self._inner.handle_async_request(request)
                _judge(operation, response)
            return response

        async def aclose(self) -> None:
            await self._inner.aclose()

    return MeasuredTransport, MeasuredAsyncTransport
