"""Conversion of Motan's traffic commands, which Motan registries publish under `/command`.

    {"clientCommandList": [{"index": 0, "version": "1.0", "dc": "", "commandType": 0, "pattern": "com.demo.* & !*Admin",
      "mergeGroups": ["blue:90", "green:10"], "routeRules": ["10.75.* to 10.73.1.*"], "remark": "..."}]}

For each service, the command with the lowest index whose pattern matches applies. Its groups become a `group` rule, and
each of its routes a `condition` rule with `force`, because Motan drops instances that do not match even if none is
left.

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
_MAX_DEPTH: Final = 50


class _Command(msgspec.Struct, frozen=True, rename="camel"):
    pattern: str
    index: int = 0
    command_type: Annotated[int, msgspec.Meta(ge=0)] = 0
    merge_groups: tuple[str, ...] | None = None
    route_rules: tuple[str, ...] | None = None


class _Commands(msgspec.Struct, frozen=True, rename="camel"):
    client_command_list: tuple[_Command, ...] = ()


def from_motan_command(text: str, service: str) -> list[dict[str, Any]]:
    """Return the rules of a command for `service`, for `make_chain`; none if no pattern matches it.

    Args:
        text: the command in JSON. `version`, `dc` and `remark` of its parts are informational.
        service: path of the service in Motan, e.g. `com.demo.UserService`.

    Raises:
        ConfigurationError: the command is invalid, or has no equivalent.
    """
    if not text.strip():
        return []
    try:
        commands = msgspec.json.decode(text.encode("utf-8", "replace"), type=_Commands).client_command_list
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"invalid Motan command: {error}") from None
    fitting: list[tuple[int, int, _Command]] = []
    for number, command in enumerate(commands):
        with_number = f"clientCommandList[{number}]"
        if command.command_type != 0:
            kind = command.command_type
            raise ConfigurationError(f"{with_number}.commandType: must be 0 (traffic control), got {kind}")
        # Parse all patterns, so that errors are reported for any service.
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
    """Whether the path of a service matches a pattern: names joined by `&` and `|`, with `!` and parentheses.

    A name is a path, or a prefix followed by a star. `!` binds tightest, then `&`, then `|`.

    Raises:
        ConfigurationError: the pattern is invalid.
    """
    return _Pattern(pattern, path, where).value()


class _Pattern:
    """Recursive-descent parser that evaluates while parsing: a pattern is parsed once per service."""

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
            raise self._wrong(f"unexpected {self._token!r}")
        return found

    def _any(self) -> bool:
        found = self._all()
        while self._token == "|":
            self._step()
            # Parse it even if the result is known, because it may be invalid.
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
            if self._depth > _MAX_DEPTH:
                raise self._wrong(f"nested more than {_MAX_DEPTH} levels deep")
            self._step()
            if token == "!":
                found = not self._one()
            else:
                found = self._any()
                if self._token != ")":
                    raise self._wrong("expected ')'")
                self._step()
            self._depth -= 1
            return found
        if not token or token in ")&|":
            raise self._wrong("expected a name")
        head, star, rest = token.partition("*")
        if rest:
            raise self._wrong(f"a star is only allowed at the end of a name, got {token!r}")
        self._step()
        return self._path.startswith(head) if star else self._path == head

    def _step(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is not None:
            self._token, self._at = match[1] or match[2], match.end()
        elif self._text[self._at :].strip():
            raise self._wrong(f"unexpected {self._text[self._at :].strip()[0]!r}")
        else:
            self._token = ""

    def _wrong(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self._where}: invalid pattern {self._text!r} before offset {self._at}: {what}")


def _mix(groups: Sequence[str], where: str) -> dict[str, int] | list[str]:
    weights: dict[str, int | None] = {}
    for place, text in enumerate(groups):
        match = _GROUP.fullmatch(text)
        if match is None:
            raise ConfigurationError(f"{where}[{place}]: expected 'name' or 'name:weight', got {text!r}")
        if match[1] in weights:
            raise ConfigurationError(f"{where}[{place}]: duplicate group {match[1]!r}")
        weights[match[1]] = int(match[2]) if match[2] else None
        if match[2] and not 1 <= int(match[2]) <= 100:
            raise ConfigurationError(f"{where}[{place}]: weight must be between 1 and 100, got {match[2]}")
    given = {name: weight for name, weight in weights.items() if weight is not None}
    if given and len(given) < len(weights):
        raise ConfigurationError(f"{where}: either all groups must have weights, or none")
    return given or list(weights)


def _route(text: str, where: str) -> dict[str, Any]:
    """Convert `FROM to TO` to conditions on the caller's and the instance's host."""
    sides = re.split(r"\s+to\s+", text.strip())
    matches = [_ADDRESS.fullmatch(side.strip()) for side in sides]
    if len(matches) != 2 or matches[0] is None or matches[1] is None:
        raise ConfigurationError(f"{where}: expected 'FROM to TO', as in '10.75.* to !10.73.1.*', got {text!r}")
    caller, host = (
        _host(key, match) for key, match in zip(("caller.host", "host"), (matches[0], matches[1]), strict=True)
    )
    return {"when": caller, "to": host, "force": True}


def _host(key: str, match: re.Match[str]) -> str:
    if match[2] == "*":
        # A star matches any host, `!*` none.
        return f'{key} = ""' if match[1] else ""
    return f"{key} {'!=' if match[1] else '='} {match[2]}"
