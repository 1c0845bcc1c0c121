"""Options of the admin port."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.net.address import Address
from idlrt.net.tls import Tls
from idlrt.server.method_table import ServerFilter

__all__ = ["BUILT_IN_CHECKS", "Admin", "HealthCheck", "admin_options", "check_health"]

HealthCheck = Callable[[], Any]
"""A check of `/readyz`, plain or `async`. It fails if it raises or returns `False`."""

BUILT_IN_CHECKS: Final = ("loop", "ping", "processes", "registered", "serving", "started", "supervisor")
"""Names of checks that users cannot define."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LOOPBACK: Final = "127.0.0.1"


class Admin(msgspec.Struct, frozen=True):
    """Options of the admin port of a server.

    Attributes:
        address: `host:port` or `unix:/path`; port 0 is a free port. The host `127.0.0.1` is reachable from this machine
            only, and nothing else is needed. On other hosts, and on all interfaces (`:9901`), the port shows what is
            served to everybody who can reach it, so it needs `token`, `allow` or `filters`.
        token: token that requests must have (`Authorization: Bearer TOKEN`), or several valid ones. Use `tls` with it:
            otherwise it can be read on the network. Default: none.
        allow: addresses and networks of allowed clients, as in `idlrt.server.allow_addresses`. Default: all.
        filters: server filters that see each request as a call of `Pages.page`, after those above. Default: none.
        tls: TLS settings with the certificate of the port. Default: no TLS.
        hosts: names that the `Host` header may have, as in `idlrt.Http`. Default: on a loopback address loopback names,
            otherwise any.

    Raises:
        ConfigurationError: a value is invalid, or the address is reachable from other machines without protection.
    """

    address: str = f"{_LOOPBACK}:9901"
    token: str | Sequence[str] = ()
    allow: Sequence[str] = ()
    filters: Sequence[ServerFilter] = ()
    tls: Tls | None = None
    hosts: Sequence[str] = ()

    @property
    def tokens(self) -> tuple[str, ...]:
        """All valid tokens."""
        return (self.token,) if isinstance(self.token, str) else tuple(self.token)

    def __post_init__(self) -> None:
        for name in ("allow", "filters", "hosts"):
            value: object = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, list | tuple):
                raise ConfigurationError(f"Admin: {name}: must be a list, got {value!r}")
            msgspec.structs.force_setattr(self, name, tuple(cast("tuple[object, ...]", value)))
        token: object = getattr(self, "token")  # noqa: B009  # type checkers know its type
        if isinstance(token, list):
            token = tuple(cast("list[object]", token))
            msgspec.structs.force_setattr(self, "token", token)
        if not isinstance(token, str | tuple) or not all(
            isinstance(each, str) and each and each.isascii() and each.isprintable() and " " not in each
            for each in cast("tuple[object, ...]", self.tokens)
        ):
            raise ConfigurationError("Admin: token: must be printable ASCII without spaces, and not empty")
        if not isinstance(getattr(self, "tls"), Tls | None):  # noqa: B009  # type checkers know that it is one
            raise ConfigurationError(f"Admin: tls: must be an `idlrt.Tls`, got {self.tls!r}")
        address = Address.parse(self.address)
        is_local = bool(address.path) or address.is_loopback
        if not is_local and not (self.tokens or self.allow or self.filters):
            where = address.host or "all interfaces"
            raise ConfigurationError(
                f"admin: {where} can be reached from other machines; listen on {_LOOPBACK}:{address.port}, or protect "
                f"the port, as in admin=idlrt.Admin({self.address!r}, token=...) or Admin(..., allow=['10.0.0.0/8'])"
            )

    def __repr__(self) -> str:
        shown = [repr(self.address)]
        shown += ["token='***'"] if self.tokens else []
        shown += [f"{name}={getattr(self, name)!r}" for name in ("allow", "filters", "tls", "hosts")]
        return f"Admin({', '.join(shown)})"


def admin_options(given: object) -> Admin | None:
    """Return the options for the value of `Server(admin=...)`; `None` if the port is off.

    Raises:
        ConfigurationError: the value is invalid.
    """
    if given is None or isinstance(given, Admin):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        if not 0 <= given <= 65_535:
            raise ConfigurationError(f"admin: the port must be between 0 and 65535, got {given}")
        return Admin(f"{_LOOPBACK}:{given}")
    if isinstance(given, str):
        return admin_options(int(given)) if given.isascii() and given.isdecimal() else Admin(given)
    raise ConfigurationError(
        f"admin: must be a port, an address such as '{_LOOPBACK}:9901', or an `idlrt.Admin`, got {given!r}"
    )


def check_health(checks: Mapping[str, HealthCheck]) -> None:
    """Check the value of `Server(health=...)`.

    Raises:
        ConfigurationError: a name or a function is invalid.
    """
    for name, function in cast("Mapping[object, object]", checks).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"health: names must consist of letters, digits, '_', '.' and '-', and have at most 64 characters; got "
                f"{name!r}"
            )
        if name in BUILT_IN_CHECKS:
            raise ConfigurationError(f"health: the name {name!r} is in use by a built-in check")
        if not callable(function):
            raise ConfigurationError(f"health: {name}: must be a function without arguments, got {function!r}")
