"""What answers a call, and what stands in its way: one shape for everything.

A filter is any `async (call, next) -> result`. It may change the call, make it more than once, refuse it, or
look at what comes back. It is written once and serves blocking and asyncio clients alike, as long as time and
concurrency go through the driver (see `idlrt.core.driver`).

Source: finagle's "Your Server as a Function", https://monkey.org/~marius/funsrv.pdf
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from idlrt.core.call import Call

__all__ = ["Endpoint", "Filter", "stack"]

Endpoint = Callable[[Call], Coroutine[Any, Any, Any]]
"""Answers a call: its result, or an exception."""

Filter = Callable[[Call, Endpoint], Coroutine[Any, Any, Any]]
"""Stands in a call's way: `async (call, next) -> result`."""


def stack(filters: Sequence[Filter], endpoint: Endpoint) -> Endpoint:
    """`endpoint` behind `filters`; the first one sees a call first and its result last."""
    for each in reversed(filters):
        endpoint = _behind(each, endpoint)
    return endpoint


def _behind(filter: Filter, next: Endpoint) -> Endpoint:
    def call_filter(call: Call) -> Coroutine[Any, Any, Any]:
        return filter(call, next)

    return call_filter
