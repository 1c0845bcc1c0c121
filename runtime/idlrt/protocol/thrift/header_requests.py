"""Headers of the requests of one client connection, where all metadata is typed values of our own.

Nearly all requests of a connection are like that, and their headers differ in the sequence id and the timeout only. So
a template of the last one is kept, and used again while timeouts have as many digits and the other values are the same.
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
from idlrt.protocol.thrift.infos import CLIENT_TIMEOUT, request_metadata

__all__ = ["HeaderRequests"]

_pack_i32 = struct.Struct(">i").pack
# The size of a name and of digits is one byte.
_NAME: Final = CLIENT_TIMEOUT.encode()


class HeaderRequests:
    """See the module.

    Args:
        framing: plain THeader (`Dialect.prefix` is set).
        envelope: of the messages.
    """

    __slots__ = ("_attempt", "_caller", "_envelope", "_framing", "_high", "_low", "_tag", "_template", "_trace")

    def __init__(self, framing: HeaderFramed, envelope: Envelope) -> None:
        self._framing: Final = framing
        self._envelope: Final = envelope
        self._template = b""
        # The range of timeouts, in milliseconds, and the other values that the template is for; empty at first.
        self._low = self._high = 0
        self._attempt = 0
        self._tag = self._caller = self._trace = ""

    def prefix(self, context: RequestContext, sequence_id: int) -> bytes | None:
        """Return what stands between the length of a request's frame and its message.

        `None` if that has to be made step by step, which also tells what is wrong with `context`.
        """
        if context.timeout is None:
            return None
        # As `request_metadata` has it.
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
        """Make the template for values like those of `context`. Whether it could be made."""
        self._high = 0  # until it is complete
        try:
            found = self._framing.frame_prefix(self._envelope, request_metadata(NO_METADATA, context))
        except LocalProtocolError:
            return False
        if found is None:
            return False
        # The timeout is the first pair; values that could look like one follow it.
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
