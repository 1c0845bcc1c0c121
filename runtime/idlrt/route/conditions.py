"""Conditions of rules: `method = get*, list* & argument.user.id = 1~1000 & caller.zone != eu-1`.

    condition = "" | "*" | clause { "&" clause }        what is empty, or a star, always fits
    clause    = key ( "=" | "!=" ) value { "," value }  one of the values; none of them
    value     = text with stars | number "~" number | network "/" bits | "$caller." name | quoted

A star stands for any text, a star alone for any but the empty one. What is not there is like empty text: a call fits
`metadata.user = *` if it has that, and `metadata.user != *` if it does not. A range includes its
ends, one of which may be left out; networks are for hosts. Quotes, `"..."` or `'...'` with backslashes, take the
meaning from all of that.

A condition looks at calls (`when`) or at instances (`to`). It is made into functions once; what it says of the caller
is decided then.

Source: Dubbo's condition router, whose `=>` is two conditions here
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from idlrt.core import Call, Instance
from idlrt.errors import ConfigurationError
from idlrt.route.base import Here
from idlrt.route.keys import (
    CALLER,
    SIDES,
    Side,
    call_reader,
    caller_values,
    instance_reader,
    is_key,
    known_keys,
    method_reader,
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
    """One part of a condition.

    Attributes:
        key: what is looked at.
        is_not: whether it must be none of the values, instead of one.
        values: at least one.
        offset: in the text, in characters.
    """

    key: str
    is_not: bool
    values: tuple[Value, ...]
    offset: int


class Condition(Generic[T]):
    """What can be asked whether a call, or an instance, fits.

    Attributes:
        text: as it was written.
        fits: whether something does.
        constant: the answer, where it is always the same; `None` otherwise.
        suits: whether some call of a method may fit.
    """

    __slots__ = ("constant", "fits", "suits", "text")

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
        self.fits = _never if is_never else _all_of(tests)
        self.suits: Callable[[Method[..., Any]], bool] = _never if is_never else _all_of(of_method)

    def __repr__(self) -> str:
        return f"<Condition {self.text!r}>"

    def __str__(self) -> str:
        return self.text.strip() or "*"


def call_condition(text: str, here: Here) -> Condition[Call]:
    """A condition on calls that are made `here`.

    Raises:
        ConfigurationError: it cannot be read; the message says where and what is known.
    """
    tests: list[Callable[[Call], bool]] = []
    of_method: list[Callable[[Method[..., Any]], bool]] = []
    is_never = False
    for clause in parse_condition(text, Side.CALL):
        test = _test(text, clause, here)
        if clause.key.startswith(CALLER):
            # Of several values (a host has names and addresses) one must fit; with `!=`, none may.
            is_one = any(test(value) for value in caller_values(clause.key, here))
            is_never = is_never or is_one is clause.is_not
        else:
            tests.append(_reading(call_reader(clause.key), test, clause.is_not))
            if (read := method_reader(clause.key)) is not None:
                of_method.append(_reading(read, test, clause.is_not))
    return Condition(text, tests, is_never=is_never, of_method=of_method)


def instance_condition(text: str, here: Here) -> Condition[Instance]:
    """A condition on instances, for calls that are made `here`.

    Raises:
        ConfigurationError: as `call_condition`.
    """
    tests = [
        _reading(instance_reader(clause.key), _test(text, clause, here), clause.is_not)
        for clause in parse_condition(text, Side.INSTANCE)
    ]
    return Condition(text, tests, is_never=False)


def parse_condition(text: str, side: Side) -> tuple[Clause, ...]:
    """The parts of a condition; none if it always fits.

    Args:
        side: what it looks at.

    Raises:
        ConfigurationError: as `call_condition`.
    """
    if text.strip() in ("", "*"):
        return ()
    tokens = _tokens(text)
    clauses: list[Clause] = []
    place = 0
    while True:
        kind, key, offset = tokens[place]
        if kind != "bare":
            raise _wrong(text, offset, f"a key is missing; {known_keys(side)}")
        if not is_key(key, side):
            raise _wrong(text, offset, unknown_key(key, side))
        kind, op, at = tokens[place + 1]
        if op not in ("=", "!="):
            raise _wrong(text, at, f"after {key!r} there must be '=' or '!='")
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
            raise _wrong(text, at, f"after a value there must be ',' or '&', not {op!r}; quote what has spaces")


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """Kind, text and offset of each, then one of the kind `end`."""
    found: list[tuple[str, str, int]] = []
    at = 0
    while not found or found[-1][0] != "end":
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            what = "the quote is not closed" if text[at] in "\"'" else f"{text[at]!r} is not expected; quote it"
            raise _wrong(text, at, what)
        kind = match.lastgroup or "end"
        found.append((kind, match[kind], match.start(kind)))
        at = match.end()
    return found


def _value(text: str, key: str, kind: str, token: str, offset: int) -> Value:
    if kind == "quoted":
        return Value(re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL), offset, is_quoted=True)
    if kind != "bare":
        raise _wrong(text, offset, f'a value of {key!r} is missing; empty text is written ""')
    if token.startswith(_CALLER) and not (token.startswith("$" + CALLER) and is_key(token[1:], Side.CALL)):
        raise _wrong(text, offset, f"{token!r} is not known; known: {', '.join('$' + key for key in SIDES['caller'])}")
    return Value(token, offset)


def _test(text: str, clause: Clause, here: Here) -> Test:
    values: list[Value] = []
    for value in clause.values:
        if value.text.startswith(_CALLER) and not value.is_quoted:
            values += [Value(each, value.offset, is_quoted=True) for each in caller_values(value.text[1:], here)]
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
    return ConfigurationError(f"cannot read the condition {text!r} at offset {offset}: {what}")
