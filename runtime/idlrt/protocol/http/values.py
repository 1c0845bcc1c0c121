"""JSON of requests and responses, within the memory limits."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.serialization import Limits
from idlrt.serialization.json_costs import Meter
from idlrt.serialization.plain_json import JsonOptions
from idlrt.spec import BaseType, Field, ListType, MapType, SetType, Type

__all__ = ["decode", "encode", "json_options"]

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()


def json_options(limits: Limits, field: Field[Any] | None = None) -> JsonOptions:
    """Return the options of the JSON of REST.

    Args:
        field: the field or argument whose value is converted by itself.
    """
    is_text = field is not None and "http.as_text" in field.annotations and _has_plain_i64(field.type)
    return JsonOptions(max_depth=limits.max_depth, i64_as_text=is_text, rest=True)


def _has_plain_i64(type: Type[Any]) -> bool:
    """Whether a type is `i64`, or a container of it."""
    match type:
        case ListType() | SetType():
            return _has_plain_i64(type.element)
        case MapType():
            return _has_plain_i64(type.key) or _has_plain_i64(type.value)
        case BaseType():
            return type.name == "i64"
        case _:
            return False


def encode(plain: Any, doing: str) -> bytes:
    """Return the JSON text of JSON objects.

    Args:
        doing: what fails, for the error message: `cannot DOING: ...`.

    Raises:
        LocalProtocolError: they cannot be encoded.
    """
    try:
        return _ENCODER.encode(plain)
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError, OverflowError, RecursionError) as error:
        raise LocalProtocolError(f"cannot {doing}: {error}") from None


def decode(text: bytes, meter: Meter, root: str) -> Any:
    """Return the JSON objects of a text whose memory is within the limits.

    Args:
        root: name of the decoded value, for messages.

    Raises:
        RemoteProtocolError: it is not JSON, or exceeds a limit.
    """
    meter.check_text(text, root)
    try:
        return _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        what = str(error).partition(" - at ")[0]
        raise RemoteProtocolError(f"cannot read {root}: {what}") from None
    except RecursionError:
        raise RemoteProtocolError(f"cannot read {root}: nested too deeply") from None
