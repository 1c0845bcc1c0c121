"""Cached THeader prefixes of requests whose only metadata is the runtime's own typed values.

Nearly all requests of a connection are of this kind, and their headers differ in sequence id and timeout only. So a
template of the last header is cached, and reused while the timeout has the same number of digits and the other values
are equal.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from idlrt.core.metadata import NO_METADATA
from idlrt.errors import LocalProtocolError
from idlrt.protocol.events import RequestContext
from idlrt.protocol.thrift.envelope import Envelope
from idlrt.protocol.thrift.header_framing import HeaderFramed
from idlrt.protocol.thrift.typed_metadata import CLIENT_TIMEOUT, request_metadata

__all__ = ["HeaderRequests"]

_pack_i32 = struct.Struct(">i").pack
# Short enough for a length of one byte.
_NAME: Final = CLIENT_TIMEOUT.encode()


class HeaderRequests:
    """Builds the headers of the requests of one connection.

    Args:
        framing: THeader without compression (`Dialect.prefix` is set).
        envelope: envelope of the messages.
    """

    __slots__ = ("_attempt", "_caller", "_envelope", "_framing", "_high", "_low", "_tag", "_template", "_trace")

    def __init__(self, framing: HeaderFramed, envelope: Envelope) -> None:
        self._framing: Final = framing
        self._envelope: Final = envelope
        self._template = b""
        # The range of timeouts in milliseconds, and the other values, to which the template applies.
        self._low = self._high = 0
        self._attempt = 0
        self._tag = self._caller = self._trace = ""

    def prefix(self, context: RequestContext, sequence_id: int) -> bytes | None:
        """Return the bytes between the length of a request's frame and its message.

        `None` if the template does not apply, or `context` is invalid; the general code then reports the error.
        """
        if context.timeout is None:
            return None
        # Must match `request_metadata`.
        milliseconds = max(math.ceil(context.timeout * 1000), 0)
        if (
            not self._low <= milliseconds < self._high
            or context.attempt != self._attempt
            or context.tag != self._tag
            or context.caller != self._caller
            or context.trace != self._trace
        ) and not self._learn(context, str(milliseconds).encode()):
            return None
        return self._template % (_pack_i32(sequence_id), milliseconds)

    def _learn(self, context: RequestContext, digits: bytes) -> bool:
        """Build the template for the values of `context`, and return whether that is possible."""
        self._high = 0  # matches nothing until the template is complete
        try:
            found = self._framing.frame_prefix(self._envelope, request_metadata(NO_METADATA, context))
        except LocalProtocolError:
            return False
        if found is None:
            return False
        # The timeout is the first pair, before values that may contain the same bytes.
        before, name, after = found.after.partition(b"%c%b%c" % (len(_NAME), _NAME, len(digits)))
        if not name or not after.startswith(digits):
            return False
        parts = found.before, before + name, after[len(digits) :]
        self._template = b"%b%%b%b%%d%b" % tuple(part.replace(b"%", b"%%") for part in parts)
        self._attempt, self._tag, self._caller, self._trace = (
            context.attempt, context.tag, context.caller, context.trace
        )  # fmt: skip
        self._low = 0 if len(digits) == 1 else 10 ** (len(digits) - 1)
        self._high = 10 ** len(digits)
        return True
