"""Access control filters: allow calls by client address, or by a token in the metadata of a call.

They are ordinary filters; put them first in `Server(..., filters=[...])`. A rejected client receives no details: those
are in the server's log.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from weakref import WeakSet

from idlrt.core import ServerCall
from idlrt.core.logs import get_logger
from idlrt.errors import ApplicationCode, ApplicationError, ConfigurationError
from idlrt.server.method_table import ServerCallNext, ServerFilter

__all__ = ["TOKEN", "allow_addresses", "is_token_check", "require_token"]

_log = get_logger("idlrt.server")

TOKEN: Final = "authorization"
"""Default name of the metadata entry that `require_token` checks."""

_UNIX: Final = "unix"
_token_checks: Final[WeakSet[ServerFilter]] = WeakSet()


def allow_addresses(*allowed: str) -> ServerFilter:
    """Return a filter that allows calls from these client addresses only.

    Args:
        allowed: IPv4 and IPv6 addresses and networks (`127.0.0.1`, `10.0.0.0/8`, `fd00::/8`), and `unix` for clients
            that connect to a Unix socket.

    Raises:
        ConfigurationError: an argument is not an address or network.
    """
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for each in allowed:
        if each == _UNIX:
            continue
        try:
            networks.append(ipaddress.ip_network(each))
        except ValueError as error:
            raise ConfigurationError(f"allow_addresses: invalid address or network {each!r}: {error}") from None
    allows_unix = _UNIX in allowed

    def is_allowed(where: str) -> bool:
        if where == _UNIX:
            return allows_unix
        try:
            address = ipaddress.ip_address(where.rpartition(":")[0].partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # an IPv4 client of a server that listens on an IPv6 address
        return any(address in network for network in networks)

    async def check_address(call: ServerCall, next: ServerCallNext) -> Any:
        if not is_allowed(call.peer.address):
            _log_rejection(call, "address not allowed")
            raise ApplicationError("access denied", ApplicationCode.PERMISSION_DENIED)
        return await next(call)

    return check_address


def require_token(
    tokens: Mapping[str, str] | Iterable[str] | Callable[[str], object], *, name: str = TOKEN
) -> ServerFilter:
    """Return a filter that allows calls with a valid token in their metadata (`client.using(metadata={name: token})`).

    Tokens are compared in constant time. Use TLS: without it tokens can be read on the network.

    Args:
        tokens: valid tokens; or a function that receives a token and returns a true value if it is valid. The function
            may look the token up anywhere, but must not block in front of handlers that run on the server's own thread.
        name: name of the metadata entry.

    Raises:
        ConfigurationError: there is no token, one is empty, or they are one string.
    """
    if isinstance(tokens, str):  # its characters would be tokens
        raise ConfigurationError("require_token: must be a list of tokens, got a string")
    check: Callable[[str], object]
    if callable(tokens):
        check = tokens
    else:
        known = [each.encode() for each in tokens]
        if not known or not all(known):
            raise ConfigurationError("require_token: requires at least one token, and no empty ones")

        def is_known(token: str) -> int:
            given = token.encode(errors="surrogatepass")
            # Compare with all of them, so that the duration does not reveal which one matched.
            return sum(hmac.compare_digest(given, each) for each in known)

        check = is_known

    async def check_token(call: ServerCall, next: ServerCallNext) -> Any:
        token = call.metadata.get(name, "")
        if not token or not check(token):
            _log_rejection(call, "invalid token" if token else "missing token")
            raise ApplicationError(f"missing or invalid token in metadata {name!r}", ApplicationCode.UNAUTHENTICATED)
        return await next(call)

    _token_checks.add(check_token)
    return check_token


def is_token_check(filter: ServerFilter) -> bool:
    """Whether a filter was made by `require_token`."""
    return filter in _token_checks


def _log_rejection(call: ServerCall, reason: str) -> None:
    method = call.method.full_name
    fields = {"method": method, "peer": call.peer.address, "reason": reason}
    _log.warning("rejected %s from %s: %s", method, call.peer, reason, extra=fields)
