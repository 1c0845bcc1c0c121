"""Targets of HTTP: `http://host[:port][/PREFIX]`, and `https://...` with TLS.

The path is the prefix of all routes. Several servers are separated by commas, as in `http://h1:8080,h2:8080/shop`.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.net.address import Address
from idlrt.printable import mask_passwords

__all__ = ["HTTP", "HttpTarget", "authority_of", "is_http_target"]

HTTP: Final = "http"
"""Name of the protocol."""

_TARGET: Final = re.compile(r"(https?)://([^/?#]*)(/[^?#]*)?([?#].*)?", re.IGNORECASE | re.DOTALL)
_PORT: Final = re.compile(r".*:[0-9]+|\[.*\]:[0-9]+")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class HttpTarget(msgspec.Struct, frozen=True):
    """A parsed target.

    Attributes:
        servers: the servers as a target of TCP: `tcp://host:port`, several separated by commas.
        prefix: path in front of the routes.
        authority: host and port for the header `Host`; empty for several servers.
        is_encrypted: whether to use TLS.
    """

    servers: str
    prefix: str
    authority: str
    is_encrypted: bool

    @classmethod
    def parse(cls, text: str) -> HttpTarget:
        """Parse a target.

        Raises:
            ConfigurationError: it is invalid.
        """
        match = _TARGET.fullmatch(text)
        assert match is not None, "the caller checks the scheme"
        scheme, servers, path, rest = match[1].lower(), match[2], match[3] or "", match[4]
        if "@" in servers:
            what = "credentials are not part of the URL"
            raise _invalid(text, f"{what}; send them as metadata: using(metadata={{'authorization': 'Basic ...'}})")
        if rest:
            what = "a query" if rest.startswith("?") else "a fragment"
            raise _invalid(text, f"{what} is not supported; the path is the prefix of all routes")
        port = _DEFAULT_PORTS[scheme]
        found = [Address.parse(each if _PORT.fullmatch(each) else f"{each}:{port}") for each in servers.split(",")]
        if not all(each.host and each.port and not each.path for each in found):
            raise _invalid(text, f"write {scheme}://host:port/prefix")
        authority = authority_of(found[0], default_port=port) if len(found) == 1 else ""
        hosts = ",".join(str(each).removeprefix("tcp://") for each in found)
        return cls(f"tcp://{hosts}", path.removesuffix("/"), authority, scheme == "https")


def is_http_target(target: str) -> bool:
    """Return whether the scheme of a target is `http` or `https`."""
    return _TARGET.fullmatch(target) is not None


def authority_of(address: Address, *, default_port: int = 0) -> str:
    """Return host and port of an address for the header `Host`: IPv6 addresses in brackets, without a zone.

    Args:
        default_port: port that is left out.
    """
    if not address.host:
        return "localhost"
    host = address.host.partition("%")[0]
    shown = f"[{host}]" if ":" in host else host
    return shown if address.port == default_port else f"{shown}:{address.port}"


def _invalid(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"invalid target {mask_passwords(text, is_url=True)!r}: {why}")
