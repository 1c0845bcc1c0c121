"""Error responses: problem documents (RFC 9457) as errors of calls.

    {"type": "urn:idl:NotFound", "title": "Not Found", "status": 404, "code": "not_found", "fields": {"sku": "a"}}

The type names an exception that the IDL declares, and `fields` has its fields. Without such a type, `rpc_code` is the
code of an `ApplicationError`, and `retry_after` its pushback in seconds; negative: never. Documents of other servers
lack these members: then the status decides, and it is unknown whether a call with the status 503 or 504 was executed.
"""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.printable import printable
from idlrt.protocol.http.responses import DeclaredResponse, declared_responses
from idlrt.protocol.http.statuses import application_error, code_of, title
from idlrt.spec import Method, name_of

__all__ = [
    "PROBLEM",
    "TYPE_PREFIX",
    "Problem",
    "problem_error",
    "problem_types",
    "pushback",
    "read_problem",
    "rpc_members",
    "shown_status",
    "status_error",
    "type_of",
]

PROBLEM: Final = "application/problem+json"
"""Media type of problem documents."""
TYPE_PREFIX: Final = "urn:idl:"
"""Beginning of the types of exceptions that an IDL declares."""

_NEVER: Final = 365 * 86400.0
_MAX_CODE: Final = (1 << 31) - 1
# Statuses that say "not executed" only if the server of the call sent them, not a gateway before it.
_OF_GATEWAYS: Final = frozenset({502, 503, 504})
_ABSENT: Final = msgspec.Raw()


class Problem(msgspec.Struct, frozen=True, gc=False):
    """The members of a problem document, each as JSON text; unknown members are skipped.

    Attributes:
        type: identifier of the kind of problem.
        detail: explanation of this occurrence.
        title: explanation of the kind.
        code: name of the error, as in `idlrt.protocol.http.statuses`.
        fields: fields of the exception that the type names.
        rpc_code: code of an `ApplicationError`.
        retry_after: pushback in seconds; negative: never.
    """

    type: msgspec.Raw = _ABSENT
    detail: msgspec.Raw = _ABSENT
    title: msgspec.Raw = _ABSENT
    code: msgspec.Raw = _ABSENT
    fields: msgspec.Raw = _ABSENT
    rpc_code: msgspec.Raw = _ABSENT
    retry_after: msgspec.Raw = _ABSENT


_PROBLEM: Final = msgspec.json.Decoder(Problem)
_TEXT: Final = msgspec.json.Decoder(str)
_NUMBER: Final = msgspec.json.Decoder(float)
_INTEGER: Final = msgspec.json.Decoder(int)
_WRONG: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


def read_problem(text: bytes) -> Problem | None:
    """Parse a problem document; `None` if it is none."""
    try:
        return _PROBLEM.decode(text)
    except _WRONG:
        return None


def problem_types(method: Method[..., Any]) -> dict[str, DeclaredResponse]:
    """Return the responses with exceptions that a method declares, by the types of their problem documents.

    The type has the name of the exception. If several from different files have the same name, all but the one with the
    smallest field id have the name of the field before it: `urn:idl:missing.NotFound`.
    """
    found: dict[str, DeclaredResponse] = {}
    for each in declared_responses(method):
        name = f"{TYPE_PREFIX}{name_of(each.cls)}"
        found[f"{TYPE_PREFIX}{each.field.name}.{name_of(each.cls)}" if name in found else name] = each
    return found


def type_of(problem: Problem) -> str:
    """Return the type of a problem; empty if it has none."""
    return _decoded(_TEXT, problem.type) or ""


def problem_error(status: int, problem: Problem) -> ApplicationError:
    """Return the error of a problem that is no exception of the IDL, without the pushback of headers."""
    message = _decoded(_TEXT, problem.detail) or _decoded(_TEXT, problem.title) or shown_status(status)
    number = _decoded(_INTEGER, problem.rpc_code)
    if isinstance(number, int) and abs(number) <= _MAX_CODE:
        error = ApplicationError(message, number)
        error.is_per_caller = status == 429
    else:
        is_own = _decoded(_TEXT, problem.code) == code_of(status)
        error = status_error(status, message, is_own=is_own)
    seconds = _decoded(_NUMBER, problem.retry_after)
    if seconds is not None:
        error.push_back(math.inf if seconds < 0 or seconds >= _NEVER else seconds)
    return error


def rpc_members(status: int, code: str, error: ApplicationError) -> dict[str, Any]:
    """Return the members that restore an error where its status and the header `Retry-After` do not."""
    members: dict[str, Any] = {}
    if status_error(status, "", is_own=code == code_of(status)).code != error.code and abs(error.code) <= _MAX_CODE:
        members["rpc_code"] = int(error.code)
    seconds = error.retry_after
    if seconds is not None and 0 < seconds < _NEVER and seconds != int(seconds):
        members["retry_after"] = seconds
    return members


def status_error(status: int, message: str, *, is_own: bool = False) -> ApplicationError:
    """Return the error of a response by its status.

    Args:
        is_own: whether the server of the call sent it, so that 503 and 504 mean that it was not executed.
    """
    if status in _OF_GATEWAYS and not is_own:
        return ApplicationError(message, ApplicationCode.UNKNOWN)
    return application_error(status, message)


def pushback(retry_after: str, date: str) -> float | None:
    """Return the seconds of a header `Retry-After`, seconds or a date; `None` if it is neither.

    Args:
        date: header `Date` of the response, from which a date counts.
    """
    text = retry_after.strip()
    if text.isdecimal() and text.isascii():
        seconds = float(text[:12])
        return seconds if seconds < _NEVER else math.inf
    try:
        seconds = (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(seconds, 0.0) if seconds < _NEVER else math.inf


def shown_status(status: int) -> str:
    """Return a status for a message: `HTTP status 502 Bad Gateway`."""
    return printable(f"HTTP status {status} {title(status)}")


def _decoded(decoder: msgspec.json.Decoder[Any], text: msgspec.Raw) -> Any:
    """Return the value of a member; `None` if it is absent or has another type."""
    if not bytes(text):
        return None
    try:
        return decoder.decode(text)
    except _WRONG:
        return None
