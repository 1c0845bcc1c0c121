"""Guard `fallback`: returns a substitute result when a call fails, or for each call (`force`, as Dubbo's mock).

In a configuration it is a JSON value for all methods, or one by method. It is validated at the first call of a method,
not when it is needed. Programs may supply a function: `Fallback.of(function)`.

Exceptions that the IDL declares and errors of the server's application are results: they are passed on, unless `on`
names their classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Final, Self

import msgspec
from msgspec import Meta

from idlrt import errors
from idlrt.core import ClockAndRandom, FallbackUsed, Listener, notify
from idlrt.errors import ConfigurationError, RemoteProtocolError, RpcError
from idlrt.guard.base import AnyCall, Next, listeners_of, no_listener
from idlrt.serialization.plain_json import from_plain
from idlrt.spec import BOOL, DeclaredError, Method

__all__ = ["Fallback", "FallbackSettings"]

Function = Callable[[AnyCall, Exception | None], Any]
"""Returns the result for a call and its error; `None` instead of an error if the call was not made."""

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
    """Guard `fallback`: substitute results of failed calls.

    Raises:
        ConfigurationError: `on` names an unknown class.
    """

    Settings: ClassVar[type[msgspec.Struct]] = FallbackSettings
    # Outermost: it handles all failures, including rejections of other guards.
    before: ClassVar[tuple[str, ...]] = ("deadline",)

    def __init__(self, settings: FallbackSettings, sources: ClockAndRandom, listener: Listener = no_listener) -> None:
        self._settings = settings
        self._listener = listener
        self._errors = tuple(_error_class(name) for name in settings.on)
        self._function: Function | None = None
        self._seen: set[Method[..., Any]] = set()

    @classmethod
    def of(
        cls, function: Function, *, on: Sequence[str] = _DEFAULT, force: bool = False, listener: Listener = no_listener
    ) -> Self:
        """Return a fallback with the results of `function(call, error)`. Its exceptions replace `error`."""
        made = cls(FallbackSettings(on=tuple(on), force=force), ClockAndRandom(), listener)
        made._function = function
        return made

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """Make the call, unless `force` is set, and replace its failure. Rejects no call.

        Raises:
            ConfigurationError: the value is not a valid result of the method.
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
        if listeners := listeners_of(call, self._listener):
            why = f"{type(error).__name__}: {error}" if error is not None else "no call is made (force)"
            notify(listeners, FallbackUsed(subject=call.method.full_name, by="fallback", why=why))
        return value

    def _value(self, method: Method[..., Any]) -> Any:
        """Build the value for one call: a new one each time, because the caller may change it."""
        settings, name = self._settings, method.full_name
        value = settings.values.get(name, settings.values.get(method.name, settings.value))
        if value is None:
            return None
        try:
            if method.result is BOOL:
                # Registries store text.
                value = msgspec.convert(value, bool, strict=False)
            return from_plain(method.result, value, path="fallback")
        except (RemoteProtocolError, ValueError, TypeError) as error:
            raise ConfigurationError(f"cannot use the fallback of {name}: {error}") from None


def _error_class(name: str) -> type[Exception]:
    if name == "Exception":
        return Exception
    found = DeclaredError if name == "DeclaredError" else getattr(errors, name, None)
    if isinstance(found, type) and issubclass(found, RpcError):
        return found
    known = [each for each in errors.__all__ if each.endswith(("Error", "Exception")) or each in _DEFAULT]
    raise ConfigurationError(
        f"cannot set a fallback for {name!r}: unknown error class (known: {', '.join(known)}, and others of "
        "idlrt.errors)"
    )
