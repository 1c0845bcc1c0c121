"""JSON text and the builtins that it stands for, with errors of the runtime and within the memory limits."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.serialization.json_costs import Meter

__all__ = ["decode_json", "encode_json"]

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()


def encode_json(plain: Any, doing: str) -> bytes:
    """Return the JSON text of builtins.

    Args:
        plain: the builtins.
        doing: what fails, for the error message: `cannot DOING: ...`.

    Raises:
        LocalProtocolError: they cannot be encoded, e.g. because of lone surrogates.
    """
    try:
        return _ENCODER.encode(plain)
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError, OverflowError, RecursionError) as error:
        raise LocalProtocolError(f"cannot {doing}: {error}") from None


def decode_json(text: bytes, meter: Meter, root: str) -> Any:
    """Return the builtins of a JSON text whose memory is within the limits.

    Args:
        text: the text.
        meter: limits of the values that it stands for.
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
