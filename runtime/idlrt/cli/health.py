"""Health probe over HTTP, as `idlrt health` runs it. It starts fast: only `socket` is imported, and `ssl` for https.

The response is not an `http.client` one, because importing that takes longer than the probe: the status is read from
the first line, and the body only to explain a failure or to print it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import socket

__all__ = ["DEFAULT_TIMEOUT", "TOKEN_VARIABLE", "Target", "parse_url", "probe", "probe_by"]

DEFAULT_TIMEOUT: Final = 1.0
"""Timeout of a probe in seconds."""

TOKEN_VARIABLE: Final = "IDLRT_ADMIN_TOKEN"
"""Environment variable with the token to send."""

_DEFAULT_PATH: Final = "/readyz"
_PORTS: Final = {"http": 80, "https": 443}
_MAX_HEAD: Final = 65_536
_MAX_BODY: Final = 65_536
_LONGEST_REASON: Final = 300
_LONGEST_TIMEOUT: Final = 3600.0


class Target(NamedTuple):
    """Parsed URL of a probe.

    Attributes:
        text: URL as it is shown.
        is_encrypted: whether the scheme is https.
        host: name or address, without brackets.
        port: port.
        authority: value of the header `Host`.
        path: path and query.
    """

    text: str
    is_encrypted: bool
    host: str
    port: int
    authority: str
    path: str


def parse_url(text: str) -> Target:
    """Parse the URL of a probe.

    Raises:
        ValueError: it is invalid; the message is for users.
    """
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"invalid URL {text!r}: it must consist of printable ASCII characters without spaces")
    scheme, found, rest = text.partition("://")
    if not found:
        # A port alone is one of the loopback interface, as in `Server(..., admin=9901)`.
        is_port = text.partition("/")[0].isdigit()
        scheme, rest = "http", f"127.0.0.1:{text}" if is_port else text
    scheme = scheme.lower()
    if scheme not in _PORTS:
        raise ValueError(f"invalid URL {text!r}: unknown scheme {scheme!r} (known: http, https)")
    rest = rest.partition("#")[0]
    end = min(at for at in (rest.find("/"), rest.find("?"), len(rest)) if at >= 0)
    authority, path = rest[:end], rest[end:]
    if "@" in authority:
        raise ValueError(f"invalid URL: it must not contain a user; set {TOKEN_VARIABLE} for a token")
    host, port = authority, ""
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        if port and not port.startswith(":"):
            raise ValueError(f"invalid URL {text!r}: expected http://host:port/path")
        port = port[1:]
    elif ":" in authority:
        host, _, port = authority.rpartition(":")
    if not host or (":" in host and not authority.startswith("[")):
        raise ValueError(f"invalid URL {text!r}: expected http://host:port/path")
    if port and not (port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError(f"invalid URL {text!r}: the port must be between 1 and 65535")
    if not path.startswith("/"):
        path = f"{_DEFAULT_PATH}{path}"
    elif path == "/":
        path = _DEFAULT_PATH
    number = int(port) if port else _PORTS[scheme]
    return Target(f"{scheme}://{authority}{path}", scheme == "https", host, number, authority, path)


def probe_by(arguments: Sequence[str]) -> int | None:
    """Probe as the arguments of the command say, and return its exit code; `None` for help and for usage errors."""
    url, timeout, is_verbose = "", DEFAULT_TIMEOUT, False
    given = iter(arguments)
    for each in given:
        if each in ("--verbose", "-v"):
            is_verbose = True
        elif each == "--timeout" or each.startswith("--timeout="):
            try:
                timeout = float(each[10:] if len(each) > 9 else next(given, ""))
            except ValueError:
                return None
            if not 0.001 <= timeout <= _LONGEST_TIMEOUT:
                return None
        elif each.startswith("-") or url:
            return None
        else:
            url = each
    try:
        target = parse_url(url)
    except ValueError:
        return None
    return probe(target, timeout, is_verbose=is_verbose)


def probe(target: Target, timeout: float, *, is_verbose: bool = False) -> int:
    """Request a page, and return the exit code: 0 for a status from 200 to 399, otherwise 1 after a line of why.

    Args:
        target: the page.
        timeout: seconds for the whole probe.
        is_verbose: whether to ask for all checks, and to print the body of the response.
    """
    try:
        status, reason, body = _request(target, monotonic() + timeout, is_verbose)
    except TimeoutError:
        return _fail(target, f"no response within {timeout:g} s")
    except (OSError, ValueError) as error:
        return _fail(target, getattr(error, "strerror", None) or str(error) or type(error).__name__)
    if is_verbose and body:
        from idlrt.printable import printable

        sys.stdout.write(printable(body if body.endswith("\n") else f"{body}\n", keep="\n"))
    if 200 <= status < 400:
        return 0
    failed = "; ".join(line[3:].strip() for line in body.splitlines() if line.startswith("[-]"))
    return _fail(target, f"status {status}: {failed or reason or 'no reason'}")


def _fail(target: Target, why: str) -> int:
    from idlrt.printable import printable

    sys.stderr.write(f"idlrt: {target.text}: {printable(why)[:_LONGEST_REASON]}\n")
    return 1


def _request(target: Target, end: float, is_verbose: bool) -> tuple[int, str, str]:
    """Return status, reason phrase and body of the response.

    Raises:
        OSError: the server cannot be reached, or does not respond before `end` (`TimeoutError`).
        ValueError: the response is not HTTP.
    """
    import socket

    connection: socket.socket = socket.create_connection((target.host, target.port), _left(end))
    try:
        if target.is_encrypted:
            import ssl

            connection.settimeout(_left(end))
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=target.host)
        path = f"{target.path}?verbose" if is_verbose and "?" not in target.path else target.path
        lines = [f"GET {path} HTTP/1.1", f"host: {target.authority}", "accept: text/plain, */*;q=0.1"]
        lines += ["user-agent: idlrt-health", "connection: close", f"rpc-timeout-ms: {_left(end) * 1000:.0f}"]
        token = os.environ.get(TOKEN_VARIABLE, "")
        if token:
            if not token.isascii() or not token.isprintable():
                raise ValueError(f"{TOKEN_VARIABLE} must consist of printable ASCII characters")
            lines.append(f"authorization: Bearer {token}")
        connection.settimeout(_left(end))
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        return _response(connection, end, is_verbose)
    finally:
        connection.close()


def _left(end: float) -> float:
    left = end - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _response(connection: socket.socket, end: float, is_verbose: bool) -> tuple[int, str, str]:
    data = b""
    while (at := data.find(b"\r\n\r\n")) < 0:
        more = _receive(connection, end)
        if not more or len(data) > _MAX_HEAD:
            raise ValueError("the response is not HTTP" if data else "the server closed the connection")
        data += more
    head, body = data[:at].split(b"\r\n"), data[at + 4 :]
    version, _, rest = head[0].partition(b" ")
    code, _, reason = rest.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not (len(code) == 3 and code.isdigit()):
        raise ValueError("the response is not HTTP")
    status = int(code)
    if not is_verbose and 200 <= status < 400:
        return status, "", ""
    headers = dict(_header(line) for line in head[1:])
    is_chunked = headers.get(b"transfer-encoding", b"").lower() == b"chunked"
    size = headers.get(b"content-length", b"")
    wanted = min(int(size), _MAX_BODY) if size.isdigit() and not is_chunked else _MAX_BODY
    try:
        while len(body) < wanted and (more := _receive(connection, end)):
            body += more
    except OSError:
        pass  # the status is known, and what has arrived of the body explains it
    body = _without_chunks(body) if is_chunked else body[:wanted]
    return status, reason.decode("latin-1"), body.decode("utf-8", "replace")


def _receive(connection: socket.socket, end: float) -> bytes:
    connection.settimeout(_left(end))
    return connection.recv(65_536)


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()


def _without_chunks(data: bytes) -> bytes:
    """Return the content of a chunked body, up to the first incomplete chunk."""
    content = b""
    while data:
        size, found, data = data.partition(b"\r\n")
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            break
        if not found or length <= 0:
            break
        content += data[:length]
        data = data[length + 2 :]
    return content
