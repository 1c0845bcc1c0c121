"""Code shared by both ends of a `lines` connection: splitting bytes into lines, and the codecs of a method."""

from __future__ import annotations

from typing import Any, Final

from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError
from idlrt.protocol import Capabilities
from idlrt.serialization import JsonSerialization, Limits, RecordCodec
from idlrt.spec import VOID, Field, Method

__all__ = ["LINES", "Lines", "MethodCodec", "codec_of", "missing"]

LINES: Final = Capabilities(max_in_flight=1)


class Lines:
    """Cuts bytes into lines.

    Attributes:
        rest: the beginning of an unfinished line.
    """

    def __init__(self, limits: Limits) -> None:
        self.rest = bytearray()
        self._most = min(limits.max_frame, limits.max_message)

    def add(self, data: bytes, lines: list[bytes]) -> None:
        """Add the lines that `data` completes to `lines`, without their ends.

        Raises:
            RemoteProtocolError: a line is over the limit; its end is not waited for.
        """
        # A line that is long is searched for its end once, in what is new.
        *ended, rest = data.split(b"\n")
        for each in ended:
            self.rest += each
            self._check(self.rest)
            lines.append(bytes(self.rest))
            self.rest = bytearray()
        self.rest += rest
        self._check(self.rest)

    def _check(self, line: bytearray) -> None:
        if len(line) > self._most:
            raise RemoteProtocolError(f"a line has more than {self._most} bytes, the limit")


class MethodCodec:
    """The codecs of one method.

    Attributes:
        arguments: of its arguments.
        result: of its result, if it has any, and the exceptions that the IDL declares, one of which is set.
        has_result: whether it has a result.
    """

    def __init__(self, method: Method[..., Any], limits: Limits) -> None:
        values = JsonSerialization(limits)
        self.has_result = method.result is not VOID
        success = (Field(0, "success", method.result, is_required=False),) if self.has_result else ()
        self.arguments: RecordCodec = values.record(method.arguments, method.defaults, method.full_name)
        self.result: RecordCodec = values.record(success + method.throws, label=method.full_name)


def codec_of(method: Method[..., Any], limits: Limits) -> MethodCodec:
    """Return the codecs of a method, made on first use."""
    key = "lines", limits
    found: MethodCodec | None = method.codecs.get(key)
    return found if found is not None else method.codecs.setdefault(key, MethodCodec(method, limits))


def missing(method: Method[..., Any]) -> ApplicationError:
    """Return the error for a response without a result, where the method has one."""
    return ApplicationError(f"{method.full_name} has no result", ApplicationCode.MISSING_RESULT)
