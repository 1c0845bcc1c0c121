"""Where a server listens, as text: `tcp://host:port`, `host:port`, `[::1]:port`, `:port`, `unix:/run/shop.sock`.

Without a host a server listens on every interface and a client goes to this machine. `unix:@name` is a socket in
Linux's abstract namespace, which needs no file.
"""

from __future__ import annotations

import os
import re
import socket
from typing import Any, Final

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.printable import mask_passwords

__all__ = ["Address"]

_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)", re.DOTALL)
_HOST_PORT: Final = re.compile(r"(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s:/?#\[\]@]*)):([0-9]{1,5})")
_UNIX: Final = "unix:"
# What fits into `sockaddr_un` everywhere.
_LONGEST_PATH: Final = 103


class Address(msgspec.Struct, frozen=True):
    """A TCP address, or the path of a unix socket.

    Attributes:
        host: a name or a number, without brackets; empty for every interface.
        port: 0 asks the system for a free one.
        path: of a unix socket, a leading `@` for the abstract namespace; empty for TCP.
    """

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    @property
    def place(self) -> str:
        """The path of a unix socket as the operating system takes it."""
        return f"\0{self.path[1:]}" if self.path.startswith("@") else self.path

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that `text` says.

        Raises:
            ConfigurationError: it says none.
        """
        _check_text(text)
        if text[: len(_UNIX)].lower() == _UNIX:
            return cls("", 0, _path(text, text[len(_UNIX) :]))
        rest = text
        if match := _SCHEME.fullmatch(text):
            scheme, rest = match[1].lower(), match[2]
            if scheme != "tcp":
                raise _refuse(text, f"the scheme {scheme!r} is not known; known: tcp, unix")
        match = _HOST_PORT.fullmatch(rest)
        if match is None:
            if rest.count(":") > 1 and "[" not in rest and "/" not in rest:
                raise _refuse(text, "write an IPv6 address in brackets, as in tcp://[::1]:9090")
            if ":" not in rest:
                raise _refuse(text, "it has no port; write host:port, as in tcp://127.0.0.1:9090")
            raise _refuse(text, "write tcp://host:port, as in tcp://127.0.0.1:9090")
        port = int(match[3])
        if port > 65535:
            raise _refuse(text, f"the port {port} is over 65535")
        return cls(match[1] or match[2] or "", port)


def _check_text(found: object) -> None:
    if not isinstance(found, str):
        raise ConfigurationError(f"an address is text such as tcp://127.0.0.1:9090, not {found!r}")


def _path(text: str, rest: str) -> str:
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    if not path or path == "@" or "\0" in path or path.startswith("//"):
        raise _refuse(text, "write unix:/path/of/the.sock")
    try:
        size = len(os.fsencode(path))
    except UnicodeEncodeError as error:
        raise _refuse(text, f"the path cannot be one: {error.reason}") from None
    if size > _LONGEST_PATH:
        raise _refuse(text, f"the path has {size} bytes, the system takes {_LONGEST_PATH}")
    if not hasattr(socket, "AF_UNIX"):
        raise _refuse(text, "this system has no unix sockets")
    return path


def peer_name(found: Any) -> str:
    """What `accept` says about a client, for people."""
    return f"{found[0]}:{found[1]}" if isinstance(found, tuple) else "unix"


def _refuse(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"cannot read the address {mask_passwords(text, is_url=True)!r}: {why}")
