"""Conditions of routing rules: `method = get*, list* & argument.user.id = 1~1000 & caller.zone != eu-1`.

    condition = "" | "*" | clause { "&" clause }        empty or a star: always matches
    clause    = key ( "=" | "!=" ) value { "," value }  any of the values; none of the values
    value     = text with stars | number "~" number | network "/" bits | "$caller." name | quoted

A star matches any text; a star alone matches any text but the empty one. A missing value is empty text: a call matches
`metadata.user = *` if it has that metadata, and `metadata.user != *` if it does not. A range includes its bounds, one
of which may be omitted; networks are for hosts. In quotes, `"..."` or `'...'` with backslash escapes, all of these
characters are literal.

A condition applies to calls (`when`) or to instances (`to`). It is compiled to functions once; clauses about the caller
are evaluated at that time.

Source: Dubbo's condition router, whose `=>` separates what are two conditions here
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from idlrt.core import Call, Instance
from idlrt.errors import ConfigurationError
from idlrt.route.base import CallerInfo
from idlrt.route.keys import (
    CALLER,
    SIDES,
    Side,
    caller_values,
    instance_reader,
    is_key,
    known_keys,
    method_reader,
    request_reader,
    unknown_key,
)
from idlrt.route.values import Test, Value, make_test
from idlrt.spec import Method

__all__ = ["Clause", "Condition", "call_condition", "instance_condition", "parse_condition"]

T = TypeVar("T")

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<op>!=|[=&,])|(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<bare>[^\s=&,!"']+)|(?P<end>$))""",
    re.DOTALL,
)
_CALLER: Final = "$"


class Clause(msgspec.Struct, frozen=True):
    """One clause of a condition.

    Attributes:
        key: key to compare.
        is_not: whether none of the values must match, instead of at least one.
        values: values, at least one.
        offset: offset of the clause in the text, in characters.
    """

    key: str
    is_not: bool
    values: tuple[Value, ...]
    offset: int


class Condition(Generic[T]):
    """Compiled condition on calls or instances.

    Attributes:
        text: source text.
        matches: returns whether a call or an instance matches.
        constant: result if it is always the same; `None` otherwise.
        applies_to: returns whether calls of a method can match.
    """

    __slots__ = ("applies_to", "constant", "matches", "text")

    def __init__(
        self,
        text: str,
        tests: Sequence[Callable[[T], bool]],
        *,
        is_never: bool,
        of_method: Sequence[Callable[[Method[..., Any]], bool]] = (),
    ) -> None:
        self.text = text
        self.constant = False if is_never else None if tests else True
        self.matches = _never if is_never else _all_of(tests)
        self.applies_to: Callable[[Method[..., Any]], bool] = _never if is_never else _all_of(of_method)

    def __repr__(self) -> str:
        return f"<Condition {self.text!r}>"

    def __str__(self) -> str:
        return self.text.strip() or "*"


def call_condition(text: str, caller: CallerInfo) -> Condition[Call]:
    """Compile a condition on calls made by the caller `caller`.

    Raises:
        ConfigurationError: the syntax is invalid or a key is unknown; the message has the offset and the known keys.
    """
    tests: list[Callable[[Call], bool]] = []
    of_method: list[Callable[[Method[..., Any]], bool]] = []
    is_never = False
    for clause in parse_condition(text, Side.CALL):
        test = _test(text, clause, caller)
        if clause.key.startswith(CALLER):
            # If there are several values (a host has a name and addresses), one must match; with `!=`, none may.
            is_one = any(test(value) for value in caller_values(clause.key, caller))
            is_never = is_never or is_one is clause.is_not
        else:
            tests.append(_reading(request_reader(clause.key), test, clause.is_not))
            if (read := method_reader(clause.key)) is not None:
                of_method.append(_reading(read, test, clause.is_not))
    return Condition(text, tests, is_never=is_never, of_method=of_method)


def instance_condition(text: str, caller: CallerInfo) -> Condition[Instance]:
    """Compile a condition on instances, for calls made by the caller `caller`.

    Raises:
        ConfigurationError: the syntax is invalid or a key is unknown; the message has the offset and the known keys.
    """
    tests = [
        _reading(instance_reader(clause.key), _test(text, clause, caller), clause.is_not)
        for clause in parse_condition(text, Side.INSTANCE)
    ]
    return Condition(text, tests, is_never=False)


def parse_condition(text: str, side: Side) -> tuple[Clause, ...]:
    """Return the clauses of a condition; none if it always matches.

    Args:
        side: whether it applies to calls or to instances.

    Raises:
        ConfigurationError: the syntax is invalid or a key is unknown; the message has the offset and the known keys.
    """
    if text.strip() in ("", "*"):
        return ()
    tokens = _tokens(text)
    clauses: list[Clause] = []
    place = 0
    while True:
        kind, key, offset = tokens[place]
        if kind != "bare":
            raise _wrong(text, offset, f"expected a key; {known_keys(side)}")
        if not is_key(key, side):
            raise _wrong(text, offset, unknown_key(key, side))
        kind, op, at = tokens[place + 1]
        if op not in ("=", "!="):
            raise _wrong(text, at, f"expected '=' or '!=' after {key!r}")
        is_not = op == "!="
        place += 2
        values: list[Value] = []
        while True:
            values.append(_value(text, key, *tokens[place]))
            kind, op, at = tokens[place + 1]
            place += 2
            if op != ",":
                break
        clauses.append(Clause(key, is_not, tuple(values), offset))
        if kind == "end":
            return tuple(clauses)
        if op != "&":
            raise _wrong(text, at, f"expected ',' or '&' after a value, got {op!r}; quote values with spaces")


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """Return kind, text and offset of each token, followed by a token of kind `end`."""
    found: list[tuple[str, str, int]] = []
    at = 0
    while not found or found[-1][0] != "end":
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            what = "unterminated quote" if text[at] in "\"'" else f"unexpected {text[at]!r}; quote it"
            raise _wrong(text, at, what)
        kind = match.lastgroup or "end"
        found.append((kind, match[kind], match.start(kind)))
        at = match.end()
    return found


def _value(text: str, key: str, kind: str, token: str, offset: int) -> Value:
    if kind == "quoted":
        return Value(re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL), offset, is_quoted=True)
    if kind != "bare":
        raise _wrong(text, offset, f'expected a value for {key!r}; write "" for empty text')
    if token.startswith(_CALLER) and not (token.startswith("$" + CALLER) and is_key(token[1:], Side.CALL)):
        known = ", ".join("$" + key for key in SIDES["caller"])
        raise _wrong(text, offset, f"unknown variable {token!r} (known: {known})")
    return Value(token, offset)


def _test(text: str, clause: Clause, caller: CallerInfo) -> Test:
    values: list[Value] = []
    for value in clause.values:
        if value.text.startswith(_CALLER) and not value.is_quoted:
            values += [Value(each, value.offset, is_quoted=True) for each in caller_values(value.text[1:], caller)]
        else:
            values.append(value)
    try:
        return make_test(
            values, is_host=clause.key in ("host", "caller.host"), may_be_number=clause.key.startswith("argument.")
        )
    except ValueError as error:
        raise _wrong(text, error.args[1], error.args[0]) from None


def _reading(read: Callable[[T], Any], test: Test, is_not: bool) -> Callable[[T], bool]:
    if is_not:
        return lambda what: not test(read(what))
    return lambda what: test(read(what))


def _all_of(tests: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    if not tests:
        return _always
    if len(tests) == 1:
        return tests[0]
    first, *others = tests
    second = _all_of(others)
    return lambda what: first(what) and second(what)


def _always(what: object) -> bool:
    return True


def _never(what: object) -> bool:
    return False


def _wrong(text: str, offset: int, what: str) -> ConfigurationError:
    return ConfigurationError(f"invalid condition {text!r} at offset {offset}: {what}")
