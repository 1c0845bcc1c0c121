"""Detection of filters that may suspend, by their byte code. They need an event loop from their first step on.

A filter whose only `await` is `await next(call)` never suspends by itself. In front of a plain handler it runs on the
thread of the handler, at no cost, and may block as the handler may. Every other filter runs on an event loop. Filters
whose code is not available (functions that are not `async`, compiled ones, a `functools.partial`) count as suspending.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

__all__ = ["may_suspend"]

# Instructions that do not affect which function is called with which arguments.
_IGNORED: Final = frozenset({"CACHE", "EXTENDED_ARG", "NOP", "PRECALL", "PUSH_NULL", "RESUME"})
_LOADS: Final = ("LOAD_FAST", "LOAD_DEREF")
_SUSPENDS: Final = frozenset({"GET_AITER", "GET_ANEXT"})


def may_suspend(filter: Callable[..., Any]) -> bool:
    """Return whether a filter may await anything but `next(call)`, or uses asyncio and so needs an event loop."""
    function: object = filter
    if not isinstance(function, FunctionType | MethodType):
        function = getattr(type(filter), "__call__", None)  # noqa: B004
        first = 1
    else:
        first = int(isinstance(function, MethodType))
        function = getattr(function, "__func__", function)
    if not isinstance(function, FunctionType) or not inspect.iscoroutinefunction(function):
        return True
    code = function.__code__
    if code.co_argcount < first + 2 or any(_is_from_asyncio(function.__globals__.get(name)) for name in code.co_names):
        return True
    return not _awaits_only(code, code.co_varnames[first + 1])


def _is_from_asyncio(found: object) -> bool:
    name = getattr(found, "__module__", None) or getattr(found, "__name__", "")
    return isinstance(name, str) and name.partition(".")[0] in ("asyncio", "_asyncio")


def _awaits_only(code: CodeType, next: str) -> bool:
    """Whether each `await` in `code` is `await next(x)`, with its parameter `next` and a local variable `x`."""
    before: list[dis.Instruction] = []
    for step in _steps(code):
        if step.opname in _SUSPENDS or (step.opname.startswith("STORE_") and step.argval == next):
            return False
        if step.opname == "GET_AWAITABLE" and (step.arg or not _is_call_of(next, before[-3:])):
            return False
        before.append(step)
    return True


def _steps(code: CodeType) -> Iterator[dis.Instruction]:
    return (step for step in dis.get_instructions(code) if step.opname not in _IGNORED)


def _is_call_of(next: str, steps: list[dis.Instruction]) -> bool:
    """Whether the last instructions load `next` and one local variable, and call `next` with it."""
    if len(steps) < 2 or steps[-1].opname != "CALL" or steps[-1].arg != 1:
        return False
    loads: list[object] = [step.argval for step in steps[:-1] if step.opname.startswith(_LOADS)]
    if loads and isinstance(loads[-1], tuple):  # two variables loaded by one instruction
        return next in loads[-1][:1]
    return len(loads) == 2 and bool(loads[0] == next)
