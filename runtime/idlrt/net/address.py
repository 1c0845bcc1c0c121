"""Server addresses: `tcp://host:port`, `host:port`, `[::1]:port`, `:port`, `unix:/run/shop.sock`.

Without a host a server listens on all interfaces and a client connects to `localhost`. `unix:@name` is a socket in the
abstract namespace of Linux, which needs no file.
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
# Size in bytes that fits into `sockaddr_un` on all systems.
_LONGEST_PATH: Final = 103


class Address(msgspec.Struct, frozen=True):
    """A TCP address, or the path of a Unix socket.

    Attributes:
        host: host name or IP address, without brackets; empty for all interfaces.
        port: port number; 0 requests a free port from the system.
        path: path of a Unix socket, with a leading `@` for the abstract namespace; empty for TCP.
    """

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the address, over the network stack."""
        return not self.path and (self.host in ("localhost", "::1") or self.host.startswith("127."))

    @property
    def socket_path(self) -> str:
        """Path of a Unix socket in the form that the operating system takes."""
        return f"\0{self.path[1:]}" if self.path.startswith("@") else self.path

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse an address.

        Raises:
            ConfigurationError: `text` is not a valid address.
        """
        _check_text(text)
        if text[: len(_UNIX)].lower() == _UNIX:
            return cls("", 0, _path(text, text[len(_UNIX) :]))
        rest = text
        if match := _SCHEME.fullmatch(text):
            scheme, rest = match[1].lower(), match[2]
            if scheme != "tcp":
                raise _invalid(text, f"unknown scheme {scheme!r} (known: tcp, unix)")
        match = _HOST_PORT.fullmatch(rest)
        if match is None:
            if rest.count(":") > 1 and "[" not in rest and "/" not in rest:
                raise _invalid(text, "IPv6 addresses require brackets, as in tcp://[::1]:9090")
            if ":" not in rest:
                raise _invalid(text, "missing port; write host:port, as in tcp://127.0.0.1:9090")
            raise _invalid(text, "expected tcp://host:port, as in tcp://127.0.0.1:9090")
        port = int(match[3])
        if port > 65535:
            raise _invalid(text, f"port must be at most 65535, got {port}")
        return cls(match[1] or match[2] or "", port)


def _check_text(found: object) -> None:
    if not isinstance(found, str):
        raise ConfigurationError(f"address must be a string such as 'tcp://127.0.0.1:9090', got {found!r}")


def _path(text: str, rest: str) -> str:
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    if not path or path == "@" or "\0" in path or path.startswith("//"):
        raise _invalid(text, "expected unix:/path/to/socket")
    try:
        size = len(os.fsencode(path))
    except UnicodeEncodeError as error:
        raise _invalid(text, f"the path cannot be encoded: {error.reason}") from None
    if size > _LONGEST_PATH:
        raise _invalid(text, f"the path must have at most {_LONGEST_PATH} bytes, got {size}")
    if not hasattr(socket, "AF_UNIX"):
        raise _invalid(text, "this system has no Unix sockets")
    return path


def peer_name(found: Any) -> str:
    """Return the human-readable form of a client address from `accept` or `getpeername`."""
    return f"{found[0]}:{found[1]}" if isinstance(found, tuple) else "unix"


def _invalid(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"invalid address {mask_passwords(text, is_url=True)!r}: {why}")
