"""Checks of request heads that the parser (llhttp) does not make, and the decision what to do with a request.

Sources: RFC 9110 and 9112; each check names its section
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from idlrt.printable import plural
from idlrt.protocol.http.compression import GZIP
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.site import Endpoint, Site

__all__ = ["BadHead", "Decision", "check_head", "decide", "line_size", "target_of", "too_large"]

_TOKEN_VERBS: Final = frozenset({b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"})
_SINGLE: Final = frozenset(
    {b"host", b"content-length", b"content-type", b"authorization", b"expect", b"content-encoding"}
)
_ENCODINGS: Final = (b"", b"identity", *GZIP)
_CHARSETS: Final = (b"utf-8", b"utf8", b"us-ascii")


class BadHead(Exception):
    """A head after which the connection cannot be used.

    Attributes:
        status: status of the response.
        why: its text; it never contains bytes of the request.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Decision:
    """Decision about a request: call an endpoint, or respond with a page or an error.

    Attributes:
        endpoint: endpoint; `None` for a static page, OPTIONS or an error.
        values: raw values of the path's variables.
        status: status of the response without an endpoint.
        why: text of an error.
        allow: value of the header `Allow`, for 405 and OPTIONS; empty otherwise.
    """

    __slots__ = ("allow", "endpoint", "status", "values", "why")

    def __init__(
        self, endpoint: Endpoint | None, values: tuple[bytes, ...] = (), status: int = 0, why: str = "", allow: str = ""
    ) -> None:
        self.endpoint = endpoint
        self.values = values
        self.status = status
        self.why = why
        self.allow = allow


def line_size(verb: bytes, url: bytes) -> int:
    """Return the size of a request line in bytes, without its line break."""
    return len(verb) + len(url) + len("  HTTP/1.1")


def too_large(options: Http, verb: bytes, url: bytes, count: int) -> BadHead:
    """Return the error of a head that exceeds a limit.

    Args:
        options: limits.
        verb: HTTP method.
        url: request target, or as much of it as has arrived.
        count: number of headers so far.
    """
    if line_size(verb, url) > options.max_line:
        return BadHead(414, f"the request line must have at most {plural(options.max_line, 'byte')}")
    if count > options.max_headers:
        return BadHead(431, f"the request must have at most {plural(options.max_headers, 'header')}")
    return BadHead(431, f"the head of the request must have at most {plural(options.max_head, 'byte')}")


def check_head(version: str, headers: Mapping[bytes, bytes], repeated: frozenset[bytes] | set[bytes]) -> None:
    """Check the headers of a request.

    Args:
        version: HTTP version.
        headers: values by lower-case name.
        repeated: names that occur more than once.

    Raises:
        BadHead: the head is invalid; where it ends, or what it means, is uncertain.
    """
    if version not in ("1.1", "1.0"):
        raise BadHead(505, "only HTTP/1.1 and HTTP/1.0 are supported")  # RFC 9110, section 15.6.6
    if repeated and not repeated.isdisjoint(_SINGLE):
        name = min(repeated & _SINGLE).decode()
        raise BadHead(400, f"header {name} must occur once")  # RFC 9112, sections 3.2 and 6.3
    if b"host" not in headers and version == "1.1":
        raise BadHead(400, "header host is missing")  # RFC 9112, section 3.2
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if version == "1.0":
            raise BadHead(400, "HTTP/1.0 has no transfer codings")  # RFC 9112, section 6.1
        if b"transfer-encoding" in repeated or coding.lower() != b"chunked":
            raise BadHead(501, "the only supported transfer coding is chunked")  # RFC 9112, section 6.1
        if b"content-length" in headers:
            raise BadHead(400, "content-length and transfer-encoding exclude each other")  # RFC 9112, section 6.3
    if headers.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise BadHead(417, "the only supported expectation is 100-continue")  # RFC 9110, section 10.1.1


def target_of(url: bytes, headers: Mapping[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return the path and the query of a request target.

    Raises:
        BadHead: it is invalid.

    Source: RFC 9112, section 3.2
    """
    if url[:1] != b"/":
        if url == b"*":
            return url, b""
        scheme, colon, rest = url.partition(b"://")
        host, slash, path = rest.partition(b"/")
        if not colon or scheme.lower() not in (b"http", b"https") or host != headers.get(b"host", host):
            raise BadHead(400, "the request target must be a path, or a URL with the host of the header host")
        url = slash + path or b"/"
        if url[:1] != b"/":
            raise BadHead(400, "the request target must be a path")
    if b"#" in url:
        raise BadHead(400, "the request target must not have a fragment")
    path, _, query = url.partition(b"?")
    if b"%00" in path:
        raise BadHead(400, "the path must not contain NUL")
    return path, query


def decide(site: Site, verb: bytes, path: bytes, headers: Mapping[bytes, bytes]) -> Decision:
    """Return what to do with a request whose head is valid."""
    # Browsers always send it; health checks with HTTP/1.0 often do not.
    host = headers.get(b"host")
    if host is not None and not site.is_host(host):
        detail = "header host: this server does not serve this host; its option `hosts` lists those that it serves"
        return Decision(None, (), 421, detail)
    found = site.find(verb, path)
    if found is None:
        return _without_route(site, verb, path)
    endpoint, values = found
    binding = endpoint.binding
    if binding is not None and binding.has_body:
        content_type = headers.get(b"content-type")
        if content_type is not None:
            kind = content_type.partition(b";")[0].strip().lower()
            if not binding.accepts(kind):
                return Decision(None, (), 415, f"the content type must be {binding.accepted}")
            if b"charset" in content_type.lower() and not binding.is_raw and not _is_utf8(content_type):
                return Decision(None, (), 415, "the charset of the content type must be UTF-8")
        elif not binding.is_raw and (headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers):
            return Decision(None, (), 415, f"header content-type is missing; it must be {binding.accepted}")
    if endpoint.inline is not None and (b"transfer-encoding" in headers or b"content-encoding" in headers):
        return Decision(None, (), 411, "the body must have a length (header content-length), and no encoding")
    if endpoint.inline is not None and int(headers.get(b"content-length", b"0")) > endpoint.inline.max_bytes:
        return Decision(None, (), 413, f"the body must have at most {plural(endpoint.inline.max_bytes, 'byte')}")
    if headers.get(b"content-encoding", b"").lower() not in _ENCODINGS:
        return Decision(None, (), 415, "the only supported content encoding is gzip")
    return Decision(endpoint, values)


def _is_utf8(content_type: bytes) -> bool:
    for part in content_type.lower().split(b";")[1:]:
        name, _, value = part.partition(b"=")
        if name.strip() == b"charset" and value.strip(b' \t"') not in _CHARSETS:
            return False
    return True


def _without_route(site: Site, verb: bytes, path: bytes) -> Decision:
    if path == b"*" and verb == b"OPTIONS":
        return Decision(None, (), 204, allow=", ".join(each.decode() for each in sorted(_TOKEN_VERBS)))
    if path in site.pages and verb in (b"GET", b"HEAD"):
        return Decision(None, (), 200)
    verbs = site.verbs(path)
    allow = ", ".join(verbs)
    if not verbs and verb not in _TOKEN_VERBS:
        return Decision(None, (), 501, "this HTTP method is not supported")
    if not verbs:
        return Decision(None, (), 404, "no route has this path")
    if verb == b"OPTIONS":
        return Decision(None, (), 204, allow=allow)
    return Decision(None, (), 405, f"this path supports {allow}", allow)
