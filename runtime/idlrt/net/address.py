"""Where a server listens, as text: `tcp://host:port`, `host:port`, `[::1]:port`, `:port`.

Without a host a server listens on every interface and a client goes to this machine.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from idlrt.errors import ConfigurationError

__all__ = ["Address"]

_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)", re.DOTALL)
_HOST_PORT: Final = re.compile(r"(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s:/?#\[\]@]*)):([0-9]{1,5})")


class Address(msgspec.Struct, frozen=True):
    """A TCP address.

    Attributes:
        host: a name or a number, without brackets; empty for every interface.
        port: 0 asks the system for a free one.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that `text` says.

        Raises:
            ConfigurationError: it says none.
        """
        rest = text
        if match := _SCHEME.fullmatch(text):
            scheme, rest = match[1].lower(), match[2]
            if scheme != "tcp":
                raise _refuse(text, f"the scheme {scheme!r} is not known; known: tcp")
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


def _refuse(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"cannot read the address {text!r}: {why}")
