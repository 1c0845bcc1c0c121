"""Fast path for plain requests, which most requests are: they arrive as a whole, and have a simple head.

llhttp calls Python for each header, which takes longer than all the rest. A client that keeps its connection open sends
the same header lines again and again, though, often the same head byte by byte. So a connection remembers the lines and
the heads that it has checked. A head is plain if

- its request line has a common method, a path, and HTTP/1.1,
- no header occurs twice, or has characters that need a decision, or concerns the connection or the end of the message,
  except `Content-Length`,
- it has a route, and no content coding.

All other requests, and those that arrive in parts or pipelined, go through llhttp. Both must agree on every plain head,
which a property test checks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.errors import RemoteProtocolError
from idlrt.protocol.events import RequestContext
from idlrt.protocol.http.calls import HttpCall
from idlrt.protocol.http.head import decide, line_size
from idlrt.protocol.http.metadata import read_metadata
from idlrt.protocol.http.replies import Reply
from idlrt.protocol.http.site import Endpoint, Site
from idlrt.spec import Method

__all__ = ["PlainRequests"]

_END: Final = b"\r\n\r\n"
_VERBS: Final = frozenset({b"GET", b"POST", b"PUT", b"PATCH", b"DELETE"})
# Printable ASCII without `#`.
_TARGET: Final = re.compile(rb"/[!\"$-~]*")
# Tokens without `_` (RFC 9110, section 5.6.2), and field values (section 5.5).
_LINE: Final = re.compile(rb"([!#$%&'*+.^`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)")
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_NOT_PLAIN: Final = frozenset(
    {b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"proxy-connection", b"trailer", b"te"}
)
_MAX_LINES: Final = 64
_MAX_LINE: Final = 256
_MAX_HEADS: Final = 8
_MAX_HEAD: Final = 2048
# Heads that differ, e.g. by a trace id, are not worth remembering.
_MAX_MISSES: Final = 32


class _Head(msgspec.Struct, frozen=True, gc=False):
    """Meaning of a plain head."""

    endpoint: Endpoint
    key: str
    method: Method[..., Any]
    metadata: Metadata
    context: RequestContext
    reply: Reply
    values: tuple[bytes, ...]
    query: bytes
    headers: Mapping[bytes, bytes]
    length: int


class PlainRequests:
    """Lines and heads of one connection.

    Args:
        site: routes and rules of the server.
    """

    __slots__ = ("_heads", "_lines", "_misses", "_most", "_site")

    def __init__(self, site: Site) -> None:
        self._site = site
        self._heads: dict[bytes, _Head] = {}
        self._lines: dict[bytes, tuple[bytes, bytes]] = {}
        self._misses = 0
        # The last request of a connection is not plain: its response says so.
        self._most = site.options.max_requests or 1 << 62

    def call(self, data: bytes, number: int) -> HttpCall | None:
        """Return the call that `data` consists of; `None` if it is not exactly one plain request.

        Args:
            data: received bytes, at the beginning of a request.
            number: number of the request on its connection.
        """
        if number >= self._most:
            return None
        end = data.find(_END) + 4
        bytes_of_head = data[:end]
        head = self._heads.get(bytes_of_head)
        if head is None:
            head = self._read(bytes_of_head)
            if head is None:
                return None
            self._remember(bytes_of_head, head)
        else:
            self._misses = 0
        if len(data) != end + head.length:
            return None
        # Filters own the metadata of their call, also where they change it.
        metadata = dict(head.metadata) if head.metadata else NO_METADATA
        return HttpCall(
            number, head.key, head.method, False, False, metadata, head.context, None, None, None, len(data),
            endpoint=head.endpoint, reply=head.reply, values=head.values, query=head.query, headers=head.headers,
            body=data[end:],
        )  # fmt: skip

    def _remember(self, data: bytes, head: _Head) -> None:
        self._misses += 1
        if self._misses <= _MAX_MISSES and len(data) <= _MAX_HEAD:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            self._heads[data] = head

    def _read(self, data: bytes) -> _Head | None:
        """Return the meaning of a head; `None` if it is not plain."""
        site = self._site
        options = site.options
        lines = data[:-4].split(b"\r\n")
        verb, _, rest = lines[0].partition(b" ")
        target, _, version = rest.partition(b" ")
        if version != b"HTTP/1.1" or verb not in _VERBS or not _TARGET.fullmatch(target):
            return None
        if (
            line_size(verb, target) > options.max_line
            or len(data) > options.max_head
            or len(lines) > options.max_headers
        ):
            return None
        headers = self._headers(lines)
        if headers is None or b"host" not in headers:
            return None
        length = int(headers.get(b"content-length", b"0"))
        path, _, query = target.partition(b"?")
        if length > site.limits.max_message or b"%00" in path:
            return None
        decision = decide(site, verb, path, headers)
        endpoint = decision.endpoint
        if endpoint is None or endpoint.binding is None:
            return None
        try:
            context, metadata = read_metadata(headers, site.metadata)
        except RemoteProtocolError:
            return None
        reply = Reply(site, False, True, False, headers)
        return _Head(
            endpoint, endpoint.key, endpoint.method, metadata, context, reply, decision.values, query, headers, length
        )

    def _headers(self, lines: list[bytes]) -> dict[bytes, bytes] | None:
        known = self._lines
        found: dict[bytes, bytes] = {}
        for line in lines[1:]:
            pair = known.get(line)
            if pair is None:
                pair = _pair(line)
                if pair is None:
                    return None
                if len(line) <= _MAX_LINE:
                    if len(known) >= _MAX_LINES:
                        known.clear()
                    known[line] = pair
            found[pair[0]] = pair[1]
        return found if len(found) == len(lines) - 1 else None


def _pair(line: bytes) -> tuple[bytes, bytes] | None:
    """Return the name of a header in lower case, and its value; `None` if they are not plain."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    name, value = match[1].lower(), match[2].strip(b" \t")
    if name in _NOT_PLAIN or (name == b"connection" and value.lower() != b"keep-alive"):
        return None
    return None if name == b"content-length" and not _LENGTH.fullmatch(value) else (name, value)
