"""Responses of etcd's JSON gateway, and the mapping of its errors.

The gateway encodes bytes as base64 and 64-bit numbers as strings, and omits fields with default values.
Source: https://etcd.io/docs/v3.4/dev-guide/apispec/swagger/rpc.swagger.json and api/v3rpc/rpctypes/error.go.
"""

from __future__ import annotations

import contextlib
from typing import Final, TypeVar

import msgspec

from idlrt.errors import RegistryError, RegistryRefused, RegistryUnavailable
from idlrt.registry.backend import SessionLost

__all__ = [
    "AuthDisabled",
    "Compacted",
    "Event",
    "Header",
    "Ignored",
    "KeepAlive",
    "KeyValue",
    "LeaseGranted",
    "RangeResponse",
    "StaleToken",
    "TimeToLive",
    "Token",
    "TxnResponse",
    "WatchInterrupted",
    "WatchResponse",
    "http_error",
    "read",
    "read_line",
    "watch_error",
]

T = TypeVar("T")


class Compacted(RegistryUnavailable):
    """The requested revision is compacted, or in the future: the changes since then cannot be determined."""


class WatchInterrupted(RegistryUnavailable):
    """An established watch was interrupted. It can be resumed at another endpoint."""


class StaleToken(RegistryRefused):
    """The authentication token has expired: log in again."""


class AuthDisabled(RegistryRefused):
    """Authentication is disabled, so a login is not possible."""


class Header(msgspec.Struct, frozen=True):
    """Header of every response."""

    revision: int = 0


class KeyValue(msgspec.Struct, frozen=True):
    """A key with its value."""

    key: bytes
    value: bytes = b""
    mod_revision: int = 0
    lease: int = 0


class Ignored(msgspec.Struct, frozen=True):
    """A response whose content is not used."""


class Token(msgspec.Struct, frozen=True):
    """Response of `auth/authenticate`."""

    token: str


class LeaseGranted(msgspec.Struct, frozen=True, rename={"id": "ID", "ttl": "TTL"}):
    """Response of `lease/grant`."""

    id: int
    ttl: int


class KeepAlive(msgspec.Struct, frozen=True, rename={"ttl": "TTL"}):
    """Response of `lease/keepalive`. A TTL of 0 means that the lease does not exist."""

    ttl: int = 0


class TimeToLive(msgspec.Struct, frozen=True, rename={"ttl": "TTL"}):
    """Response of `lease/timetolive`: the keys attached to a lease. The TTL is not positive if it does not exist."""

    ttl: int = 0
    keys: list[bytes] = []


class RangeResponse(msgspec.Struct, frozen=True):
    """Response of `kv/range`."""

    header: Header = Header()
    kvs: list[KeyValue] = []
    more: bool = False
    count: int = 0


class _Response(msgspec.Struct, frozen=True):
    response_range: RangeResponse | None = None


class TxnResponse(msgspec.Struct, frozen=True):
    """Response of `kv/txn`."""

    succeeded: bool = False
    responses: list[_Response] = []

    @property
    def found(self) -> KeyValue | None:
        """The first key found by the first range request of the transaction."""
        listed = next((each.response_range for each in self.responses if each.response_range is not None), None)
        return listed.kvs[0] if listed is not None and listed.kvs else None


class Event(msgspec.Struct, frozen=True):
    """A write or a deletion of a key."""

    kv: KeyValue
    type: str = "PUT"


class WatchResponse(msgspec.Struct, frozen=True):
    """A message of the `watch` stream."""

    header: Header = Header()
    events: list[Event] = []
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""


class _Failure(msgspec.Struct, frozen=True):
    code: int = -1
    grpc_code: int = -1
    message: str = ""


class _Line(msgspec.Struct, frozen=True):
    result: msgspec.Raw = msgspec.Raw()
    error: _Failure | None = None


def read(data: bytes | str | msgspec.Raw, kind: type[T]) -> T:
    """Decode a response.

    Raises:
        RegistryUnavailable: it cannot be decoded.
    """
    try:
        return msgspec.json.decode(data, type=kind, strict=False)
    except (msgspec.MsgspecError, ValueError) as error:
        raise RegistryUnavailable(f"invalid response ({error}); check that this is an etcd server") from error


def read_line(data: bytes | str, kind: type[T]) -> T:
    """Decode a message of a gRPC stream.

    Raises:
        RegistryError: it is an error.
    """
    line = read(data, _Line)
    if line.error is not None:
        raise _grpc_error(max(line.error.code, line.error.grpc_code), line.error.message)
    return read(line.result, kind)


def http_error(status: int, body: bytes) -> RegistryError:
    """Build the error for a response whose HTTP status is not 200."""
    failure = _Failure()
    # Errors have one form for unary requests, and another for streams.
    with contextlib.suppress(msgspec.MsgspecError, ValueError):
        failure = msgspec.json.decode(body, type=_Failure)
    with contextlib.suppress(msgspec.MsgspecError, ValueError):
        failure = msgspec.json.decode(body, type=_Line).error or failure
    code = max(failure.code, failure.grpc_code)
    if code >= 0:
        return _grpc_error(code, failure.message)
    if status in (401, 403):
        return RegistryRefused(f"HTTP status {status}; a proxy before etcd denies access to this client")
    if status == 404:
        return RegistryRefused(
            "no /v3 JSON gateway; it requires etcd 3.4 or later, without --enable-grpc-gateway=false"
        )
    return RegistryUnavailable(f"HTTP status {status}")


def watch_error(answer: WatchResponse) -> RegistryError:
    """Build the error for a watch that the server canceled."""
    if answer.compact_revision:
        return Compacted(f"revisions before {answer.compact_revision} are compacted")
    reason = answer.cancel_reason
    code = next((code for name, code in _CODES.items() if name in reason), -1)
    return _grpc_error(code, reason.rpartition(" desc = ")[2] or "the server canceled the watch")


# gRPC status codes by the names that Go prints.
_CODES: Final = {"InvalidArgument": 3, "PermissionDenied": 7, "Unauthenticated": 16}

_ALLOW: Final = "grant the user a role with read and write permission for the prefix"
_LOGIN: Final = "write etcd://USER:PASSWORD@HOST"
_KINDS: Final[dict[int, tuple[type[RegistryError], str]]] = {
    3: (RegistryRefused, ""),
    5: (SessionLost, ""),
    7: (RegistryRefused, _ALLOW),
    9: (AuthDisabled, ""),
    11: (Compacted, ""),
    12: (RegistryRefused, "etcd 3.4 or later is required"),
    16: (StaleToken, _LOGIN),
}
# Errors that the code alone does not identify.
_WORDS: Final[dict[str, tuple[type[RegistryError], str]]] = {
    "user name is empty": (RegistryRefused, f"authentication is enabled: {_LOGIN}"),
    "auth store is old": (StaleToken, _LOGIN),
    "invalid user ID or password": (RegistryRefused, "special characters of a password must be percent-encoded"),
    "database space exceeded": (RegistryUnavailable, "compact and defragment the database, then disarm the alarm"),
}


def _grpc_error(code: int, message: str) -> RegistryError:
    kind, do = _KINDS.get(code, (RegistryUnavailable, ""))
    for words, known in _WORDS.items():
        if words in message:
            kind, do = known
    text = message.removeprefix("etcdserver: ") or f"code {code}"
    return kind(f"{text}; {do}" if do else text)
