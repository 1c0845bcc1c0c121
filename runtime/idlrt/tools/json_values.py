"""Conversion of arguments, results and exceptions to and from JSON on a command line.

The mapping is that of `idlrt.serialization.plain_json`. Additionally output is escaped for terminals, and text that is
not UTF-8 is shown with escapes: the byte 0xff is `\\udcff`.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.printable import escape_json, plural
from idlrt.serialization.plain_json import JsonOptions, arguments_from_plain, to_plain
from idlrt.spec import DeclaredError, Method, struct

__all__ = ["arguments_from", "error_to_json", "result_to_json", "to_json"]

# Reject unknown names: on a command line a typo is more likely than a newer IDL.
_INPUT: Final = JsonOptions(refuse_unknown=True)
_OUTPUT: Final = JsonOptions(for_display=True)


def arguments_from(method: Method[..., Any], text: str) -> tuple[Any, ...]:
    """Return the arguments of a method from a JSON object (by name) or array (by position).

    Raises:
        ConfigurationError: the text is not JSON, or an argument is invalid; the message lists the method's arguments.
    """
    try:
        return arguments_from_plain(method, msgspec.json.decode(text.encode()), _INPUT)
    except RemoteProtocolError as error:
        raise ConfigurationError(f"{error}; {_takes(method)}") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        what = f"cannot read the arguments of {method.full_name} from JSON: {error}"
        raise ConfigurationError(f"{what}; {_takes(method)}") from None


def _takes(method: Method[..., Any]) -> str:
    names = ", ".join(f"{field.name}: {field.type!r}" for field in method.arguments)
    if not names:
        return f"{method.full_name} takes no arguments"
    return f"{method.full_name} takes {plural(len(method.arguments), 'argument')} ({names})"


def result_to_json(method: Method[..., Any], value: Any, *, indent: int = 2) -> str:
    """Return the result of a method as JSON text.

    Args:
        indent: spaces per level; 0 for one line.

    Raises:
        LocalProtocolError: the value is not a valid result of the method.
    """
    return to_json(to_plain(method.result, value, _OUTPUT), indent=indent)


def error_to_json(error: BaseException, *, indent: int = 2) -> str:
    """Return an exception as JSON text: its class and message, or its class and fields if the IDL declares it."""
    found: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, DeclaredError):
        found = {"exception": type(error).__name__, "fields": to_plain(struct(type(error)), error, _OUTPUT)}
    return to_json(found, indent=indent)


def to_json(plain: Any, *, indent: int = 2) -> str:
    """Return a value of `to_plain` as JSON text, with control characters escaped.

    Args:
        indent: spaces per level; 0 for one line.
    """
    return escape_json(_text(plain, indent))


def _text(plain: Any, indent: int) -> str:
    try:
        data = msgspec.json.encode(plain)
    except UnicodeEncodeError:
        separators = None if indent else (",", ":")
        text = json.dumps(plain, indent=indent or None, separators=separators, ensure_ascii=False)
        # Python and JSON escape lone surrogates in the same way.
        return text.encode(errors="backslashreplace").decode()
    return msgspec.json.format(data, indent=indent).decode() if indent else data.decode()
