"""The white list of the embedded registry: who may register, who may subscribe, who may administer.

A rule has networks, tokens, or both; who calls must satisfy what it has. One that has neither lets everybody in. A
registry that is started without rules listens on this machine only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from idlrt.core import ServerCall
from idlrt.core.logs import get_logger
from idlrt.embedded.api import Refused
from idlrt.errors import ApplicationError, ConfigurationError
from idlrt.server import ServerEndpoint, ServerFilter, allow_addresses, require_token

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
    """Who may do something.

    Attributes:
        networks: addresses and networks, as `10.0.0.0/8`, and `unix`; empty for all.
        tokens: of which one has to be shown (`?token=...` in the registry's URL); empty for none.
    """

    networks: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()

    def filters(self) -> list[ServerFilter]:
        """What lets through whom the rule allows.

        Raises:
            ConfigurationError: a network is none, or a token is empty.
        """
        made: list[ServerFilter] = []
        if self.networks:
            made.append(allow_addresses(*self.networks))
        if self.tokens:
            made.append(require_token(self.tokens))
        return made


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The white list.

    Attributes:
        register: who may register instances.
        subscribe: who may look at them.
        administer: who may change those of others, and settings of services.
    """

    register: Rule = Rule()
    subscribe: Rule = Rule()
    administer: Rule = Rule()

    @classmethod
    def load(cls, path: Path) -> Access:
        """The white list in a TOML file:

            [register]
            networks = ["10.0.0.0/8"]
            [administer]
            tokens = ["..."]

        Raises:
            ConfigurationError: it cannot be read; it says where and why.
        """
        import tomllib

        try:
            found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), cls)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ConfigurationError(f"cannot read the white list {path}: {error}") from error
        found.filter()
        return found

    @property
    def unrestricted(self) -> tuple[str, ...]:
        """What everybody may do who reaches the registry, and which changes what others see: `register`, `administer`
        or both.
        """
        return tuple(role for role in ("register", "administer") if getattr(self, role) == Rule())

    def filter(self) -> ServerFilter:
        """The filter of the registry's server."""
        rules = {role: getattr(self, role).filters() for role in ("register", "subscribe", "administer")}

        async def may(role: str, call: ServerCall, next: ServerEndpoint) -> Any:
            async def passed(call: ServerCall) -> Any:
                return None

            for each in rules[role]:
                try:
                    await each(call, passed)
                except ApplicationError as error:
                    _log.warning("refused %s to %s: it may not %s", call.method.name, call.peer, role)
                    raise Refused(message=f"this client may not {role} here: {error.message}") from None
            return await next(call)

        async def check(call: ServerCall, next: ServerEndpoint) -> Any:
            role = _ROLES[call.method.name]
            if role != "enter":
                return await may(role, call, next)
            # A session is for whoever may do anything at all.
            try:
                return await may("register", call, next)
            except Refused:
                return await may("subscribe", call, next)

        return check
