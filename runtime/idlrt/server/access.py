"""Filters that decide who may call: by address, or by a token in the metadata of a call.

They are ordinary filters, to be given first in `Server(..., filters=[...])`. Who is refused hears no more than that.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from idlrt.core import ServerCall
from idlrt.core.logs import get_logger
from idlrt.errors import ApplicationCode, ApplicationError, ConfigurationError
from idlrt.server.routes import ServerEndpoint, ServerFilter

__all__ = ["TOKEN", "allow_addresses", "require_token"]

_log = get_logger("idlrt.server")

TOKEN: Final = "authorization"
"""The name of the metadata in which `require_token` looks, unless it is told another."""

_UNIX: Final = "unix"


def allow_addresses(*allowed: str) -> ServerFilter:
    """A filter that lets calls pass whose client has one of these addresses.

    Args:
        allowed: addresses and networks, IPv4 and IPv6 (`127.0.0.1`, `10.0.0.0/8`, `fd00::/8`), and `unix` for clients
            at a unix socket.

    Raises:
        ConfigurationError: one of them is no address.
    """
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for each in allowed:
        if each == _UNIX:
            continue
        try:
            networks.append(ipaddress.ip_network(each))
        except ValueError as error:
            raise ConfigurationError(f"cannot allow {each!r}: {error}") from None
    allows_unix = _UNIX in allowed

    def is_allowed(where: str) -> bool:
        if where == _UNIX:
            return allows_unix
        try:
            address = ipaddress.ip_address(where.rpartition(":")[0].partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # an IPv4 client of a server that listens on IPv6
        return any(address in network for network in networks)

    async def check_address(call: ServerCall, next: ServerEndpoint) -> Any:
        if not is_allowed(call.peer.address):
            _log.warning("refused %s to %s: its address is not allowed", call.method.full_name, call.peer)
            raise ApplicationError("this client may not call here", ApplicationCode.PERMISSION_DENIED)
        return await next(call)

    return check_address


def require_token(
    tokens: Mapping[str, str] | Iterable[str] | Callable[[str], object], *, name: str = TOKEN
) -> ServerFilter:
    """A filter that lets calls pass that bring a token in their metadata (`client.using(metadata={name: token})`).

    Tokens are compared in a time that does not depend on how much of one is right. Over connections without TLS anybody
    on the way can read them.

    Args:
        tokens: those that are good; or what says whether one is (anything true). It may look it up wherever it likes,
            but must not wait in front of handlers that run on the server's own thread.
        name: of the metadata.
    """
    check: Callable[[str], object]
    if callable(tokens):
        check = tokens
    else:
        known = [each.encode() for each in tokens]
        if not known or not all(known):
            raise ConfigurationError("say which tokens are good: a token must not be empty, and there must be one")

        def is_known(token: str) -> int:
            given = token.encode(errors="surrogatepass")
            # All of them, so that time does not tell which one it was.
            return sum(hmac.compare_digest(given, each) for each in known)

        check = is_known

    async def check_token(call: ServerCall, next: ServerEndpoint) -> Any:
        token = call.metadata.get(name, "")
        if not token or not check(token):
            why = "its token is not known" if token else "it brings no token"
            _log.warning("refused %s to %s: %s", call.method.full_name, call.peer, why)
            raise ApplicationError(f"a good token is needed, in the metadata {name!r}", ApplicationCode.UNAUTHENTICATED)
        return await next(call)

    return check_token
