"""Mapping between the error codes of JSON-RPC and of this runtime, in both directions.

| code             | meaning                                                                              |
|------------------|--------------------------------------------------------------------------------------|
| -32700           | parse error: the line is not JSON                                                    |
| -32600           | invalid request: the message is malformed, and nothing was executed                  |
| -32601           | method not found (`UNKNOWN_METHOD`)                                                  |
| -32602           | invalid params (`PROTOCOL_ERROR`)                                                    |
| -32603           | internal error (`INTERNAL_ERROR`): the handler failed; see the server's log          |
| -32001           | an exception that the IDL declares; `data` has its name and its value                |
| -32000           | `UNKNOWN`                                                                            |
| -32002           | `INVALID_MESSAGE_TYPE`                                                               |
| -32003 to -32010 | Thrift's other codes, as -32000 minus Thrift's number                                |
| -32011           | `LOADSHEDDING`: the request was rejected and not executed                            |
| -32012           | `TIMEOUT`: deadline exceeded before the request was executed                         |
| -32017, -32026   | `PERMISSION_DENIED`, `UNAUTHENTICATED`: gRPC's status codes 7 and 16, below -32010   |
| others           | application-defined codes                                                            |

Source: https://www.jsonrpc.org/specification, section 5.1
"""

from __future__ import annotations

from typing import Final

from idlrt.errors import ApplicationCode

__all__ = ["DECLARED", "INVALID_REQUEST", "PARSE_ERROR", "application_code", "code_name", "json_rpc_code"]

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
DECLARED: Final = -32001

_CODES: Final[dict[int, int]] = {
    ApplicationCode.UNKNOWN: -32000,
    ApplicationCode.UNKNOWN_METHOD: -32601,
    ApplicationCode.INVALID_MESSAGE_TYPE: -32002,
    ApplicationCode.WRONG_METHOD_NAME: -32003,
    ApplicationCode.BAD_SEQUENCE_ID: -32004,
    ApplicationCode.MISSING_RESULT: -32005,
    ApplicationCode.INTERNAL_ERROR: -32603,
    ApplicationCode.PROTOCOL_ERROR: -32602,
    ApplicationCode.INVALID_TRANSFORM: -32008,
    ApplicationCode.INVALID_PROTOCOL: -32009,
    ApplicationCode.UNSUPPORTED_CLIENT_TYPE: -32010,
    ApplicationCode.LOADSHEDDING: -32011,
    ApplicationCode.TIMEOUT: -32012,
    ApplicationCode.PERMISSION_DENIED: -32017,
    ApplicationCode.UNAUTHENTICATED: -32026,
}
_APPLICATION: Final = {
    **{code: known for known, code in _CODES.items()},
    PARSE_ERROR: ApplicationCode.PROTOCOL_ERROR,
    INVALID_REQUEST: ApplicationCode.INVALID_MESSAGE_TYPE,
}
# Codes of requests that cannot be read. Clients conclude from them that nothing was executed.
_RESERVED: Final = range(-32768, INVALID_REQUEST + 1)
_OWN: Final = {code: ApplicationCode(known).name for known, code in _CODES.items() if code > INVALID_REQUEST}
_MAX_CODE: Final = 1 << 53


def json_rpc_code(code: object) -> int:
    """Return the code of JSON-RPC for the code of an `ApplicationError`; application-defined codes stay unchanged."""
    if not isinstance(code, int) or abs(code) >= _MAX_CODE:
        return _CODES[ApplicationCode.INTERNAL_ERROR]
    if code == DECLARED or code in _RESERVED:
        return _CODES[ApplicationCode.UNKNOWN]
    return _CODES.get(code, int(code))


def application_code(code: int) -> int:
    """Return the code of an `ApplicationError` for a code of JSON-RPC.

    A code of another server that happens to equal one of Thrift's has another meaning: it becomes `UNKNOWN`.
    """
    known = _APPLICATION.get(code)
    if known is not None:
        return known
    return ApplicationCode.UNKNOWN if code in _CODES else code


def code_name(code: int) -> str:
    """Return the name of a code between -32000 and -32599; empty if it has none."""
    return _OWN.get(code, "")
