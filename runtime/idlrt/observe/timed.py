"""Measured blocks: context managers, blocking and asynchronous, that are decorators as well."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar, cast

from idlrt.errors import ConfigurationError

__all__ = ["TimedBlock", "checked_label"]

P = ParamSpec("P")
R = TypeVar("R")

_LONGEST: Final = 100
_MOST_CHECKED: Final = 2000
_checked: Final[set[str]] = set()


def checked_label(kind: str, name: str) -> str:
    """Return a name that is to become the value of a label.

    Args:
        kind: what it names, for messages.
        name: between 1 and 100 printable characters, without `_` at its start, which marks names of ours.

    Raises:
        ConfigurationError: it is invalid.
    """
    if name in _checked:
        return name
    given: Any = name
    is_text = isinstance(given, str) and given.isprintable() and given == given.strip()
    if not is_text or not 0 < len(name) <= _LONGEST or name.startswith("_"):
        what = f"must have between 1 and {_LONGEST} printable characters and not begin with '_'"
        raise ConfigurationError(f"{kind}: its name {what}, got {given!r}")
    if len(_checked) < _MOST_CHECKED:
        _checked.add(name)
    return name


class TimedBlock:
    """Base of measured blocks. Use `with`, `async with`, or the block as a decorator of a function."""

    __slots__ = ()

    def __enter__(self) -> Self:
        """Begin."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and record."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _again(self) -> Self:
        """Return a new block with the same options, for one call of a decorated function."""
        raise NotImplementedError

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Measure each call of a function, plain or `async`.

        Raises:
            ConfigurationError: it is a generator function, whose call returns before its body runs.
        """
        if not callable(function):
            raise ConfigurationError(f"cannot measure {function!r} as {self}: it must be a function")
        name = getattr(function, "__qualname__", repr(function))
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            what = "a call of a generator function returns before its body runs; use `with` inside of it"
            raise ConfigurationError(f"cannot measure {name} as {self}: {what}")
        again = self._again
        if inspect.iscoroutinefunction(function):
            awaited: Callable[P, Any] = function

            @wraps(function)
            async def measured_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with again():
                    return await awaited(*args, **kwargs)

            return cast("Callable[P, R]", measured_coroutine)

        @wraps(function)
        def measured(*args: P.args, **kwargs: P.kwargs) -> R:
            with again():
                return function(*args, **kwargs)

        return measured
