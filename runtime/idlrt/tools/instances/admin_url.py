"""URLs of admin ports: `http://host:9901`, `host:9901`, `9901`, `https://host:9901/prefix`, `unix:/path`."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.net import Address
from idlrt.printable import mask_passwords

__all__ = ["AdminUrl", "is_admin_url"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_PORTS: Final = {"http": 80, "https": 443}
_UNIX: Final = "unix:"
_LOOPBACK: Final = "127.0.0.1"


class AdminUrl(msgspec.Struct, frozen=True):
    """An admin port.

    Attributes:
        address: its address.
        is_encrypted: whether it has TLS.
        prefix: path in front of its pages, without a slash at the end; empty for none.
    """

    address: Address
    is_encrypted: bool = False
    prefix: str = ""

    def __str__(self) -> str:
        if self.address.path:
            return str(self.address)
        return f"{'https' if self.is_encrypted else 'http'}://{self.authority}{self.prefix}"

    @property
    def authority(self) -> str:
        """Value of the `Host` header."""
        if self.address.path:
            return "localhost"
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        return f"{host}:{self.address.port}"

    @classmethod
    def parse(cls, text: str) -> AdminUrl:
        """Parse a URL. Without a scheme it is http; a port alone is one of the loopback interface.

        Raises:
            ConfigurationError: it is invalid.
        """
        if not text.isascii() or not text.isprintable() or " " in text:
            raise _invalid(text, "it must consist of printable ASCII characters without spaces")
        if text[: len(_UNIX)].lower() == _UNIX:
            return cls(Address.parse(text))
        match = _SCHEME.fullmatch(text)
        scheme, rest = (match[1].lower(), match[2]) if match is not None else ("http", text)
        if scheme not in _PORTS:
            raise _invalid(text, f"unknown scheme {scheme!r} (known: http, https, unix)")
        authority, slash, path = rest.partition("/")
        if "@" in authority:
            raise ConfigurationError("invalid admin URL: it must not contain a user; use --token")
        if "?" in rest or "#" in rest:
            raise _invalid(text, "expected http://host:port")
        if authority.isdigit() and match is None:
            authority = f"{_LOOPBACK}:{authority}"
        elif match is not None and (authority.endswith("]") or ":" not in authority):
            authority = f"{authority}:{_PORTS[scheme]}"
        try:
            address = Address.parse(authority)
        except ConfigurationError as error:
            raise _invalid(text, str(error).rpartition(": ")[2]) from None
        if not address.host or not address.port:
            raise _invalid(text, "expected http://host:port")
        return cls(address, scheme == "https", f"{slash}{path}".rstrip("/"))


def is_admin_url(text: str) -> bool:
    """Whether `text` is meant as the URL of an admin port, rather than as a service of a registry."""
    match = _SCHEME.match(text)
    return match is None or match[1].lower() in _PORTS


def _invalid(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"invalid admin URL {mask_passwords(text, is_url=True)!r}: {why}")
