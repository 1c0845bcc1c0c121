"""Which filters may suspend: they need an event loop from their first step on, so it has to be known before.

A filter whose only `await` is that of `next(call)` never suspends by itself. In front of a plain handler it runs where
that runs, at no cost, and may block there as that may. Every other filter is given an event loop. Where it cannot be
seen (a function that is not `async`, one that is compiled, a `functools.partial`) the filter is taken for one that may.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

__all__ = ["may_suspend"]

# Instructions that say nothing of what is called with what.
_IGNORED: Final = frozenset({"CACHE", "EXTENDED_ARG", "NOP", "PRECALL", "PUSH_NULL", "RESUME"})
_LOADS: Final = ("LOAD_FAST", "LOAD_DEREF")
_SUSPENDS: Final = frozenset({"GET_AITER", "GET_ANEXT"})


def may_suspend(filter: Callable[..., Any]) -> bool:
    """Return whether a filter may await something else than `next(call)`, or needs an event loop to begin with."""
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
    if code.co_argcount < first + 2 or any(_is_of_asyncio(function.__globals__.get(name)) for name in code.co_names):
        return True
    return not _awaits_only(code, code.co_varnames[first + 1])


def _is_of_asyncio(found: object) -> bool:
    name = getattr(found, "__module__", None) or getattr(found, "__name__", "")
    return isinstance(name, str) and name.partition(".")[0] in ("asyncio", "_asyncio")


def _awaits_only(code: CodeType, next: str) -> bool:
    """Whether each `await` in `code` is `await next(x)`, of its parameter `next` and a local `x`."""
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
    """Whether the last instructions load `next` and one local variable, and call the one with the other."""
    if len(steps) < 2 or steps[-1].opname != "CALL" or steps[-1].arg != 1:
        return False
    loads: list[object] = [step.argval for step in steps[:-1] if step.opname.startswith(_LOADS)]
    if loads and isinstance(loads[-1], tuple):  # two variables loaded by one instruction
        return next in loads[-1][:1]
    return len(loads) == 2 and bool(loads[0] == next)
