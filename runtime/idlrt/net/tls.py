"""Settings of TLS. What is made of them is in `idlrt.net.tls_context`, which imports a lot and is imported late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from idlrt.errors import ConfigurationError
from idlrt.named import NamedMeta

__all__ = ["Tls"]


class Tls(msgspec.Struct, frozen=True, kw_only=True, metaclass=NamedMeta):
    """How one side of TLS connections identifies itself, and whom it trusts. Versions before 1.2 are not spoken.

    Attributes:
        certificate: path of this side's certificate in PEM, followed by those between it and an authority. A server
            needs one; a client that has one shows it (mutual TLS).
        key: path of its private key in PEM, without a password; empty if it stands in the same file.
        authorities: path of the certificates in PEM that the other side's has to come from. Empty: a server asks its
            clients for none; a client trusts what the system trusts.
        server_name: what the server's certificate has to be for, if that is not the host in the address.
        refresh_interval: seconds between checks for changed files. They are made when connections are.

    Raises:
        ConfigurationError: a value makes no sense.
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
                raise ConfigurationError(f"{name} of Tls must be the path of a file in PEM, not {value!r}")
        if not isinstance(self.server_name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"server_name of Tls must be the name of a host, not {self.server_name!r}")
        seconds: Any = self.refresh_interval
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds >= 0:
            raise ConfigurationError(f"refresh_interval of Tls must be seconds, 0 or more, not {seconds!r}")

    def paths(self) -> list[str]:
        """The files."""
        return [path for path in (self.certificate, self.key, self.authorities) if path]
