"""`fallback`: something else instead of an answer, when a call fails, or always (`force`: what Dubbo calls a mock).

As a setting it is a value for all methods, or one for each, as JSON has it. It is looked at when a method is called for
the first time, not when it is needed. A program gives a function: `Fallback.of(function)`.

What a server declares in the IDL, and what it refuses, is an answer: it is left as it is, unless `on` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Final, Self

import msgspec
from msgspec import Meta

from idlrt import errors
from idlrt.core import Chance, Listener, Replaced, tell
from idlrt.errors import ConfigurationError, RpcError
from idlrt.guard.base import AnyCall, Next, heard_by, nobody
from idlrt.guard.values import value_of
from idlrt.spec import DeclaredError, Method

__all__ = ["Fallback", "FallbackSettings"]

Function = Callable[[AnyCall, Exception | None], Any]
"""Makes what is returned, of a call and its error; there is none if the call was not made."""

_DEFAULT: Final = ("NotSent", "Unknown")


class FallbackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the fallback of failed calls."""

    value: Annotated[
        Any, Meta(description="result for all methods, as JSON: structs are objects, binary values are base64 text.")
    ] = None
    values: Annotated[
        dict[str, Any], Meta(description="results by method, `method` or `Service.method`; they override `value`.")
    ] = {}
    on: Annotated[
        tuple[str, ...],
        Meta(
            description="error classes that trigger the fallback, subclasses included: those of "
            "`idlrt.errors`, `DeclaredError`, `Exception`."
        ),
    ] = _DEFAULT
    force: Annotated[bool, Meta(description="whether to return the fallback without making the call.")] = False


class Fallback:
    """See the module. A `Guard`: `fallback`.

    Raises:
        ConfigurationError: `on` names a class that is not known.
    """

    Settings: ClassVar[type[msgspec.Struct]] = FallbackSettings
    # First: it sees all failures, those of guards too.
    before: ClassVar[tuple[str, ...]] = ("deadline",)

    def __init__(self, settings: FallbackSettings, chance: Chance, listener: Listener = nobody) -> None:
        self._settings = settings
        self._listener = listener
        self._errors = tuple(_error_class(name) for name in settings.on)
        self._function: Function | None = None
        self._seen: set[Method[..., Any]] = set()

    @classmethod
    def of(
        cls, function: Function, *, on: Sequence[str] = _DEFAULT, force: bool = False, listener: Listener = nobody
    ) -> Self:
        """A fallback that returns what `function(call, error)` does. What that raises is raised instead of `error`."""
        made = cls(FallbackSettings(on=tuple(on), force=force), Chance(), listener)
        made._function = function
        return made

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """See `Guard.__call__`. It refuses nothing.

        Raises:
            ConfigurationError: the value does not fit the result of the method.
        """
        if call.method not in self._seen:
            if self._function is None:
                self._value(call.method)
            self._seen.add(call.method)
        if self._settings.force:
            return self._replace(call, None)
        try:
            return await next(call)
        except self._errors as error:
            return self._replace(call, error)

    def _replace(self, call: AnyCall, error: Exception | None) -> Any:
        value = self._value(call.method) if self._function is None else self._function(call, error)
        if listeners := heard_by(call, self._listener):
            why = f"{type(error).__name__}: {error}" if error is not None else "calls are not made (force)"
            tell(listeners, Replaced(subject=call.method.full_name, by="fallback", why=why))
        return value

    def _value(self, method: Method[..., Any]) -> Any:
        """A value of its own for every call: its caller may change it."""
        settings, name = self._settings, method.full_name
        value = settings.values.get(name, settings.values.get(method.name, settings.value))
        try:
            return value_of(method.result, value)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"the fallback of {name} cannot be its result, {method.result!r}: {error}"
            ) from None


def _error_class(name: str) -> type[Exception]:
    if name == "Exception":
        return Exception
    found = DeclaredError if name == "DeclaredError" else getattr(errors, name, None)
    if isinstance(found, type) and issubclass(found, RpcError):
        return found
    known = [each for each in errors.__all__ if each.endswith(("Error", "Exception")) or each in _DEFAULT]
    raise ConfigurationError(
        f"a fallback cannot be for {name!r}: there is no such error; known are {', '.join(known)} and the others of "
        "idlrt.errors"
    )
