"""Decoding of routing rules from a configuration, with errors that name the location:

routes[2].percent: expected `float` <= 100.0
routes[1].wen: unknown key of a canary rule (known: force, key, ...); did you mean 'when'?
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.plugins import UnknownPlugin
from idlrt.route.base import ROUTERS, CallerInfo, Router, Rule
from idlrt.route.router_base import RuleError

__all__ = ["make_router", "read_rule"]

_DEFAULT: Final = "condition"
_INVALID: Final = re.compile(r"(?P<what>.*?)(?: - at `\$(?:\.(?P<key>[^`]*))?`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


def read_rule(value: object, where: str) -> Rule:
    """Decode a rule.

    Args:
        value: a mapping as decoded from TOML or JSON; a `Rule` is returned as it is.
        where: location of the rule, for messages.

    Raises:
        ConfigurationError: it is invalid; the message names the key.
    """
    if isinstance(value, Rule):
        return value
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: expected a table of keys and values, got {type(value).__name__}")
    table: Mapping[Any, Any] = cast("Any", value)
    name: object = table.get("router", _DEFAULT)
    if not isinstance(name, str):
        raise ConfigurationError(f"{where}.router: expected the name of a router, got {name!r}")
    try:
        router: Any = ROUTERS.get(name)
        kind: type[Rule] = router.Rule
    except UnknownPlugin as error:
        raise ConfigurationError(f"{where}.router: {error}") from None
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            names = ", ".join(sorted(known))
            raise ConfigurationError(f"{where}.{key}: unknown key of a {name} rule (known: {names}){hint}")
    try:
        return msgspec.convert({**table, "router": name}, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}{_located(error)}") from None


def make_router(rule: Rule, caller: CallerInfo, sources: ClockAndRandom, where: str) -> Router:
    """Return the router for `rule`.

    Raises:
        ConfigurationError: a value of the rule is invalid; the message names the key.
    """
    try:
        return cast("Router", ROUTERS.make(rule.router, rule, caller, sources))
    except RuleError as error:
        raise ConfigurationError(f"{where}.{error}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _located(error: msgspec.ValidationError) -> str:
    """Return the message with the key in front."""
    match = _INVALID.fullmatch(str(error))
    assert match is not None, "the pattern matches anything"
    what, key = match["what"], match["key"]
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is not None:
        return f".{key}.{unknown[1]}: unknown key" if key else f".{unknown[1]}: unknown key"
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing is not None:
        return f".{key}.{missing[1]}: missing key" if key else f".{missing[1]}: missing key"
    return f"{'.' + key if key else ''}: {what[:1].lower()}{what[1:]}"
