"""TLS settings. `idlrt.net.tls_context` loads them into contexts; it is imported late, because `ssl` imports slowly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from idlrt.errors import ConfigurationError
from idlrt.named import NamedMeta

__all__ = ["Tls"]


class Tls(msgspec.Struct, frozen=True, kw_only=True, metaclass=NamedMeta):
    """TLS settings of a client or server: its certificate and the authorities that it trusts. TLS 1.2 is the minimum.

    Attributes:
        certificate: path of the certificate chain of this side in PEM format: the certificate, followed by intermediate
            ones. Servers require it; clients present it if it is set (mutual TLS).
        key: path of the private key in PEM format, not encrypted; empty if it is in the file of the certificate.
        authorities: path of trusted CA certificates in PEM format. Empty: a server requests no certificates from
            clients; a client uses the trust store of the system.
        server_name: host name to verify in the server's certificate, if it differs from the host in the address.
        refresh_interval: minimum time between checks for changed files, in seconds. Checks are made when connections
            are opened.

    Raises:
        ConfigurationError: a value is invalid.
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""
    server_name: str = ""
    refresh_interval: float = 1.0

    def __post_init__(self) -> None:
        for name in ("certificate", "key", "authorities"):
            value: Any = getattr(self, name)
            if isinstance(value, Path):
                value = str(value)
                force_setattr(self, name, value)
            if not isinstance(value, str):
                raise ConfigurationError(f"Tls: `{name}` must be the path of a PEM file, got {value!r}")
        if not isinstance(self.server_name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"Tls: `server_name` must be a host name, got {self.server_name!r}")
        seconds: Any = self.refresh_interval
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds >= 0:
            raise ConfigurationError(f"Tls: `refresh_interval` must be at least 0 seconds, got {seconds!r}")

    def paths(self) -> list[str]:
        """Return the paths of all configured files."""
        return [path for path in (self.certificate, self.key, self.authorities) if path]
