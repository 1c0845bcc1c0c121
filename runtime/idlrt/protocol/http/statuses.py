"""Mapping between HTTP statuses and the errors of this runtime, in both directions.

| error of a call               | status | code               | remark                              |
|-------------------------------|--------|--------------------|-------------------------------------|
| arguments that cannot be read | 400    | invalid_argument   | also codes of unreadable messages   |
| `UNAUTHENTICATED`             | 401    | unauthenticated    | with `WWW-Authenticate: Bearer`     |
| `PERMISSION_DENIED`           | 403    | permission_denied  |                                     |
| unknown path                  | 404    | not_found          | clients read it as `UNKNOWN_METHOD` |
| known path, another verb      | 405    | unimplemented      | with `Allow`                        |
| `LOADSHEDDING` of one caller  | 429    | resource_exhausted | not executed; with `Retry-After`    |
| `INTERNAL_ERROR`, `UNKNOWN`   | 500    | internal, unknown  | the server's log has the exception  |
| `UNKNOWN_METHOD`              | 501    | unimplemented      |                                     |
| `LOADSHEDDING`                | 503    | unavailable        | not executed; with `Retry-After`    |
| `TIMEOUT`                     | 504    | deadline_exceeded  | not executed                        |

Sources: RFC 9110, section 15; google.rpc.Code (googleapis, google/rpc/code.proto)
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from idlrt.errors import ApplicationCode, ApplicationError

__all__ = ["TITLES", "application_error", "code_of", "status_and_code", "title"]

_INVALID: Final = (400, "invalid_argument")
_INTERNAL: Final = (500, "internal")
_ERRORS: Final[dict[int, tuple[int, str]]] = {
    ApplicationCode.UNKNOWN: (500, "unknown"),
    ApplicationCode.UNKNOWN_METHOD: (501, "unimplemented"),
    ApplicationCode.INVALID_MESSAGE_TYPE: _INVALID,
    ApplicationCode.WRONG_METHOD_NAME: _INVALID,
    ApplicationCode.BAD_SEQUENCE_ID: _INTERNAL,
    ApplicationCode.MISSING_RESULT: _INTERNAL,
    ApplicationCode.INTERNAL_ERROR: _INTERNAL,
    ApplicationCode.PROTOCOL_ERROR: _INVALID,
    ApplicationCode.INVALID_TRANSFORM: _INVALID,
    ApplicationCode.INVALID_PROTOCOL: _INVALID,
    ApplicationCode.UNSUPPORTED_CLIENT_TYPE: _INVALID,
    ApplicationCode.LOADSHEDDING: (503, "unavailable"),
    ApplicationCode.TIMEOUT: (504, "deadline_exceeded"),
    ApplicationCode.PERMISSION_DENIED: (403, "permission_denied"),
    ApplicationCode.UNAUTHENTICATED: (401, "unauthenticated"),
}
_OF_CALLER: Final = (429, "resource_exhausted")

_CODES: Final[dict[int, str]] = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    405: "unimplemented",
    408: "deadline_exceeded",
    409: "aborted",
    413: "resource_exhausted",
    414: "resource_exhausted",
    415: "invalid_argument",
    417: "invalid_argument",
    421: "permission_denied",
    429: "resource_exhausted",
    431: "resource_exhausted",
    500: "internal",
    501: "unimplemented",
    502: "unavailable",
    503: "unavailable",
    504: "deadline_exceeded",
    505: "unimplemented",
}

# What clients conclude from a status without a readable body, as gRPC and Connect do.
_FROM_STATUS: Final[dict[int, ApplicationCode]] = {
    400: ApplicationCode.PROTOCOL_ERROR,
    401: ApplicationCode.UNAUTHENTICATED,
    403: ApplicationCode.PERMISSION_DENIED,
    404: ApplicationCode.UNKNOWN_METHOD,
    405: ApplicationCode.UNKNOWN_METHOD,
    413: ApplicationCode.PROTOCOL_ERROR,
    415: ApplicationCode.PROTOCOL_ERROR,
    429: ApplicationCode.LOADSHEDDING,
    500: ApplicationCode.INTERNAL_ERROR,
    501: ApplicationCode.UNKNOWN_METHOD,
    503: ApplicationCode.LOADSHEDDING,
    504: ApplicationCode.TIMEOUT,
}

TITLES: Final[dict[int, str]] = {each.value: each.phrase for each in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    422: "Unprocessable Content",
}
"""Reason phrases by status."""


def title(status: int) -> str:
    """Return the reason phrase of a status, `Unknown` if it has none."""
    return TITLES.get(status, "Unknown")


def code_of(status: int) -> str:
    """Return the code of an error with a status."""
    return _CODES.get(status, "unknown" if status >= 500 else "failed_precondition")


def status_and_code(error: ApplicationError) -> tuple[int, str]:
    """Return the status and the code of an error."""
    if error.code == ApplicationCode.LOADSHEDDING and error.is_per_caller:
        return _OF_CALLER
    return _ERRORS.get(error.code, _ERRORS[ApplicationCode.UNKNOWN])


def application_error(status: int, message: str) -> ApplicationError:
    """Return the error of a call for the status of its response."""
    code = _FROM_STATUS.get(status)
    if code is None:
        code = ApplicationCode.UNKNOWN
    error = ApplicationError(message, code)
    error.is_per_caller = status == _OF_CALLER[0]
    return error
