"""What etcd's JSON gateway answers, and which error each refusal is.

Bytes stand in base64 and 64-bit numbers as text in it; what has its default value is left out.
Source: https://etcd.io/docs/v3.4/dev-guide/apispec/swagger/rpc.swagger.json and api/v3rpc/rpctypes/error.go.
"""

from __future__ import annotations

import contextlib
from typing import Final, TypeVar

import msgspec

from idlrt.errors import RegistryError, RegistryRefused, RegistryUnavailable
from idlrt.registry.backend import SessionLost

__all__ = [
    "Alive",
    "Attached",
    "AuthOff",
    "Done",
    "Event",
    "Granted",
    "Header",
    "HistoryLost",
    "Interrupted",
    "KeyValue",
    "Listed",
    "Nothing",
    "StaleToken",
    "Token",
    "Watched",
    "canceled",
    "read",
    "read_line",
    "refused",
]

T = TypeVar("T")


class HistoryLost(RegistryUnavailable):
    """The revision that was asked for is compacted, or has not been yet: what has changed since is not known."""


class Interrupted(RegistryUnavailable):
    """A watch that had begun has ended. It may go on elsewhere."""


class StaleToken(RegistryRefused):
    """The token is not good any more: say name and password again."""


class AuthOff(RegistryRefused):
    """There are no users, so nobody can say that he is one."""


class Header(msgspec.Struct, frozen=True):
    """Of every answer."""

    revision: int = 0


class KeyValue(msgspec.Struct, frozen=True):
    """A key and what it holds."""

    key: bytes
    value: bytes = b""
    mod_revision: int = 0
    lease: int = 0


class Nothing(msgspec.Struct, frozen=True):
    """An answer of which nothing is looked at."""


class Token(msgspec.Struct, frozen=True):
    """Of `auth/authenticate`."""

    token: str


class Granted(msgspec.Struct, frozen=True, rename={"id": "ID", "ttl": "TTL"}):
    """Of `lease/grant`."""

    id: int
    ttl: int


class Alive(msgspec.Struct, frozen=True, rename={"ttl": "TTL"}):
    """Of `lease/keepalive`: 0 seconds left is how it says that there is no such lease."""

    ttl: int = 0


class Attached(msgspec.Struct, frozen=True, rename={"ttl": "TTL"}):
    """Of `lease/timetolive`: the keys that hang on a lease. No seconds are left if there is no such lease."""

    ttl: int = 0
    keys: list[bytes] = []


class Listed(msgspec.Struct, frozen=True):
    """Of `kv/range`."""

    header: Header = Header()
    kvs: list[KeyValue] = []
    more: bool = False
    count: int = 0


class _Response(msgspec.Struct, frozen=True):
    response_range: Listed | None = None


class Done(msgspec.Struct, frozen=True):
    """Of `kv/txn`."""

    succeeded: bool = False
    responses: list[_Response] = []

    @property
    def found(self) -> KeyValue | None:
        """What the first range in it has found."""
        listed = next((each.response_range for each in self.responses if each.response_range is not None), None)
        return listed.kvs[0] if listed is not None and listed.kvs else None


class Event(msgspec.Struct, frozen=True):
    """Something that was written or deleted."""

    kv: KeyValue
    type: str = "PUT"


class Watched(msgspec.Struct, frozen=True):
    """One answer of `watch`."""

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
    """An answer.

    Raises:
        RegistryUnavailable: it is none.
    """
    try:
        return msgspec.json.decode(data, type=kind, strict=False)
    except (msgspec.MsgspecError, ValueError) as error:
        raise RegistryUnavailable(f"its answer cannot be read ({error}); is that etcd?") from error


def read_line(data: bytes | str, kind: type[T]) -> T:
    """One of the answers of what is a stream in gRPC.

    Raises:
        RegistryError: it says that something went wrong.
    """
    line = read(data, _Line)
    if line.error is not None:
        raise _failed(max(line.error.code, line.error.grpc_code), line.error.message)
    return read(line.result, kind)


def refused(status: int, body: bytes) -> RegistryError:
    """The error that an answer with an HTTP status other than 200 is."""
    failure = _Failure()
    # As plain requests are refused, and as streams are.
    with contextlib.suppress(msgspec.MsgspecError, ValueError):
        failure = msgspec.json.decode(body, type=_Failure)
    with contextlib.suppress(msgspec.MsgspecError, ValueError):
        failure = msgspec.json.decode(body, type=_Line).error or failure
    code = max(failure.code, failure.grpc_code)
    if code >= 0:
        return _failed(code, failure.message)
    if status in (401, 403):
        return RegistryRefused(f"HTTP status {status}; whatever stands before etcd does not let this client through")
    if status == 404:
        return RegistryRefused("it has no /v3 JSON gateway; etcd 3.4 or later has, unless --enable-grpc-gateway=false")
    return RegistryUnavailable(f"HTTP status {status}")


def canceled(answer: Watched) -> RegistryError:
    """Why a watch was ended."""
    if answer.compact_revision:
        return HistoryLost(f"what was before revision {answer.compact_revision} is compacted")
    reason = answer.cancel_reason
    code = next((code for name, code in _CODES.items() if name in reason), -1)
    return _failed(code, reason.rpartition(" desc = ")[2] or "it ended the watch")


# gRPC's, by the names that Go prints.
_CODES: Final = {"InvalidArgument": 3, "PermissionDenied": 7, "Unauthenticated": 16}

_ALLOW: Final = "give the user a role that may read and write under the prefix"
_LOGIN: Final = "write etcd://USER:PASSWORD@HOST"
_KINDS: Final[dict[int, tuple[type[RegistryError], str]]] = {
    3: (RegistryRefused, ""),
    5: (SessionLost, ""),
    7: (RegistryRefused, _ALLOW),
    9: (AuthOff, ""),
    11: (HistoryLost, ""),
    12: (RegistryRefused, "etcd 3.4 or later is needed"),
    16: (StaleToken, _LOGIN),
}
# Where the code alone does not tell.
_WORDS: Final[dict[str, tuple[type[RegistryError], str]]] = {
    "user name is empty": (RegistryRefused, f"it asks for users: {_LOGIN}"),
    "auth store is old": (StaleToken, _LOGIN),
    "invalid user ID or password": (RegistryRefused, "mind that special characters of a password are %-quoted in URLs"),
    "database space exceeded": (RegistryUnavailable, "compact and defragment it, then disarm the alarm"),
}


def _failed(code: int, message: str) -> RegistryError:
    kind, do = _KINDS.get(code, (RegistryUnavailable, ""))
    for words, known in _WORDS.items():
        if words in message:
            kind, do = known
    text = message.removeprefix("etcdserver: ") or f"code {code}"
    return kind(f"{text}; {do}" if do else text)
