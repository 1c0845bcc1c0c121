"""Encoding and decoding of arguments and results as JSON, within the memory limits.

`idlrt.serialization.plain_json` converts between values and the JSON objects of `msgspec`. This module ensures that a
message takes no more memory than `Limits` allow. It checks twice before memory is allocated: before the text is parsed
into JSON objects, by the maximum cost of its brackets and commas, and before these are converted to values, by the cost
table that all serializations share (`idlrt.serialization._decoded_size`). Messages that are too small to exceed a limit
are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.serialization import Limits
from idlrt.serialization.json_costs import Meter
from idlrt.serialization.json_objects import decode_json, encode_json
from idlrt.serialization.plain_json import (
    JsonOptions,
    arguments_from_plain,
    arguments_to_plain,
    from_plain,
    to_plain,
)
from idlrt.spec import DeclaredError, Field, Method, StructType, VoidType, name_of, required

__all__ = ["MethodJson", "method_json", "missing_result"]


class MethodJson:
    """JSON codec of the arguments, the result and the exceptions of one method. `method_json` caches it.

    Args:
        method: the method.
        limits: limits of the connection.
    """

    __slots__ = ("_arguments", "_method", "_options", "_result", "_roots", "_throws", "has_value")

    def __init__(self, method: Method[..., Any], limits: Limits) -> None:
        self._method = method
        # Names of decoded values, for messages.
        self._roots = tuple(f"{name} of {method.full_name}" for name in ("params", "result", "error.data"))
        self._options = JsonOptions(max_depth=limits.max_depth)
        self._throws: Final = _throws_of(method)
        self.has_value: Final = not isinstance(method.result, VoidType)
        self._arguments: Final = Meter(method.arguments, limits)
        results = (required(0, "result", method.result),) if self.has_value else ()
        self._result: Final = Meter((*results, *method.throws), limits)

    def arguments_of(self, params: bytes) -> tuple[tuple[Any, ...], int]:
        """Return the arguments in the text of `params`, and an upper bound of their memory, in bytes.

        Raises:
            RemoteProtocolError: they do not match the method, or a limit is exceeded.
        """
        method = self._method
        plain: Any = {}
        if params:
            plain = decode_json(params, self._arguments, self._roots[0])
        cost = self._arguments.measure(plain, len(params), self._roots[0])
        return arguments_from_plain(method, plain, self._options, "params", from_peer=True), cost

    def write_arguments(self, arguments: Sequence[Any]) -> bytes:
        """Return the text of `params`; empty if there are none.

        Raises:
            LocalProtocolError: the arguments do not match the method.
        """
        method = self._method
        plain = arguments_to_plain(method, arguments, self._options)
        for position, value in enumerate(arguments):
            # Other servers may reject a call without it.
            if value is None and method.mandatory[position]:
                plain[method.arguments[position].name] = None
        return encode_json(plain, f"write the arguments of {method.full_name} as JSON") if plain else b""

    def result_of(self, text: bytes) -> Any:
        """Return the result in a response.

        Raises:
            ApplicationError: it is `null`, and the method has a result.
            RemoteProtocolError: it does not match the type, or a limit is exceeded.
        """
        if not self.has_value:
            return None
        plain = decode_json(text, self._result, self._roots[1])
        if plain is None:
            raise missing_result(self._method, "the server's result is null")
        self._result.measure([plain], len(text), self._roots[1])
        return from_plain(self._method.result, plain, self._options, "result")

    def write_result(self, value: Any) -> bytes:
        """Return the text of a result.

        Raises:
            ApplicationError: it is `None`, and the method has a result.
            LocalProtocolError: it does not match the type.
        """
        if not self.has_value:
            return b"null"
        method = self._method
        if value is None:
            raise missing_result(method, "the handler returned None")
        return encode_json(
            to_plain(method.result, value, self._options), f"write the result of {method.full_name} as JSON"
        )

    def write_error(self, error: DeclaredError) -> bytes | None:
        """Return the `data` of an exception; `None` if the method does not declare it.

        Raises:
            LocalProtocolError: it cannot be encoded.
        """
        for name, (cls, field) in self._throws.items():
            if isinstance(error, cls):
                value = to_plain(field.type, error, self._options)
                return encode_json(
                    {"exception": name, "value": value}, f"write {name} of {self._method.full_name} as JSON"
                )
        return None

    def error_of(self, data: bytes) -> DeclaredError | None:
        """Return the exception in the `data` of a response; `None` if the method does not declare it.

        Raises:
            RemoteProtocolError: it cannot be decoded, or a limit is exceeded.
        """
        plain = decode_json(data, self._result, self._roots[2]) if data else None
        if not isinstance(plain, dict):
            return None
        found = cast("dict[str, Any]", plain)
        name = found.get("exception")
        declared = self._throws.get(name) if isinstance(name, str) else None
        if declared is None:
            return None
        field, plain = declared[1], found.get("value")
        self._result.measure({field.name: plain}, len(data), self._roots[2])
        error: DeclaredError = from_plain(field.type, plain, self._options, "error.data.value")
        return error


def _throws_of(method: Method[..., Any]) -> dict[str, tuple[Any, Field[Any]]]:
    """Return the exceptions that a method declares, by their names in messages.

    The name is that of the exception. If several from different files have the same name, all but the one with the
    smallest field id are prefixed with the name of the field: `missing.NotFound`. Both sides derive these names from
    the IDL.
    """
    found: dict[str, tuple[Any, Field[Any]]] = {}
    for field in sorted(method.throws, key=lambda field: field.id):
        if isinstance(field.type, StructType):
            cls: Any = field.type.cls
            name = name_of(cls)
            found[f"{field.name}.{name}" if name in found else name] = cls, field
    return found


def method_json(method: Method[..., Any], limits: Limits) -> MethodJson:
    """Return the cached JSON codec of a method, created on first use."""
    key = MethodJson, limits
    found: MethodJson | None = method.codecs.get(key)
    if found is not None:
        return found
    made: MethodJson = method.codecs.setdefault(key, MethodJson(method, limits))
    return made


def missing_result(method: Method[..., Any], cause: str) -> ApplicationError:
    """Return the error for a missing result."""
    what = f"{method.full_name}: missing result of type {method.result!r}: {cause}"
    return ApplicationError(what, ApplicationCode.MISSING_RESULT)
