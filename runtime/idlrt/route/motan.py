"""Motan's traffic commands, as rules: what a registry of Motan's tells its clients in `/command`.

    {"clientCommandList": [{"index": 0, "version": "1.0", "dc": "", "commandType": 0, "pattern": "com.demo.* & !*Admin",
      "mergeGroups": ["blue:90", "green:10"], "routeRules": ["10.75.* to 10.73.1.*"], "remark": "..."}]}

A command counts for the services that its pattern fits, and for each service the first one, by index, that does. Its
groups become a `group` rule, each of its routes a `condition` rule with `force`: Motan drops instances that do not fit
even if none is left.

Source: Motan's `RpcCommand`, `RpcCommandUtil`, `CommandServiceManager`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec

from idlrt.errors import ConfigurationError

__all__ = ["fits_pattern", "from_motan_command"]

_TOKEN: Final = re.compile(r"\s*(?:([A-Za-z0-9_$.*]+)|([()!&|]))")
_GROUP: Final = re.compile(r"\s*([^\s:]+?)\s*(?::\s*([0-9]{1,4}))?\s*")
_ADDRESS: Final = re.compile(r"(!?)\s*([0-9A-Za-z.*_-]+)")
_DEEPEST: Final = 50


class _Command(msgspec.Struct, frozen=True, rename="camel"):
    pattern: str
    index: int = 0
    command_type: Annotated[int, msgspec.Meta(ge=0)] = 0
    merge_groups: tuple[str, ...] | None = None
    route_rules: tuple[str, ...] | None = None


class _Commands(msgspec.Struct, frozen=True, rename="camel"):
    client_command_list: tuple[_Command, ...] = ()


def from_motan_command(text: str, service: str) -> list[dict[str, Any]]:
    """The rules that a command has for `service`, as `make_chain` takes them; none if no pattern fits it.

    Args:
        text: the command, in JSON. `version`, `dc` and `remark` of its parts are for people.
        service: the path that Motan knows the service by, as `com.demo.UserService`.

    Raises:
        ConfigurationError: the command cannot be read, or says what cannot be said in our rules.
    """
    if not text.strip():
        return []
    try:
        commands = msgspec.json.decode(text.encode("utf-8", "replace"), type=_Commands).client_command_list
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"cannot read the command of Motan: {error}") from None
    fitting: list[tuple[int, int, _Command]] = []
    for number, command in enumerate(commands):
        with_number = f"clientCommandList[{number}]"
        if command.command_type != 0:
            kind = command.command_type
            raise ConfigurationError(f"{with_number}.commandType: {kind} is not supported; only 0, traffic control, is")
        # All are read, so that a mistake is seen whatever the service.
        if fits_pattern(command.pattern, service, f"{with_number}.pattern"):
            fitting.append((command.index, number, command))
    if not fitting:
        return []
    _, number, command = min(fitting, key=lambda each: each[:2])
    where = f"clientCommandList[{number}]"
    name = f"motan-{command.index}"
    rules: list[dict[str, Any]] = []
    if command.merge_groups:
        rules.append({"router": "group", "name": name, "mix": _mix(command.merge_groups, f"{where}.mergeGroups")})
    for place, route in enumerate(command.route_rules or ()):
        rules.append({"router": "condition", "name": name, **_route(route, f"{where}.routeRules[{place}]")})
    return rules


def fits_pattern(pattern: str, path: str, where: str = "pattern") -> bool:
    """Whether the path of a service fits a pattern: names joined by `&` and `|`, with `!` and parentheses.

    A name is a path, or the beginning of one before a star. `!` binds closest, then `&`, then `|`.

    Raises:
        ConfigurationError: the pattern cannot be read.
    """
    return _Pattern(pattern, path, where).value()


class _Pattern:
    """Reads and answers in one go: patterns are read once for each service."""

    def __init__(self, text: str, path: str, where: str) -> None:
        self._text = text
        self._path = path
        self._where = where
        self._at = 0
        self._depth = 0
        self._token = ""
        self._step()

    def value(self) -> bool:
        found = self._any()
        if self._token:
            raise self._wrong(f"{self._token!r} is not expected")
        return found

    def _any(self) -> bool:
        found = self._all()
        while self._token == "|":
            self._step()
            # Read also where the answer is known: it may be wrong.
            other = self._all()
            found = found or other
        return found

    def _all(self) -> bool:
        found = self._one()
        while self._token == "&":
            self._step()
            other = self._one()
            found = found and other
        return found

    def _one(self) -> bool:
        token = self._token
        if token in ("!", "("):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise self._wrong(f"it is nested more than {_DEEPEST} deep")
            self._step()
            if token == "!":
                found = not self._one()
            else:
                found = self._any()
                if self._token != ")":
                    raise self._wrong("')' is missing")
                self._step()
            self._depth -= 1
            return found
        if not token or token in ")&|":
            raise self._wrong("a name is missing")
        head, star, rest = token.partition("*")
        if rest:
            raise self._wrong(f"a star is allowed at the end of a name only, not in {token!r}")
        self._step()
        return self._path.startswith(head) if star else self._path == head

    def _step(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is not None:
            self._token, self._at = match[1] or match[2], match.end()
        elif self._text[self._at :].strip():
            raise self._wrong(f"{self._text[self._at :].strip()[0]!r} is not expected")
        else:
            self._token = ""

    def _wrong(self, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._where}: cannot read the pattern {self._text!r} before offset {self._at}: {what}"
        )


def _mix(groups: Sequence[str], where: str) -> dict[str, int] | list[str]:
    weights: dict[str, int | None] = {}
    for place, text in enumerate(groups):
        match = _GROUP.fullmatch(text)
        if match is None:
            raise ConfigurationError(f"{where}[{place}]: a group is written 'name' or 'name:weight', not {text!r}")
        if match[1] in weights:
            raise ConfigurationError(f"{where}[{place}]: the group {match[1]!r} is there twice")
        weights[match[1]] = int(match[2]) if match[2] else None
        if match[2] and not 1 <= int(match[2]) <= 100:
            raise ConfigurationError(f"{where}[{place}]: a weight must be from 1 to 100, not {match[2]}")
    given = {name: weight for name, weight in weights.items() if weight is not None}
    if given and len(given) < len(weights):
        raise ConfigurationError(f"{where}: either all groups have weights or none has")
    return given or list(weights)


def _route(text: str, where: str) -> dict[str, Any]:
    """`FROM to TO` as conditions on the hosts of both."""
    sides = re.split(r"\s+to\s+", text.strip())
    matches = [_ADDRESS.fullmatch(side.strip()) for side in sides]
    if len(matches) != 2 or matches[0] is None or matches[1] is None:
        raise ConfigurationError(f"{where}: a route is written 'FROM to TO', as '10.75.* to !10.73.1.*', not {text!r}")
    caller, host = (
        _host(key, match) for key, match in zip(("caller.host", "host"), (matches[0], matches[1]), strict=True)
    )
    return {"when": caller, "to": host, "force": True}


def _host(key: str, match: re.Match[str]) -> str:
    if match[2] == "*":
        # Any at all; `!*` is none.
        return f'{key} = ""' if match[1] else ""
    return f"{key} {'!=' if match[1] else '='} {match[2]}"
