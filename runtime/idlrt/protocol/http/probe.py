"""Check of the installed parser: builds of llhttp that accept ambiguous messages must not serve.

Between a proxy and a server that disagree about where a message ends, one client can smuggle requests into the
connection of another.

Sources: CVE-2024-27982 (folded headers), CVE-2022-32215 (line feeds and transfer codings), RFC 9112, section 11.2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import httptools

from idlrt.errors import ConfigurationError

__all__ = ["check_parser"]

_HEAD: Final = b"POST / HTTP/1.1\r\nhost: a\r\n"
_MUST_REFUSE: Final = {
    "folded headers": _HEAD + b"a: b\r\n content-length: 1\r\n\r\n",
    "content-length with transfer-encoding": _HEAD + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    "two content-lengths": _HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
    "blanks in front of a colon": _HEAD + b"content-length : 1\r\n\r\n",
    "bare line feeds": _HEAD + b"a: b\ncontent-length: 1\r\n\r\n",
    "line feeds in chunk extensions": _HEAD + b"transfer-encoding: chunked\r\n\r\n1;a\nb\r\n",
}


class _Ignore:
    """Receives callbacks."""


def check_parser(parser: Callable[[Any], Any] = httptools.HttpRequestParser) -> None:
    """Check that the parser refuses ambiguous messages.

    Args:
        parser: creates a parser with its callbacks.

    Raises:
        ConfigurationError: it accepts one.
    """
    for what, data in _MUST_REFUSE.items():
        try:
            parser(_Ignore()).feed_data(data)
        except httptools.HttpParserError:
            continue
        raise ConfigurationError(
            f"cannot serve HTTP: httptools accepts {what}, which allows request smuggling; "
            f"upgrade it: pip install --upgrade httptools"
        )
