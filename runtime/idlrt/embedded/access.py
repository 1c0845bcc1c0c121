"""Access control of the embedded registry: who may register, subscribe and administer.

A rule lists networks, tokens, or both; a client must satisfy all that it lists. An empty rule admits all clients. A
registry without an access list listens on the loopback interface only, unless configured otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from idlrt.core import ServerCall
from idlrt.core.logs import get_logger
from idlrt.embedded.api import Refused
from idlrt.errors import ApplicationError, ConfigurationError
from idlrt.server import ServerCallNext, ServerFilter, allow_addresses, require_token

__all__ = ["Access", "Rule"]

_log = get_logger("idlrt.registry")

_ROLES: Final = {
    "begin": "enter",
    "keep": "register",
    "renew": "register",
    "end": "register",
    "register": "register",
    "reclaim": "register",
    "deregister": "register",
    "changes": "subscribe",
    "groups": "subscribe",
    "services": "subscribe",
    "part": "subscribe",
    "groups_after": "subscribe",
    "services_after": "subscribe",
    "correct": "administer",
    "configure": "administer",
    "remove": "administer",
}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Condition for a permission.

    Attributes:
        networks: addresses and networks such as `10.0.0.0/8`, and `unix`; empty for all.
        tokens: accepted tokens (`?token=...` in the registry's URL); empty to require none.
    """

    networks: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()

    def filters(self) -> list[ServerFilter]:
        """Build server filters that admit the clients that satisfy the rule.

        Raises:
            ConfigurationError: a network is invalid, or a token is empty.
        """
        made: list[ServerFilter] = []
        if self.networks:
            made.append(allow_addresses(*self.networks))
        if self.tokens:
            made.append(require_token(self.tokens))
        return made


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Access list of a registry.

    Attributes:
        register: clients that may register instances.
        subscribe: clients that may read services.
        administer: clients that may change instances of others, and the settings of services.
    """

    register: Rule = Rule()
    subscribe: Rule = Rule()
    administer: Rule = Rule()

    @classmethod
    def load(cls, path: Path) -> Access:
        """Read an access list from a TOML file:

            [register]
            networks = ["10.0.0.0/8"]
            [administer]
            tokens = ["..."]

        Raises:
            ConfigurationError: the file is unreadable or invalid.
        """
        import tomllib

        try:
            found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), cls)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ConfigurationError(f"cannot read the access list {path}: {error}") from error
        found.filter()
        return found

    @property
    def unrestricted(self) -> tuple[str, ...]:
        """The write permissions granted to all clients that can connect: `register`, `administer` or both."""
        return tuple(role for role in ("register", "administer") if getattr(self, role) == Rule())

    def filter(self) -> ServerFilter:
        """Build the filter of the registry's server."""
        rules = {role: getattr(self, role).filters() for role in ("register", "subscribe", "administer")}

        async def may(role: str, call: ServerCall, next: ServerCallNext) -> Any:
            async def passed(call: ServerCall) -> Any:
                return None

            for each in rules[role]:
                try:
                    await each(call, passed)
                except ApplicationError as error:
                    _log.warning(
                        "rejected %s from %s: no permission to %s",
                        call.method.name,
                        call.peer,
                        role,
                        extra={"method": call.method.name, "peer": str(call.peer), "permission": role},
                    )
                    raise Refused(message=f"no permission to {role}: {error.message}") from None
            return await next(call)

        async def check(call: ServerCall, next: ServerCallNext) -> Any:
            role = _ROLES[call.method.name]
            if role != "enter":
                return await may(role, call, next)
            # A session requires either of the permissions that use one.
            try:
                return await may("register", call, next)
            except Refused:
                return await may("subscribe", call, next)

        return check
