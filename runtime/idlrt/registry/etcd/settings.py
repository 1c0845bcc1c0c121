"""Options of an etcd registry URL."""

from __future__ import annotations

from typing import Final

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.net import Tls
from idlrt.net.tls_context import TlsContext
from idlrt.registry.url import RegistryUrl

__all__ = ["Settings"]

_PORT: Final = 2379
_TTL: Final = 6.0
_FILES: Final = ("ca", "cert", "key")
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an etcd registry.

    Attributes:
        endpoints: base URLs such as `http://127.0.0.1:2379`.
        ttl: lease TTL in seconds.
        tls: TLS settings; `None` without TLS.
    """

    endpoints: tuple[str, ...]
    ttl: int
    tls: TlsContext | None

    @classmethod
    def of(cls, url: RegistryUrl) -> Settings:
        """Read the options of `url`.

        Raises:
            ConfigurationError: an option is invalid.
        """
        url.check_options(("tls", "ttl", *_FILES))
        if not url.hosts:
            raise url.refuse("missing host; write etcd://127.0.0.1:2379")
        if url.password and not url.user:
            raise url.refuse("password without a user; write etcd://USER:PASSWORD@HOST")
        ttl = url.seconds("ttl", _TTL)
        if ttl != int(ttl):
            raise url.refuse(f"ttl must be a whole number of seconds, got {ttl:g}")
        is_tls = _is_tls(url)
        scheme = "https" if is_tls else "http"
        return cls(
            endpoints=tuple(
                f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or _PORT}" for host, port in url.hosts
            ),
            ttl=int(ttl),
            tls=_context(url) if is_tls else None,
        )


def _is_tls(url: RegistryUrl) -> bool:
    files = [name for name in _FILES if url.options.get(name)]
    text = url.options.get("tls")
    if text is None:
        return bool(files)
    answer = _BOOLEANS.get(text.lower())
    if answer is None:
        raise url.refuse(f"tls must be true or false, got {text!r}")
    if files and not answer:
        raise url.refuse(f"{files[0]} requires TLS, but tls={text}")
    return answer


def _context(url: RegistryUrl) -> TlsContext:
    option = url.options.get
    if option("key") and not option("cert"):
        raise url.refuse("key requires cert")
    try:
        return TlsContext(
            Tls(certificate=option("cert", ""), key=option("key", ""), authorities=option("ca", "")), is_server=False
        )
    except ConfigurationError as error:
        raise url.refuse(str(error)) from error
