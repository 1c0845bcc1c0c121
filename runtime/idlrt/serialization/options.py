"""Read options that travel with the limits: handling of text that is not UTF-8, and of unknown fields.

`Limits` are passed to every codec, framing and dialect, and are part of the keys of their caches. `ReadOptions` is a
subclass of `Limits`, so options take the same way without a change of any plugin's signature. The class is internal:
programs pass `text_errors=` and `unknown=` to `idlrt.codec`, `connect` and servers.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, cast, get_args

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.serialization.base import Limits

__all__ = [
    "ReadOptions",
    "TextErrors",
    "UnknownFields",
    "WriteErrors",
    "keeps_unknown",
    "lenient",
    "strict",
    "text_errors_of",
    "with_options",
    "write_errors_of",
]

TextErrors: TypeAlias = Literal["strict", "replace", "surrogateescape"]
"""Handling of a `string` that is not UTF-8. `strict`: reading fails. `replace`: invalid bytes become U+FFFD.
`surrogateescape`: each invalid byte becomes a lone surrogate (PEP 383), which is written back as that byte."""

WriteErrors: TypeAlias = Literal["strict", "surrogateescape"]
"""Handling of lone surrogates in text that is written. `strict`: writing fails. `surrogateescape`: each is written as
the byte that it represents (PEP 383)."""

UnknownFields: TypeAlias = Literal["drop", "keep"]
"""Handling of unknown fields of structs, as from a newer peer. `drop`: they are skipped. `keep`: they are kept with the
struct and written again."""

_TEXT_ERRORS: Final = get_args(TextErrors)
_UNKNOWN: Final = get_args(UnknownFields)


class ReadOptions(Limits, frozen=True, kw_only=True):
    """Limits with the options `TextErrors` and `UnknownFields`."""

    text_errors: TextErrors = "strict"
    unknown: UnknownFields = "drop"


def with_options(limits: Limits, text_errors: object = "strict", unknown: object = "drop") -> Limits:
    """Return `limits` with options; `limits` unchanged if the options are the defaults.

    Raises:
        ConfigurationError: an option, or `limits`, has the wrong type or an unknown value.
    """
    _check("text_errors", text_errors, _TEXT_ERRORS)
    _check("unknown", unknown, _UNKNOWN)
    if text_errors == "strict" and unknown == "drop":
        return limits
    if not isinstance(limits, Limits):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"limits must be idlrt.Limits, not {limits!r}")
    return _made(limits, cast("TextErrors", text_errors), cast("UnknownFields", unknown))


def text_errors_of(limits: Limits) -> TextErrors:
    """Return the handling of text that is not UTF-8."""
    return limits.text_errors if isinstance(limits, ReadOptions) else "strict"


def write_errors_of(limits: Limits) -> WriteErrors:
    """Return the handling of lone surrogates in written text. Replaced text has none."""
    return "surrogateescape" if text_errors_of(limits) == "surrogateescape" else "strict"


def keeps_unknown(limits: Limits) -> bool:
    """Return whether structs keep unknown fields."""
    return isinstance(limits, ReadOptions) and limits.unknown == "keep"


def lenient(limits: Limits) -> Limits:
    """Return the limits with replacement of invalid UTF-8, for texts that must always be readable."""
    return limits if text_errors_of(limits) == "replace" else _made(limits, "replace", "drop")


def strict(limits: Limits) -> Limits:
    """Return the limits without options, for names, which are compared."""
    return Limits(**_values(limits)) if isinstance(limits, ReadOptions) else limits


def _made(limits: Limits, text_errors: TextErrors, unknown: UnknownFields) -> ReadOptions:
    return ReadOptions(**_values(limits), text_errors=text_errors, unknown=unknown)


def _values(limits: Limits) -> dict[str, Any]:
    every = msgspec.structs.asdict(limits)
    return {name: every[name] for name in Limits.__struct_fields__}


def _check(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        *most, last = map(repr, known)
        raise ConfigurationError(f"{name} must be {', '.join(most)} or {last}, not {value!r}")
