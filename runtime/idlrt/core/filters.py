"""Filters: interceptors of calls, and the stack that they form.

A filter is any `async (call, next) -> result`. It may modify the call, make it more than once, reject it, or inspect
the result. The same filter serves blocking and asyncio clients, provided that it uses the driver for time and
concurrency (see `idlrt.core.driver`).

Source: finagle's "Your Server as a Function", https://monkey.org/~marius/funsrv.pdf
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from idlrt.core.call import Call

__all__ = ["CallNext", "Filter", "stack"]

CallNext = Callable[[Call], Coroutine[Any, Any, Any]]
"""The next step of the call stack: makes a call, and returns its result or raises an exception."""

Filter = Callable[[Call, CallNext], Coroutine[Any, Any, Any]]
"""Interceptor of calls: `async (call, next) -> result`."""


def stack(filters: Sequence[Filter], call_next: CallNext) -> CallNext:
    """Return `call_next` wrapped in `filters`; the first one sees a call first and its result last."""
    for each in reversed(filters):
        call_next = _behind(each, call_next)
    return call_next


def _behind(filter: Filter, next: CallNext) -> CallNext:
    def call_filter(call: Call) -> Coroutine[Any, Any, Any]:
        return filter(call, next)

    return call_filter
